"""File names are stored once, apart from the shards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from invented import assert_same, image, sha

from arcage.cache import Cache, ShardWriter


def test_names(cache: Cache, reopened: Callable[[], Cache]) -> None:
    with ShardWriter(cache) as writer:
        writer.add(image(1), "b/1.jpg")
        writer.add(image(1), "a/1.jpg")
        writer.add(image(2, faces=0), "b/2.jpg")
        writer.add(image(2, faces=0), "b/2.jpg")
        writer.add(image(3))
    with ShardWriter(reopened()) as writer:
        writer.add_name(sha(3), "b/1.jpg")
        writer.add_name(sha(1), "b/1.jpg")
        writer.add_name(sha(99), "nowhere.jpg")
    names = reopened().names()
    expected = [("a/1.jpg", sha(1)), *sorted([("b/1.jpg", sha(1)), ("b/1.jpg", sha(3))]), ("b/2.jpg", sha(2))]
    assert list(zip(names.names, names.sha256(), strict=True)) == expected
    table = reopened().table()
    assert table.sha256(table.find(names.keys)) == names.sha256()


def test_names_that_are_known_are_not_written_again(cache: Cache, reopened: Callable[[], Cache]) -> None:
    for _ in range(3):
        with ShardWriter(reopened()) as writer:
            for seed in range(5):
                writer.add(image(seed), f"{seed}.jpg")
                writer.add_name(sha(seed), f"{seed}.jpg")
    assert len(list((cache.directory / "names").glob("*.done"))) == 1
    assert len(cache.names()) == 5


def test_names_serve_every_pipeline_and_can_be_deleted(cache: Cache, reopened: Callable[[], Cache]) -> None:
    other = Cache(cache.directory, "f2", dimension=3)
    with ShardWriter(cache) as writer:
        writer.add(image(1), "1.jpg")
    assert other.names().names.tolist() == ["1.jpg"]
    assert other.table().find(other.names().keys).tolist() == [-1]
    shutil.rmtree(cache.directory / "names")
    assert len(reopened().names()) == 0
    assert_same(reopened().get(sha(1)), image(1))
    with ShardWriter(reopened()) as writer:
        writer.add(image(1), "1.jpg")
    assert reopened().names().names.tolist() == ["1.jpg"]


def test_odd_names(cache: Cache) -> None:
    odd = ["é\u0301 ü.jpg", "a\nb.jpg", os.fsdecode(b"caf\xe9.jpg"), "😀", "x" * 300]
    with ShardWriter(cache) as writer:
        writer.add(image(1))
        for name in odd:
            writer.add_name(sha(1), name)
        with pytest.raises(ValueError, match="relative"):
            writer.add_name(sha(1), "/home/me/1.jpg")
        with pytest.raises(ValueError, match="64"):
            writer.add_name("ab", "1.jpg")
    expected = {name.encode("utf-8", "backslashreplace").decode() for name in odd}
    assert set(cache.names().names) == expected


def test_no_name_in_a_shard(cache: Cache) -> None:
    with ShardWriter(cache, images_per_shard=2) as writer:
        for seed in range(5):
            writer.add(image(seed), f"Ada_Lovelace/portrait_{seed}.jpg")
    shards = list(cache.path.iterdir())
    assert len(shards) == 1 + 3 * 3
    for path in shards:
        assert b"Lovelace" not in path.read_bytes()
        assert b"portrait" not in path.read_bytes()
    assert any(b"Lovelace" in path.read_bytes() for path in (cache.directory / "names").iterdir())


def test_damaged_names_are_written_again(cache: Cache, reopened: Callable[[], Cache]) -> None:
    with ShardWriter(cache) as writer:
        writer.add(image(1), "1.jpg")
    path = next((cache.directory / "names").glob("*.parquet"))
    for content in (b"\0" * path.stat().st_size, b"short"):
        path.write_bytes(content)
        seen = reopened()
        assert len(seen.names()) in (0, 1)
        assert len(seen.damaged) == 1
        assert "names" in str(seen.damaged[0])
        assert len(seen.verify()) == 1
        with ShardWriter(seen) as writer:
            writer.add(image(1), "1.jpg")
        assert reopened().names().names.tolist() == ["1.jpg"]
