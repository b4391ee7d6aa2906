"""A model in a worker process: its errors, its crashes and its limits are model errors."""

from __future__ import annotations

import sys

import network_jobs
import pytest

from arcage.embedder.engines import isolated
from arcage.embedder.engines.isolated import run_isolated
from arcage.errors import ModelError

JOB = f"{network_jobs.__name__}:{{}}"


def test_a_reply_is_returned() -> None:
    reply = run_isolated(JOB.format("echo"), {"a": [1, "b"]}, b"model")
    assert reply.header == {"a": [1, "b"]}
    assert bytes(reply.body) == b"model"


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("refuse", "^no good$"),
        ("crash", "cannot be loaded: .*; get it again"),
        ("fail", "cannot be loaded: .*KeyError"),
        ("missing", "cannot be loaded"),
    ],
)
def test_a_failure_is_a_model_error(job: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        run_isolated(JOB.format(job), {}, b"")


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_SECONDS", 0.3)
    with pytest.raises(ModelError, match="longer than 0 seconds"):
        run_isolated(JOB.format("hang"), {}, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_is_limited() -> None:
    with pytest.raises(ModelError, match="more than 805 MB"):
        run_isolated(JOB.format("fill"), {}, b"")
