"""Extraction in worker processes: the same results in the same order, also if a process dies."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import call_jobs
import cv2
import numpy as np
import pytest
from processes import ends
from quick_extractor import DEADLY, MAIN, Quick, picture

from arcage.cache import Cache
from arcage.embedder import workers as module
from arcage.embedder.workers import MIN_IMAGES, WorkerPool, Workers, choose_workers
from arcage.errors import ArcageError, ImageError, ImageHereError, UsageError
from arcage.extraction.run import extract_images, extract_to_cache, open_cache
from arcage.output.summary import Summary
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.source import Source
from arcage.sources.walk import walk
from arcage.types import U8, ImageFaces

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

ROOT = Path(__file__).parents[2]
COUNT = 2 * MIN_IMAGES
"""The fewest images for two processes."""
TWO = Workers(2)
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX: signals")


# The number of processes


@pytest.mark.parametrize(
    ("cores", "device", "gpus", "count"),
    [
        (1, "cpu", 0, 1),
        (3, "cpu", 0, 1),
        (4, "cpu", 0, 4),
        (16, "cpu", 0, 16),
        (2, "cuda", 0, 1),
        (8, "cuda:1", 0, 2),
        (16, "cuda", 0, 4),
        (64, "tensorrt", 0, 4),
        (16, "cuda:0", 2, 4),
        (16, "cuda:0", 8, 8),
        (64, "coreml", 0, 1),
    ],
)
def test_the_default(cores: int, device: str, gpus: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: cores)
    monkeypatch.setattr(module, "_memory", lambda: 64 << 30)
    names = tuple(f"cuda:{number}" for number in range(gpus))
    assert choose_workers(None, device, names) == Workers(count, names)


def test_memory_limits_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 16)
    files = {
        "/proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable: 5242880 kB\n",
        "/sys/fs/cgroup/memory.max": "max\n",
    }

    def read(path: Path) -> str:
        if path.as_posix() not in files:
            raise FileNotFoundError
        return files[path.as_posix()]

    monkeypatch.setattr(Path, "read_text", read)
    assert choose_workers(None, "cpu") == Workers(8)
    files["/sys/fs/cgroup/memory.max"] = f"{2 << 30}\n"
    assert choose_workers(None, "cpu") == Workers(3)
    files["/sys/fs/cgroup/memory.max"] = "1000"
    assert choose_workers(None, "cpu") == Workers(1)
    files.clear()
    assert choose_workers(None, "cpu") == Workers(16)


def test_the_number_that_a_user_wants() -> None:
    assert choose_workers(5, "cpu") == Workers(5)
    assert choose_workers(3, "cuda:0", ("cuda:0", "cuda:1")) == Workers(3, ("cuda:0", "cuda:1"))
    with pytest.raises(UsageError, match="`workers` 1 cannot use 2 GPUs"):
        choose_workers(1, "cuda:0", ("cuda:0", "cuda:1"))


# The pool


def lost(number: int, reason: str) -> str:
    return f"{number} {reason}"


@posix
def test_an_item_that_ends_its_process_is_found() -> None:
    pool: WorkerPool[int] = WorkerPool([call_jobs.negative] * 2)
    with ThreadPoolExecutor(pool.threads) as threads:
        tasks = [(1, 2), (3, 13, 4), (5,), (13,), (6, 7)]
        done = list(threads.map(lambda task: pool.call(task, None, lost), tasks))
    killed = "13 was killed, probably because memory ran out"
    # A task is done as a whole, or one by one if it shared a process with the item.
    joined = [[n for part in parts for n in ([part] if isinstance(part, str) else part)] for parts in done]
    assert joined == [[-1, -2], [-3, killed, -4], [-5], [killed], [-6, -7]]
    assert pool.call((8, 9), None, lost) == [[-8, -9]]
    assert sum(not process.has_ended for process in pool._processes) <= 2
    pool.close()
    assert all(process.has_ended for process in pool._processes)
    with pytest.raises(CancelledError):
        pool.call((1,), None, lost)


def test_processes_that_always_die_are_an_error() -> None:
    pool: WorkerPool[int] = WorkerPool([call_jobs.dead])
    with pytest.raises(
        ArcageError, match=r"^a worker process ended with exit code 7; `workers` 1 needs none$"
    ):
        pool.call((1, 2), None, lost)
    pool.close()


@pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
def test_the_number_of_workers_is_checked(count: Any) -> None:
    with pytest.raises(UsageError, match=r"`workers` is a whole number, 1 or more, not"):
        Workers(count)


def test_processes_that_cannot_be_started_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    pool: WorkerPool[int] = WorkerPool([call_jobs.negative])
    with pytest.raises(
        ArcageError, match=r"^a worker process cannot be started: .*; `workers` 1 needs none$"
    ):
        pool.call((1, 2), None, lost)


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 9)
    pool: WorkerPool[Any] = WorkerPool([call_jobs.serve] * 4)
    assert pool.threads == 4 * 3
    wanted = {"PYTHON_CPU_COUNT": "2", "OPENCV_FOR_THREADS_NUM": "1"}
    for name, value in wanted.items():
        assert pool.call(("environment", name), None, lost) == [value]
    pool.close()


# Streams


def give(data: bytes) -> bytes:
    return data


def refuse(kind: type[ImageError]) -> bytes:
    raise kind("no image")


def same(one: ImageFaces, other: ImageFaces) -> None:
    for name in ("sha256", "width", "height", "status", "error", "multi_frame", "min_face"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.descriptors.tobytes() == other.descriptors.tobytes()
    assert [face.box.tolist() for face in one.faces] == [face.box.tolist() for face in other.faces]
    assert [face.landmarks.tolist() for face in one.faces] == [f.landmarks.tolist() for f in other.faces]
    assert [face.score for face in one.faces] == [face.score for face in other.faces]


def test_results_are_those_of_one_process(
    make_extractor: Callable[..., Extractor], compiled: Path, monkeypatch: pytest.MonkeyPatch, astronaut: U8
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    face = astronaut[20:220, 120:320]
    kinds = [
        cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
        for image in (face, np.concatenate([face] * 3, axis=1), np.zeros((1, 1, 3), np.uint8), face[:, ::-1])
    ]
    kinds += [kinds[0][:500], b"", picture(1, side=1)]
    kinds += [cv2.imencode(".bmp", face)[1].tobytes()]  # decoded in a process of its own
    readers = [partial(give, kind) for kind in kinds] + [
        partial(refuse, ImageError),
        partial(refuse, ImageHereError),
    ]
    monkeypatch.setattr("arcage.embedder.extractor.MIN_IMAGES", len(readers))
    images = [((n, "ü"), readers[n % len(readers)]) for n in range(2 * len(readers))]
    extractor = make_extractor(hint="throughput")
    wanted = list(extractor.stream(images))
    done = list(extractor.stream(images, workers=TWO))
    assert [item for item, _ in done] == [item for item, _ in images]
    for (_, one), (_, other) in zip(wanted, done, strict=True):
        same(one, other)


def test_few_images_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.extractor.WorkerPool", None)
    images = [(number, partial(give, picture(number))) for number in range(COUNT - 1)]
    done = list(Quick().stream(images, workers=TWO))
    assert [number for number, _ in done] == list(range(COUNT - 1))


def test_slow_sources_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.extractor.WorkerPool", None)
    monkeypatch.setattr("arcage.embedder.extractor._PEEK_SECONDS", 0.05)

    def images() -> Iterator[tuple[int, Any]]:
        for number in range(COUNT):
            time.sleep(0.002)
            yield number, partial(give, picture(number))

    assert len(list(Quick().stream(images(), workers=TWO))) == COUNT


def run(folder: Path, cache: Path, workers: Workers | None = None) -> Summary:
    extractor = Quick()
    return extract_to_cache(walk([folder]), open_cache(cache, extractor), extractor, workers=workers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:03}.png").write_bytes(picture(number))
    return folder


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())]


def stored(directory: Path) -> dict[str, bytes]:
    """Return the descriptors in a cache."""
    if not Cache.fingerprints(directory):
        return {}
    cache = Cache(directory, Quick().fingerprint)
    found = {sha256: cache.get(sha256) for sha256 in cache.table().sha256(np.arange(len(cache.table())))}
    return {sha256: image.descriptors.tobytes() for sha256, image in found.items() if image is not None}


def test_the_cache_is_that_of_one_process_and_what_it_has_is_not_computed_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("QUICK_LOG", str(log))
    (folder / "zz.png").write_bytes(picture(0))  # a copy
    first = run(folder, tmp_path / "cache", TWO)
    assert (first.images, first.ok, first.from_cache) == (COUNT + 1, COUNT + 1, 0)
    assert str(os.getpid()) not in log.read_text().split()
    run(folder, tmp_path / "plain")
    assert stored(tmp_path / "cache") == stored(tmp_path / "plain")
    log.unlink()
    (folder / "new.png").write_bytes(picture(1000))
    again = run(folder, tmp_path / "cache", TWO)
    assert (again.images, again.from_cache) == (COUNT + 2, COUNT + 1)
    assert log.read_text().split()[1::2] == [hashlib.sha256(picture(1000)).hexdigest()]


def test_images_that_are_read_ahead(folder: Path) -> None:
    def opener(number: int) -> Callable[[], bytes]:
        def read() -> bytes:  # cannot be pickled
            if number == 5:
                raise ImageError("gone")
            return picture(number)

        return read

    sources = [Source(f"{n}", f"{n}", opener=opener(n)) for n in range(COUNT)]
    with ReadAhead(sources) as ahead:
        images = [(source.path, source.read) for source in ahead]
        done = dict(Quick().stream(images, workers=TWO))
    assert {path for path, image in done.items() if image.error} == {"5"}
    assert done["5"].error == "gone"
    assert done["6"].sha256 == hashlib.sha256(picture(6)).hexdigest()


@posix
def test_an_image_that_ends_every_process_is_a_row_that_no_cache_keeps(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MAIN, str(os.getpid()))
    (folder / "040.png").write_bytes(picture(1, blue=DEADLY))
    cache = open_cache(tmp_path / "cache", Quick())
    done = list(extract_images(walk([folder]), Quick(), cache, workers=TWO))
    assert [result.source.name for result in done] == [path.name for path in sorted(folder.iterdir())]
    others = set(digests(folder)) - {hashlib.sha256(picture(1, blue=DEADLY)).hexdigest()}
    assert set(stored(tmp_path / "cache")) == others
    rows = {result.source.name: result.image for result in done}
    assert rows["040.png"].status == "unreadable"
    assert rows["040.png"].sha256 == ""
    assert rows["040.png"].error == "a worker process that read only this image crashed (SIGSEGV)"
    assert [name for name, image in rows.items() if image.error] == ["040.png"]


def test_other_errors_end_the_stream_and_leave_no_process() -> None:
    images: list[Any] = [(number, partial(give, picture(number))) for number in range(COUNT)]
    images[50] = (50, partial(divmod, 1, 0))
    with pytest.raises(ZeroDivisionError):
        list(Quick().stream(images, workers=TWO))
    assert children() == []


def children(parent: int | None = None) -> list[int]:
    """Return the worker processes of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == (parent or os.getpid()) and fields[0] != "Z":
                command = (status.parent / "cmdline").read_bytes()
                found += [int(status.parent.name)] if b"arcage.process.calls" in command else []
        except (OSError, IndexError):
            continue
    return found


# The command


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``arcage extract`` with two worker processes; keywords are environment variables."""
    running = []

    def popen(folder: Path, **variables: object) -> subprocess.Popen[str]:
        command = ["extract", str(folder), "--cache", str(tmp_path / "cache"), "--workers", "2"]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "quick_extractor.py"), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "QUICK_LOG": str(tmp_path / "log"),
                **{name: str(value) for name, value in variables.items()},
            },
        )
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        process.communicate()


def wait_for_images(process: subprocess.Popen[str], log: Path, count: int) -> list[str]:
    """Return the digests of computed images when there are some."""
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < count):
        time.sleep(0.01)
    return log.read_text().split()[1::2]


def at_work(
    start: Callable[..., subprocess.Popen[str]], folder: Path, log: Path
) -> tuple[subprocess.Popen[str], list[int]]:
    """Return a run that has computed some images, and its two worker processes."""
    process = start(folder, QUICK_DELAY=0.02)
    wait_for_images(process, log, 10)
    pids = children(process.pid)
    assert len(pids) == 2
    return process, pids


linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux: /proc")


@linux
def test_a_worker_that_is_killed_changes_nothing(
    folder: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    process, pids = at_work(start, folder, tmp_path / "log")
    os.kill(pids[0], signal.SIGKILL)
    _, words = process.communicate()
    assert process.returncode == 0, words
    assert f"{COUNT} images" in words
    assert "0 unreadable" in words
    run(folder, tmp_path / "plain")
    assert stored(tmp_path / "cache") == stored(tmp_path / "plain")


@linux
def test_ctrl_c_keeps_what_is_done_and_leaves_no_process(
    folder: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    process = start(folder, QUICK_DELAY=0.05)
    computed = wait_for_images(process, tmp_path / "log", 20)
    pids = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130
    assert "finished results are kept" in words
    assert "Traceback" not in words
    assert all(ends(pid, 10) for pid in pids)
    # What was still with a worker is not known here.
    assert 0 < len(stored(tmp_path / "cache")) <= COUNT
    assert len(computed) >= 20


@linux
def test_workers_end_with_a_killed_run_and_the_next_one_continues(
    folder: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    process, pids = at_work(start, folder, tmp_path / "log")
    process.kill()
    process.communicate()
    assert all(ends(pid, 10) for pid in pids)
    run(folder, tmp_path / "cache")
    assert set(stored(tmp_path / "cache")) == set(digests(folder))


@posix
def test_a_full_disk(folder: Path, tmp_path: Path, start: Callable[..., Any]) -> None:
    process = start(folder, QUICK_FILE_BYTES=20_000)
    _, words = process.communicate()
    assert process.returncode == 3
    assert "free some space" in words
    assert "Traceback" not in words
    run(folder, tmp_path / "cache")
    assert set(stored(tmp_path / "cache")) == set(digests(folder))
