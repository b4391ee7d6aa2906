"""The descriptor cache after failures: killed writers, full disks, interrupts and concurrent writers.

Run as a script, this file is a writer: ``test_crash.py DIR START STOP [LIMIT]``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from arcage.cache import Cache, ShardWriter
from arcage.errors import CacheError
from arcage.types import Face, ImageFaces

DIMENSION = 64
PER_SHARD = 7


def image(seed: int) -> ImageFaces:
    """Return an invented result with 0, 1 or 2 faces, whose descriptors contain the seed."""
    faces = seed % 3
    found = tuple(Face(np.ones(4, np.float32), np.ones((5, 2), np.float32), 0.5) for _ in range(faces))
    descriptors = np.full((faces, DIMENSION), seed, dtype=np.float16)
    return ImageFaces(sha(seed), 9, 9, "ok" if faces else "no_face", "", found, descriptors)


def sha(seed: int) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()


def seeds_in(cache: Cache) -> set[int]:
    """Return the images in a cache; fail if one has changed or is stored twice."""
    table = cache.table()
    known = {sha(seed): seed for seed in range(2000)}
    rows = np.arange(len(table))
    seeds = np.array([known[text] for text in table.sha256(rows)], dtype=np.int64)
    expected = [seed for seed in sorted(set(seeds.tolist())) for _ in range(max(seed % 3, 1))]
    assert sorted(seeds.tolist()) == expected
    has_face = table.face >= 0
    assert (table.descriptors() == seeds[has_face][:, None]).all()
    assert not cache.missing([sha(seed) for seed in set(seeds.tolist())]).any()
    assert len(cache) == len(set(seeds.tolist()))
    return set(seeds.tolist())


def names_in(cache: Cache) -> set[int]:
    names = cache.names()
    seeds = [int(name.removesuffix(".jpg")) for name in names.names]
    assert [sha(seed) for seed in seeds] == names.sha256()
    assert len(set(seeds)) == len(seeds)
    return set(seeds)


def writer(directory: Path, start: int, stop: int, *more: object) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, __file__, str(directory), str(start), str(stop), *map(str, more)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )


def leftovers(cache: Cache) -> list[str]:
    """Return files that belong to no finished part."""
    done = {path.stem for path in cache.directory.rglob("*.done")}
    return [
        path.name
        for path in cache.directory.rglob("*")
        if path.is_file() and path.name != "pipeline.json" and path.name.split(".")[0] not in done
    ]


@pytest.mark.parametrize("attempt", range(4))
def test_a_killed_writer_loses_at_most_one_shard(tmp_path: Path, attempt: int) -> None:
    cache = Cache(tmp_path, "f", dimension=DIMENSION)
    rng = random.Random(attempt)
    process = writer(tmp_path, 0, 2000)
    assert process.stdout is not None
    promised = -1
    for _ in range(rng.randrange(1, 60)):
        promised = int(process.stdout.readline())
    time.sleep(rng.random() * 0.02)
    process.kill()
    promised = max([promised, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL

    cache.refresh()
    there = seeds_in(cache)
    assert there >= set(range(promised + 1))
    assert len(there) <= promised + 1 + 2 * PER_SHARD
    assert cache.damaged == cache.verify() == ()
    assert names_in(cache) <= there

    missing = cache.missing([sha(seed) for seed in range(500)])
    with ShardWriter(cache, images_per_shard=PER_SHARD * 10) as again:
        for seed in range(500):
            if missing[seed]:
                again.add(image(seed), f"{seed}.jpg")
            else:
                again.add_name(sha(seed), f"{seed}.jpg")
    complete = Cache(tmp_path, "f")
    assert seeds_in(complete) == there | set(range(500))
    assert names_in(complete) >= set(range(500))


def test_four_processes_at_once(tmp_path: Path) -> None:
    processes = [writer(tmp_path, start, start + 100) for start in (0, 50, 100, 0)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    cache = Cache(tmp_path, "f")
    assert seeds_in(cache) == set(range(200))
    assert names_in(cache) == set(range(200))
    assert cache.damaged == cache.verify() == ()
    assert leftovers(cache) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file size limits")
def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    """A real failure of write(): the shards of the second half exceed the file size limit of the process."""
    process = writer(tmp_path, 0, 2000, 4000)
    out, _ = process.communicate()
    *lines, message = out.splitlines()
    assert process.returncode == 3
    assert message.startswith(f"cannot write to the cache {tmp_path}: File too large. Everything extracted")
    assert message.endswith("free some space and run the same command again.")
    cache = Cache(tmp_path, "f")
    assert seeds_in(cache) == set(range(int(lines[-1]) + 1)) != set()
    assert cache.damaged == ()
    assert leftovers(cache) == []


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
@pytest.mark.parametrize("after", range(6))
def test_a_full_disk_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int
) -> None:
    """ENOSPC at the n-th call: no incomplete part, the writer keeps the images, and a second attempt
    succeeds."""
    cache = Cache(tmp_path, "f", dimension=DIMENSION)
    with ShardWriter(cache) as first:
        first.add(image(0), "0.jpg")
    fail_after(monkeypatch, call, after, OSError(errno.ENOSPC, "No space left on device"))
    second = ShardWriter(cache)
    second.add(image(1), "1.jpg")
    message = ""
    try:
        second.flush()
    except CacheError as error:
        message = str(error)
    assert message in (
        "",
        f"cannot write to the cache {tmp_path}: No space left on device. Everything extracted before is"
        " kept; free some space and run the same command again.",
    )
    seen = Cache(tmp_path, "f")
    assert seeds_in(seen) in ({0}, {0, 1})
    assert names_in(seen) <= seeds_in(seen)
    assert seen.damaged == ()
    assert leftovers(seen) == []
    monkeypatch.undo()
    second.flush()
    seen.refresh()
    assert seeds_in(seen) == names_in(seen) == {0, 1}
    # A shard takes three files and two syncs of the folder, its names two files and two syncs.
    assert bool(message) == (after < {"fsync": 9, "replace": 5, "write": 5}[call])


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
@pytest.mark.parametrize("after", range(8))
def test_an_interrupt_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int
) -> None:
    """Ctrl-C while a shard is written: the end of the block writes it, and nothing is stored twice."""
    cache = Cache(tmp_path, "f", dimension=DIMENSION)
    fail_after(monkeypatch, call, after, KeyboardInterrupt())
    writer = ShardWriter(cache, images_per_shard=2)

    def block() -> None:
        with writer:
            for seed in range(3):
                writer.add(image(seed), f"{seed}.jpg")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    seen = Cache(tmp_path, "f")
    # The interrupt may come before the shard of the second image is written, but not after it was accepted.
    assert seeds_in(seen) in ({0, 1}, {0, 1, 2})
    assert names_in(seen) <= seeds_in(seen)
    assert leftovers(seen) == []
    assert seen.damaged == ()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_the_end_of_the_block_writes_after_any_exception(tmp_path: Path, error: type[BaseException]) -> None:
    cache = Cache(tmp_path, "f", dimension=DIMENSION)

    def block() -> None:
        with ShardWriter(cache) as writer:
            writer.add(image(1), "1.jpg")
            writer.add(image(2), "2.jpg")
            raise error

    with pytest.raises(error):
        block()
    seen = Cache(tmp_path, "f")
    assert seeds_in(seen) == names_in(seen) == {1, 2}


def test_a_failed_write_is_not_repeated_at_the_end_of_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path, "f", dimension=DIMENSION)
    calls = 0

    def full(file: int) -> None:
        nonlocal calls
        calls += 1
        raise OSError(errno.EROFS, "Read-only file system")

    def block() -> None:
        with ShardWriter(cache, images_per_shard=1) as writer:
            writer.add(image(1))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CacheError, match=r"Read-only file system.* make the folder writable"):
        block()
    assert calls == 1


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def files_only(file: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{file}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(file)

    monkeypatch.setattr(os, "fsync", files_only)
    cache = Cache(tmp_path, "f", dimension=DIMENSION)
    with ShardWriter(cache) as writer:
        writer.add(image(1))
    assert seeds_in(Cache(tmp_path, "f")) == {1}


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError, match="cache"):
        Cache(tmp_path / "file" / "cache", "f", dimension=DIMENSION)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES])
def test_errors_of_the_process_are_not_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Otherwise a process without free file handles would extract a million images again."""
    cache = Cache(tmp_path, "f", dimension=DIMENSION)
    with ShardWriter(cache) as writer:
        writer.add(image(1))
    seen = Cache(tmp_path, "f")

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("arcage.cache.parts.read_regular", refused)
        with pytest.raises(CacheError, match=os.strerror(number)):
            len(seen)
    assert len(seen) == 1


def fail_after(monkeypatch: pytest.MonkeyPatch, call: str, after: int, error: BaseException) -> None:
    """Let the n-th call fail after it was executed (write: partly), as with a signal or a full disk."""
    left = after
    if call == "write":
        from arcage.cache import parts

        real_write = parts.write_file

        def write_file(path: Path, chunks: list[bytes], **options: Path) -> dict[str, object]:
            nonlocal left
            left -= 1
            if left >= 0 or left < -1:
                return real_write(path, chunks, **options)

            def breaking():  # type: ignore[no-untyped-def]
                yield bytes(chunks[0])[:5]
                raise error

            return real_write(path, breaking(), **options)  # type: ignore[arg-type]

        monkeypatch.setattr(parts, "write_file", write_file)
        return
    real = getattr(os, call)

    def failing(*args: object) -> None:
        nonlocal left
        left -= 1
        if left == -1 and isinstance(error, OSError):
            raise error
        real(*args)
        if left == -1:
            raise error

    monkeypatch.setattr(os, call, failing)


def main(directory: str, start: str, stop: str, limit: str = "") -> int:
    """Write images ``start`` to ``stop``; print the last one that is safe after each shard."""
    cache = Cache(directory, "f", dimension=DIMENSION)
    try:
        with ShardWriter(cache, images_per_shard=PER_SHARD) as out:
            for seed in range(int(start), int(stop)):
                if limit and seed == 100:
                    import resource

                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
                    out.images_per_shard = 70
                out.add(image(seed), f"{seed}.jpg")
                if sha(seed) in cache:
                    print(seed, flush=True)
    except CacheError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
