"""Retries, and servers that are down."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers import PHOTO, Handler, free_port, rows

from arcage.errors import RemoteError
from arcage.sources import remote
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.source import Source

Run = Callable[..., Any]


def test_retry_after(arcage: Run, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr("arcage.sources.servers.time", clock)
    monkeypatch.setattr(Handler, "headers_sent", {"Retry-After": "7"})
    assert arcage("predict", f"{server}/429x1/a.jpg").exit_code == 0
    assert waited == [7.0]
    monkeypatch.setattr(Handler, "headers_sent", {"Retry-After": "3600"})
    done = arcage("predict", f"{server}/503x1/a.jpg")
    assert rows(done)[0][2] == "HTTP 503 Service Unavailable, retry after 3,600 s"
    assert (done.exit_code, waited) == (3, [7.0])


def test_a_dead_server_does_not_affect_others(arcage: Run, server: str, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    lines = [f"{dead}/{i}.jpg\n" for i in range(200)] + [f"{server}/{i}.jpg\n" for i in range(5)]
    (tmp_path / "list.txt").write_text("".join(lines))
    start = time.monotonic()
    done = arcage("predict", "--from-file", tmp_path / "list.txt", "--out", tmp_path / "out.csv")
    assert time.monotonic() - start < 10
    assert done.exit_code == 3
    assert f"cannot read {dead}/" in done.stderr
    assert "cannot connect to 127.0.0.1: Connection refused" in done.stderr
    table = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text("utf-8"))))
    assert Counter(row["status"] for row in table) == {"unreadable": 200, "ok": 5}


def test_a_failing_server_is_not_asked_for_each_image(arcage: Run, server: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("".join(f"{server}/500/{i}.jpg\n" for i in range(300)))
    done = arcage("extract", "--from-file", tmp_path / "list.txt", "--cache", tmp_path / "cache")
    assert done.exit_code == 3
    assert "300 unreadable" in done.stderr
    assert len(Handler.asked) < 40


def test_a_server_is_asked_again_after_a_while(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{server}/500x12/a.jpg"
    for _ in range(3):
        with pytest.raises(RemoteError, match="HTTP 500"):
            remote.read(url)
    with pytest.raises(RemoteError, match="HTTP 500"):
        remote.read(f"{server}/b.jpg")
    assert (Handler.asked["/500x12/a.jpg"], Handler.asked["/b.jpg"]) == (12, 0)
    later = SimpleNamespace(sleep=time.sleep, monotonic=lambda: time.monotonic() + 61, time=time.time)
    monkeypatch.setattr("arcage.sources.servers.time", later)
    assert remote.read(url) == PHOTO
    # A new run sends the request immediately.
    monkeypatch.setattr(Handler, "asked", Counter())
    for _ in range(3):
        with pytest.raises(RemoteError):
            remote.read(url)
    (source,) = ReadAhead([Source(f"{server}/b.jpg", "b.jpg")])
    assert source.read() == PHOTO
