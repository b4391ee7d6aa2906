"""Reading in the background: how far, several servers, and stopping."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from servers import free_port, rows
from stores import Broken

import arcage.sources.read_ahead as module
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.source import Source
from arcage.sources.walk import walk

pytest.importorskip("aiohttp")
Run = Callable[..., Any]

Run = Callable[..., Any]


def test_broken_images_in_a_list(arcage: Run, server: str, tmp_path: Path) -> None:
    names = ["404", "403", "short", "loop", "empty", "no-http", "part", "202", "a", "b", "c"]
    (tmp_path / "list.txt").write_text("".join(f"{server}/{name}/x.jpg\n" for name in names))
    done = arcage("predict", "--from-file", tmp_path / "list.txt")
    assert [status for _, status, _ in sorted(rows(done))].count("ok") == 3
    assert len(rows(done)) == 11
    assert done.exit_code == 0


def test_several_dead_servers_are_named(arcage: Run, server: str) -> None:
    dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    done = arcage("predict", *(f"{one}/a.jpg" for one in dead))
    assert done.exit_code == 3
    assert all(one in done.stderr for one in dead)


@pytest.mark.parametrize("command", ["predict", "extract"])
def test_ctrl_c_does_not_wait_for_a_server(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, command: str
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        silent.settimeout(60)
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "list.txt").write_text("".join(f"{place}/{i}.jpg\n" for i in range(40)))
        to = ["--out", tmp_path / "out.csv"] if command == "predict" else ["--cache", tmp_path / "cache"]
        process = start(command, "--from-file", tmp_path / "list.txt", *to)
        connection, _ = silent.accept()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, words = process.communicate(timeout=30)
        connection.close()
    assert time.monotonic() - begun < 5  # seconds, on a busy machine
    assert process.returncode == 130
    assert "Traceback" not in words


@pytest.mark.parametrize("chunk", [1, None])
def test_closing_a_stream_does_not_wait_for_a_read(
    chunk: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arcage.embedder import extractor as embedder

    # As for large images: many more tasks than workers.
    monkeypatch.setattr(embedder, "_TASK_BYTES", 1)
    release = threading.Event()

    def stuck() -> bytes:
        release.wait(30)
        return b""

    images = [(number, stuck if number > 1 else lambda: b"") for number in range(100)]
    results = embedder.Extractor(device="cpu").stream(images, chunk=chunk)
    assert [next(results)[0], next(results)[0]] == [0, 1]
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 5
    release.set()


def test_objects_are_read_ahead(broken: type[Broken], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broken, "good", 1000)
    waiting: list[Source] = []
    for source in ReadAhead(walk(["broken://b/photos"])):
        waiting.append(source)
        if len(waiting) == 32:
            assert waiting.pop(0).read()
    names = [source.name for source in waiting]
    assert names == [f"{n:03d}.jpg" for n in range(69, 100)]
    assert all(source.read() for source in waiting)
    assert 4 < broken.most <= 16


def test_reading_ahead_stops(broken: type[Broken], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broken, "good", 1000)
    sources = ReadAhead(walk(["broken://b/photos"]))
    first = next(sources)
    assert first.read()
    second = next(sources)
    sources.close()
    with suppress(CancelledError):  # it may have been read before
        assert second.read()
    assert 998 <= broken.good <= 999


def wait_until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_large_images_are_not_all_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read and not taken yet is limited; what was taken is kept while there is room."""
    monkeypatch.setattr(module, "_MAX_HELD", 5000)
    monkeypatch.setattr(module, "_MAX_KEPT", 3000)
    reads: list[int] = []

    def source(number: int) -> Source:
        def read() -> bytes:
            reads.append(number)
            return bytes([number]) * 1000

        return Source(f"{number}", f"{number}", opener=read)

    with ReadAhead(map(source, range(100))) as ahead:
        taken = list(ahead)
        wait_until(lambda: len(reads) >= 6)
        time.sleep(0.1)
        most = 6 + module._THREADS  # each thread may begin before the others have finished
        assert len(reads) <= most
        for number, one in enumerate(taken):
            assert one.read() == bytes([number]) * 1000
            assert len(reads) <= number + 1 + most
        assert sorted(reads) == list(range(100))
        again = [one.read()[0] for one in taken]
        assert again == list(range(100))
        assert 97 <= len(reads) - 100 <= 100
        del one, taken[:]
        wait_until(lambda: ahead._memory._held == 0)


def test_images_that_nobody_reads_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_HELD", 5000)
    sources = (Source(f"{i}", f"{i}", opener=lambda: bytes(1000)) for i in range(200))
    with ReadAhead(sources) as ahead:
        last = [source for source in ahead if source.name == "199"]
        assert len(last[0].read()) == 1000
