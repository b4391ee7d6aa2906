"""Servers with the fake pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

# The helpers are imported by the fixtures: without starlette, the modules that use them are skipped.


@pytest.fixture
def server(fake: None) -> Iterator[Any]:
    from appserver import running

    with running() as asked:
        yield asked


@pytest.fixture
def behind_a_proxy(fake: None) -> Iterator[Any]:
    from appserver import running

    names = ["nas.fritz.box", "Faces.example.org.", "arcage", "192.168.1.7", "fd00::5", "münchen.example"]
    with running(allowed=[*names, "*.example.net"]) as asked:
        yield asked


@pytest.fixture
def tiny(fake: None) -> Iterator[Any]:
    from appserver import TINY, running

    with running(TINY) as asked:
        yield asked
