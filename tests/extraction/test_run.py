"""Extraction into a cache on the fake pipeline: in one run, in shards, and continued after a kill."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FINGERPRINT, FakeExtractor
from folders import content, photos

from arcage.cache import Cache
from arcage.errors import DeviceError, UsageError
from arcage.extraction.run import check_names, extract_to_cache, open_cache
from arcage.output.summary import Summary
from arcage.sources.walk import walk


def run(folder: Path, cache: Path, **more: Any) -> Summary:
    extractor: Any = FakeExtractor()
    return extract_to_cache(walk([folder]), open_cache(cache, extractor), extractor, **more)


def counts(summary: Summary) -> tuple[int, ...]:
    return summary.images, summary.ok, summary.no_face, summary.unreadable, summary.faces, summary.from_cache


def test_everything_is_counted_and_kept(tmp_path: Path) -> None:
    made = photos(tmp_path / "in", 30)
    ticks: list[int] = []
    summary = run(tmp_path / "in", tmp_path / "cache", progress=lambda: ticks.append(1))
    assert counts(summary) == (30, 19, 10, 1, 29, 0)
    assert len(ticks) == 30
    cache = Cache(tmp_path / "cache", FINGERPRINT)
    assert not cache.missing(list(made)).any()
    names = cache.names()
    assert dict(zip(names.sha256(), names.names, strict=True)) == made
    assert cache.pipeline == FakeExtractor.pipeline

    again = run(tmp_path / "in", tmp_path / "cache")
    assert counts(again) == (30, 19, 10, 1, 29, 30)
    assert len(Cache(tmp_path / "cache", FINGERPRINT).table()) == 20 + 10 + 10


def test_names_can_be_left_out_and_added_later(tmp_path: Path) -> None:
    photos(tmp_path / "in", 5)
    run(tmp_path / "in", tmp_path / "cache", names=False)
    assert not (tmp_path / "cache" / "names").exists()
    run(tmp_path / "in", tmp_path / "cache")
    assert len(Cache(tmp_path / "cache", FINGERPRINT).names()) == 5


def test_a_file_that_cannot_be_opened_is_counted_and_not_cached(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").symlink_to(tmp_path / "nowhere")
    assert counts(run(tmp_path / "in", tmp_path / "cache")) == (1, 0, 0, 1, 0, 0)
    assert len(Cache(tmp_path / "cache", FINGERPRINT)) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, DeviceError])
def test_an_interrupt_or_a_failure_of_the_gpu_keeps_what_was_finished(
    tmp_path: Path, error: type[BaseException]
) -> None:
    photos(tmp_path / "in", 30)
    done = 0

    def stop() -> None:
        nonlocal done
        done += 1
        if done == 12:
            raise error

    with pytest.raises(error):
        run(tmp_path / "in", tmp_path / "cache", progress=stop)
    assert len(Cache(tmp_path / "cache", FINGERPRINT)) == 12


@pytest.mark.slow
def test_killed_and_started_again(tmp_path: Path, start: Callable[..., Any]) -> None:
    """SIGKILL at any time: no finished shard is lost, computed again or duplicated."""
    made = photos(tmp_path / "in", 300)
    cache = tmp_path / "cache"
    command = ("extract", tmp_path / "in", "--cache", cache, "--quiet")
    chance = random.Random(0)
    kills = 0
    while True:
        before = set(marked(cache))
        log = tmp_path / f"log{kills}"
        process = start(*command, FAKE_DELAY=0.004, FAKE_PER_SHARD=7, FAKE_LOG=log)
        moment = time.monotonic() + (chance.uniform(0.3, 0.6) if kills < 6 else 60)
        while not log.exists() and process.poll() is None:
            time.sleep(0.01)
        while time.monotonic() < moment and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not before & set(log.read_text().split())
        assert before <= set(marked(cache))
        if process.returncode == 0:
            break
        kills += 1
    assert kills > 1
    table = Cache(cache, FINGERPRINT).table()
    stored = table.sha256(np.flatnonzero(table.face <= 0))
    assert sorted(stored) == sorted(made)
    names = Cache(cache, FINGERPRINT).names()
    assert dict(zip(names.sha256(), names.names, strict=True)) == made


def marked(directory: Path) -> list[str]:
    """Return the images in finished shards; fail if two shards share one."""
    if not Cache.fingerprints(directory):
        return []
    cache = Cache(directory, FINGERPRINT)
    table = cache.table()
    images = sum(part.facts["images"] for part in table.parts)
    stored = table.sha256(np.flatnonzero(table.face <= 0))
    assert len(stored) == images
    assert cache.damaged == ()
    return stored


@pytest.mark.slow
def test_shards_in_parallel(tmp_path: Path, start: Callable[..., Any]) -> None:
    """Several runs into one folder, or into folders that are then merged, give the cache of a single run."""
    made = photos(tmp_path / "in", 60)
    run(tmp_path / "in", tmp_path / "whole")
    whole = content(tmp_path / "whole")
    assert len(set(whole[0])) == 60
    for folders in (["cache"] * 3, ["part1", "part2", "part3"]):
        processes = [
            start("extract", tmp_path / "in", "--cache", tmp_path / folder, "--shard", f"{i}/3")
            for i, folder in enumerate(folders, start=1)
        ]
        words = [process.communicate()[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0], words
        assert sum(int(text.split(" ")[0]) for text in words) == 60
        # No image is stored twice, even before readers remove duplicates.
        marks = [sha256 for folder in sorted(set(folders)) for sha256 in marked(tmp_path / folder)]
        assert sorted(marks) == sorted(made)
    for number in (1, 2, 3):
        assert 0 < len(marked(tmp_path / f"part{number}")) < 60
        shutil.copytree(tmp_path / f"part{number}", tmp_path / "joined", dirs_exist_ok=True)
    assert content(tmp_path / "cache") == content(tmp_path / "joined") == whole


@pytest.mark.slow
def test_ctrl_c_in_the_shell(tmp_path: Path, start: Callable[..., Any]) -> None:
    photos(tmp_path / "in", 300)
    log = tmp_path / "log"
    process = start("extract", tmp_path / "in", "--cache", tmp_path / "cache", FAKE_DELAY=0.02, FAKE_LOG=log)
    while not log.exists() or len(log.read_text().split()) < 20:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130
    assert "kept" in words
    assert "Traceback" not in words
    assert 19 <= len(marked(tmp_path / "cache")) < 300


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_full_disk(tmp_path: Path, start: Callable[..., Any]) -> None:
    photos(tmp_path / "in", 100)
    command = ("extract", tmp_path / "in", "--cache", tmp_path / "cache")
    process = start(*command, FAKE_PER_SHARD=40, FAKE_FILE_BYTES=1500)
    _, words = process.communicate()
    assert process.returncode == 3
    assert "free some space" in words
    assert "Traceback" not in words
    process = start(*command)
    process.communicate()
    assert process.returncode == 0
    assert len(marked(tmp_path / "cache")) == 100


def leftovers(cache: Path) -> list[Path]:
    """Create files like those that killed writers leave."""
    name = "20200101T000000000000-0123456789ab"
    folder = cache / FINGERPRINT
    paths = [
        folder / f"{name}.npy",
        folder / f"{name}.parquet",
        folder / f"{name}.npy.tmp",
        folder / f"{name}.done.tmp",
        folder / f"pipeline.json.{name}.tmp",
        cache / "names" / f"{name}.parquet",
        cache / "names" / f"{name}.parquet.tmp",
    ]
    for path in paths:
        path.write_bytes(b"half")
    return paths


def test_leftovers_of_killed_writers_are_removed_after_a_day(tmp_path: Path) -> None:
    photos(tmp_path / "in", 3)
    run(tmp_path / "in", tmp_path / "cache")
    whole = sorted((tmp_path / "cache").rglob("*"))
    left = leftovers(tmp_path / "cache")
    assert sorted(open_cache(tmp_path / "cache", FakeExtractor()).unfinished()) == sorted(left)
    assert sorted((tmp_path / "cache").rglob("*")) == sorted([*whole, *left])
    for path in left:
        os.utime(path, (time.time() - 90_000,) * 2)
    run(tmp_path / "in", tmp_path / "cache")
    assert sorted((tmp_path / "cache").rglob("*")) == whole


@pytest.mark.parametrize("command", ["extract", "predict"])
def test_the_commands_remove_leftovers_of_killed_writers(
    arcage: Callable[..., Any], tmp_path: Path, command: str
) -> None:
    photos(tmp_path / "in", 2)
    assert arcage(command, tmp_path / "in", "--cache", tmp_path / "c").exit_code == 0
    (tmp_path / "c" / "names").mkdir(exist_ok=True)
    left = leftovers(tmp_path / "c")
    for path in left:
        os.utime(path, (1e9, 1e9))
    assert arcage(command, tmp_path / "in", "--cache", tmp_path / "c").exit_code == 0
    assert [path for path in left if path.exists()] == []


def test_a_read_only_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "in", 2)
    run(tmp_path / "in", tmp_path / "cache")
    for path in leftovers(tmp_path / "cache"):
        os.utime(path, (1e9, 1e9))

    def refuse(path: Path, **_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert run(tmp_path / "in", tmp_path / "cache").from_cache == 2


def test_names_of_packs_devices_and_folders() -> None:
    check_names("compact", "cpu", cache=None, heads=Path("x"))
    for wrong in ({"pack": None}, {"pack": ""}, {"cache": ""}, {"cache": b"x"}, {"device": None}):
        with pytest.raises(UsageError, match=" is a name "):
            check_names(**{"pack": "compact", "device": "cpu", "cache": None, **wrong})  # type: ignore[arg-type]
