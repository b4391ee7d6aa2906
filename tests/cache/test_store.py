"""The descriptor cache: every image is read back once, whichever writer stored it."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from invented import DIMENSION, EVERY_KIND, FINGERPRINT, assert_same, files, image, searched, sha, store

from arcage.cache import Cache, ShardWriter, to_keys
from arcage.cache.shard import read_rows
from arcage.errors import CacheError


def test_results_are_read_back(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, *EVERY_KIND)
    for seen in (cache, reopened()):
        assert len(seen) == 4
        for one in EVERY_KIND:
            assert one.sha256 in seen
            assert_same(seen.get(one.sha256), one)
        assert sha(99) not in seen
        assert seen.get(sha(99)) is None
        assert seen.missing([sha(1), sha(99), sha(3)]).tolist() == [False, True, False]
        assert seen.damaged == seen.verify() == ()


def test_an_empty_cache(cache: Cache, reopened: Callable[[], Cache]) -> None:
    for seen in (cache, reopened()):
        assert len(seen) == len(seen.table()) == len(seen.names()) == 0
        assert seen.missing([sha(1)]).tolist() == [True]
        assert seen.missing([]).shape == (0,)
        assert seen.table().descriptors().shape == (0, DIMENSION)
        assert seen.table().find(to_keys([sha(1)])).tolist() == [-1]
        assert seen.get(sha(1)) is None
    store(cache)
    assert files(cache, "done") == []


def test_the_copy_in_the_first_shard_counts(cache: Cache, reopened: Callable[[], Cache]) -> None:
    one, other = reopened(), reopened()
    store(one, image(1, faces=2), image(2))
    different = image(1, faces=1)
    store(other, different, image(3))
    seen = reopened()
    assert len(seen) == 3
    assert len(seen.table()) == 4
    assert_same(seen.get(sha(1)), image(1, faces=2))
    assert seen.table().descriptors().shape == (4, DIMENSION)
    one.refresh()
    other.refresh()
    for view in (one, other):
        assert len(view) == 3
        assert_same(view.get(sha(1)), image(1, faces=2))


def test_refresh_shows_images_of_other_writers(cache: Cache, reopened: Callable[[], Cache]) -> None:
    other = reopened()
    assert sha(1) not in other
    store(cache, image(1))
    assert sha(1) not in other
    other.refresh()
    assert_same(other.get(sha(1)), image(1))
    shutil.rmtree(cache.path)
    other.refresh()
    assert len(other) == 0


def test_a_used_cache_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = Cache("cache", "f", dimension=DIMENSION)
    store(cache, image(1), image(2, faces=0))
    assert cache.get(sha(1)) is not None
    data = pickle.dumps(cache)
    copies = [copy.copy(cache), copy.deepcopy(cache)]
    monkeypatch.chdir("/")
    for one in (pickle.loads(data), *copies):  # noqa: S301
        assert len(one) == 2
        assert_same(one.get(sha(1)), image(1))
    store(copies[0], image(3))
    assert sha(3) in copies[0]


def test_shards_are_read_once_for_any_order_of_requests(
    cache: Cache, reopened: Callable[[], Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ShardWriter(cache, images_per_shard=2) as writer:
        for seed in range(40):
            writer.add(image(seed))
    read: list[str] = []
    monkeypatch.setattr(
        "arcage.cache.store.read_rows", lambda part: read.append(part.name) or read_rows(part)
    )
    other = reopened()
    for seed in np.random.default_rng(0).permutation(40).tolist():
        assert_same(other.get(sha(seed)), image(seed))
    assert len(read) == len(set(read)) == 20


def test_missing_caches(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(CacheError, match="arcage extract"):
        Cache(tmp_path / "nothing", "f1")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(CacheError, match=r"only of f1"):
        Cache(cache.directory, "f2")
    assert Cache.fingerprints(tmp_path / "nothing") == []
    assert Cache.fingerprints(cache.directory) == ["f1"]
    for bad in ("", "names", "../f1", ".hidden", "a/b", "f1\n"):
        with pytest.raises(CacheError, match="cannot name a pipeline"):
            Cache(cache.directory, bad, dimension=1)
    with pytest.raises(ValueError, match="one column"):
        Cache(cache.directory, "f3", dimension=0)
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(CacheError, match="cache"):
        Cache(file, "f1", dimension=1)
    assert Cache.fingerprints(file) == []


def test_reading_writes_nothing(
    cache: Cache, reopened: Callable[[], Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root ignores permissions, so the calls themselves are forbidden."""
    with ShardWriter(cache) as writer:
        writer.add(image(1), "1.jpg")
    before = sorted((path, path.stat().st_mtime_ns) for path in cache.directory.rglob("*"))

    def forbidden(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("mkdir", "replace", "unlink", "rename", "fsync"):
        monkeypatch.setattr(os, name, forbidden)
    for mode in (0o555, 0o755):
        cache.path.chmod(mode)
        seen = Cache(cache.directory, "f1", dimension=DIMENSION)
        assert_same(seen.get(sha(1)), image(1))
        assert len(seen.table().descriptors()) == len(seen.names()) == 1
        assert seen.damaged == ()
    assert sorted((path, path.stat().st_mtime_ns) for path in cache.directory.rglob("*")) == before


def test_threads_may_share_a_cache_and_a_folder(cache: Cache, reopened: Callable[[], Cache]) -> None:
    errors: list[BaseException] = []

    def work(start: int) -> None:
        try:
            with ShardWriter(cache, images_per_shard=4) as writer:
                for seed in range(start, start + 30):
                    writer.add(image(seed, faces=seed % 3), f"{seed}.jpg")
                    cache.refresh()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for view in (cache, reopened()):
        assert len(view) == 60
        assert len(view.names()) == 60
        assert len(view.table()) == sum(max(seed % 3, 1) for seed in range(60))
        for seed in range(60):
            assert_same(view.get(sha(seed)), image(seed, faces=seed % 3))


@pytest.mark.parametrize(("first", "second"), [(None, 40), (40, 12), (None, 12)])
def test_a_finer_search_replaces_a_coarser_one(tmp_path: Path, first: int | None, second: int) -> None:
    cache = Cache(tmp_path, FINGERPRINT, dimension=DIMENSION)
    with ShardWriter(cache) as writer:
        assert not writer.add(searched(1, first, faces=1))
        assert not writer.add(searched(2, first))
    with ShardWriter(cache) as writer:
        assert not writer.add(searched(1, second, faces=3))
        assert writer.add(searched(2, first))
    for seen in (cache, Cache(tmp_path, FINGERPRINT)):
        assert len(seen) == 2
        assert_same(seen.get(sha(1)), image(1, faces=3))
        assert_same(seen.get(sha(2)), image(2))
        assert [getattr(seen.get(sha(seed)), "min_face") for seed in (1, 2)] == [second, first]  # noqa: B009
        table = seen.table()
        assert sorted(zip(table.sha256(np.arange(len(table))), table.face.tolist(), strict=True)) == sorted(
            [(sha(1), 0), (sha(1), 1), (sha(1), 2), (sha(2), 0)]
        )


def test_a_coarser_search_never_replaces_a_finer_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path, FINGERPRINT, dimension=DIMENSION)
    # Two concurrent writers.
    late = Cache(tmp_path, FINGERPRINT)
    with ShardWriter(cache) as writer:
        writer.add(searched(1, 12, faces=2))
        writer.add(searched(2, 12))
    assert not late.covers(searched(1, 40))
    with ShardWriter(late) as writer:
        writer.add(searched(1, 40, faces=1))
    cache.refresh()
    late.refresh()
    for seen in (cache, late, Cache(tmp_path, FINGERPRINT)):
        assert_same(seen.get(sha(1)), image(1, faces=2))
        assert seen.covers(searched(1, 40))
        assert seen.covers(searched(1, 12))
        assert not seen.covers(searched(1, 8))
        assert not seen.covers(searched(3, None))
