"""Parts: complete, damaged and unfinished ones."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest
from invented import assert_same, files, image, sha, store

from arcage.cache import Cache, ShardWriter
from arcage.errors import CacheError


def damage_npy(cache: Cache) -> None:
    os.truncate(files(cache, "npy")[0], 150)


def damage_parquet(cache: Cache) -> None:
    os.truncate(files(cache, "parquet")[0], 0)


def damage_parquet_inside(cache: Cache) -> None:
    path = files(cache, "parquet")[0]
    path.write_bytes(b"\0" * path.stat().st_size)


def damage_missing_npy(cache: Cache) -> None:
    files(cache, "npy")[0].unlink()


def damage_marker(cache: Cache) -> None:
    files(cache, "done")[0].write_bytes(b"{}")


def damage_marker_empty(cache: Cache) -> None:
    files(cache, "done")[0].write_bytes(b"")


def damage_marker_of_another(cache: Cache) -> None:
    path = files(cache, "done")[0]
    path.write_text(path.read_text().replace('"f1"', '"f2"'))


@pytest.mark.parametrize(
    "damage",
    [
        damage_npy,
        damage_parquet,
        damage_parquet_inside,
        damage_missing_npy,
        damage_marker,
        damage_marker_empty,
        damage_marker_of_another,
    ],
)
def test_a_damaged_shard_counts_as_missing_and_is_written_again(
    cache: Cache, reopened: Callable[[], Cache], damage: Callable[[Cache], None]
) -> None:
    store(cache, *[image(seed) for seed in range(4)], per_shard=2)
    name = files(cache, "done")[0].stem
    damage(cache)
    seen = reopened()
    assert seen.missing([sha(seed) for seed in range(4)]).tolist() == [True, True, False, False]
    assert len(seen.damaged) == 1
    assert name in str(seen.damaged[0])
    assert "Delete" in str(seen.damaged[0])
    assert seen.get(sha(0)) is None
    assert len(seen.table()) == 2
    before = {path: path.read_bytes() for path in cache.path.iterdir()}
    store(seen, *[image(seed) for seed in range(4)])
    for view in (seen, reopened()):
        assert len(view) == 4
        assert len(view.table().descriptors()) == 4
        assert_same(view.get(sha(0)), image(0))
        assert len(view.damaged) == 1
    assert len(reopened().verify()) == 1
    assert all(path.read_bytes() == content for path, content in before.items())
    for path in cache.path.glob(f"{name}.*"):
        path.unlink()
    seen.refresh()
    assert seen.damaged == ()
    assert len(seen) == 4


def test_damage_that_shows_after_opening(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    store(reopened(), image(2))
    seen = reopened()
    assert sha(1) in seen
    damage_parquet_inside(cache)
    assert seen.get(sha(1)) is None
    assert len(seen) == 1
    assert len(seen.damaged) == 1
    assert len(seen.table()) == 1


def test_verify_finds_a_changed_byte(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1), image(2))
    path = files(cache, "npy")[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    seen = reopened()
    assert seen.damaged == ()
    assert [path.name in bad.reason for bad in seen.verify()] == [True]


@pytest.mark.parametrize("old", [False, True])
def test_a_changed_byte_is_noticed_when_a_file_is_used(
    cache: Cache, reopened: Callable[[], Cache], old: bool
) -> None:
    store(cache, image(1), image(2), image(3), image(4), per_shard=2)
    if old:
        forget_checksums(cache)
    assert len(reopened().table().descriptors()) == 4
    path = files(cache, "npy")[0]
    before = path.read_bytes()
    path.write_bytes(before[:-2] + b"\x00\x38")
    seen = reopened()
    table = seen.table()
    with pytest.raises(CacheError, match=r"has changed .* Delete"):
        table.descriptors()
    assert sorted(table.descriptors(table.shard == 1)[:, 0].tolist()) == [3, 4]
    assert seen.get(sha(2)) is None
    assert_same(seen.get(sha(3)), image(3))
    assert seen.missing([sha(1), sha(2), sha(3)]).tolist() == [True, True, False]
    assert len(seen.damaged) == 1
    path.write_bytes(before)
    parquet = files(cache, "parquet")[1]
    content = bytearray(parquet.read_bytes())
    content[len(content) // 3] ^= 1
    parquet.write_bytes(content)
    seen = reopened()
    assert len(seen.table()) == len(seen) == 2
    assert "has changed" in str(seen.damaged[0])


def test_files_that_changed_places_are_noticed(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1), image(2), per_shard=1)
    one, other = files(cache, "npy")
    spare = one.with_name("spare")
    for source, target in ((one, spare), (other, one), (spare, other)):
        source.rename(target)
    seen = reopened()
    assert seen.get(sha(1)) is seen.get(sha(2)) is None
    assert len(seen.damaged) == 2


def test_lost_markers_are_noticed(cache: Cache, reopened: Callable[[], Cache]) -> None:
    with ShardWriter(cache) as writer:
        writer.add(image(1), "1.jpg")
    assert reopened().remarks() == []
    files(cache, "done")[0].unlink()
    (text,) = reopened().remarks()
    assert files(cache, "npy")[0].stem in text
    assert "run the same extraction again" in text
    next((cache.directory / "names").glob("*.done")).unlink()
    (text,) = reopened().remarks()
    assert "and 1 more" in text


def test_pipes_are_not_waited_for(cache: Cache, reopened: Callable[[], Cache]) -> None:
    for seed, suffix in enumerate(("done", "npy", "parquet")):
        store(cache, image(seed))
        path = files(cache, suffix)[-1]
        path.unlink()
        os.mkfifo(path)
    assert len(reopened()) == 0
    assert len(reopened().damaged) == 3


def forget_checksums(cache: Cache) -> None:
    """Write the markers as earlier versions did."""
    for path in files(cache, "done"):
        facts = json.loads(path.read_bytes())
        del facts["checksum"]
        for file in facts["files"].values():
            del file["xxh3"]
        path.write_text(json.dumps(facts, indent=1))


def test_foreign_files_are_kept(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    shard = files(cache, "done")[0].stem
    strangers = [
        cache.path / "notes.txt",
        cache.path / ".DS_Store",
        cache.path / "something.done",
        cache.path / "something.npy",
        cache.path / f"{shard}.npy.bak",
        cache.path / "20200101T000000000000-0123456789ab.done.swp",
        cache.path / "20200101T000000000000-0123456789ab.txt",
    ]
    for path in strangers:
        path.write_bytes(b"x")
    (cache.path / "folder.done").mkdir()
    (cache.directory / "photo.jpg").write_bytes(b"x")
    seen = reopened()
    assert len(seen) == 1
    assert seen.damaged == seen.verify() == ()
    assert Cache.fingerprints(cache.directory) == ["f1"]
    seen.clean(older_than=-1)
    assert all(path.exists() for path in strangers)
    assert len(reopened()) == 1


def test_a_part_without_its_marker_is_ignored_and_cleaned_in_time(
    cache: Cache, reopened: Callable[[], Cache]
) -> None:
    store(cache, image(1))
    store(cache, image(2))
    files(cache, "done")[0].unlink()
    leftover = cache.path / f"{files(cache, 'done')[0].stem[:-12]}{'0' * 12}.npy.tmp"
    leftover.write_bytes(b"half")
    old_description = cache.path / f"pipeline.json.{leftover.name[:34]}.tmp"
    old_description.write_bytes(b"{")
    seen = reopened()
    assert seen.missing([sha(1), sha(2)]).tolist() == [True, False]
    assert seen.damaged == ()
    assert seen.clean() == []
    for path in cache.path.iterdir():
        os.utime(path, (time.time() - 90_000,) * 2)
    assert len(seen.clean()) == 4
    assert len(list(cache.path.iterdir())) == 1 + 3
    assert_same(reopened().get(sha(2)), image(2))


def test_a_marker_without_files(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    for suffix in ("npy", "parquet"):
        files(cache, suffix)[0].unlink()
    seen = reopened()
    assert len(seen) == 0
    assert len(seen.damaged) == 1
    assert "missing" in seen.damaged[0].reason
