"""Jobs for the tests of models in worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from arcage.embedder.engines.isolated import model_error
from arcage.errors import ModelError

Replies = Iterator[tuple[dict[str, Any], bytes]]


def echo(args: dict[str, Any], model: bytes) -> Replies:
    yield args, model


def refuse(args: dict[str, Any], model: bytes) -> Replies:
    yield model_error(ModelError("no good"))


def crash(args: dict[str, Any], model: bytes) -> Replies:
    os.kill(os.getpid(), signal.SIGSEGV)
    yield {}, b""


def fail(args: dict[str, Any], model: bytes) -> Replies:
    yield args["no such key"], b""


def hang(args: dict[str, Any], model: bytes) -> Replies:
    time.sleep(60)
    yield {}, b""


def fill(args: dict[str, Any], model: bytes) -> Replies:
    yield {}, bytes(1 << 30)
