"""The descriptor cache: what goes in comes out once, whoever wrote it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arcage.cache import Cache, ShardWriter, to_hex, to_keys
from arcage.cache.shard import read_rows
from arcage.cache.table import join_tables
from arcage.errors import CacheError
from arcage.types import Face, ImageFaces

FINGERPRINT = "f"
DIMENSION = 8


def image(seed: int, *, faces: int = 1, status: str | None = None, dimension: int = DIMENSION) -> ImageFaces:
    """An invented result whose descriptors tell the seed and the face."""
    rng = np.random.default_rng(seed)
    found = tuple(
        Face(
            box=rng.uniform(-5, 500, 4).astype(np.float32),
            landmarks=rng.uniform(0, 500, (5, 2)).astype(np.float32),
            score=float(np.float32(0.9 - 0.1 * index)),
        )
        for index in range(faces)
    )
    descriptors = np.full((faces, dimension), seed, dtype=np.float16)
    descriptors[:, -1] = np.arange(faces)
    return ImageFaces(
        sha256=sha(seed),
        width=640,
        height=480 + seed,
        status=status or ("ok" if faces else "no_face"),  # type: ignore[arg-type]
        error="the JPEG ends too early" if status == "unreadable" else "",
        faces=found,
        descriptors=descriptors,
    )


def sha(seed: int) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()


def assert_same(left: ImageFaces | None, right: ImageFaces) -> None:
    assert left is not None
    for field in ("sha256", "width", "height", "status", "error"):
        assert getattr(left, field) == getattr(right, field)
    assert [face.score for face in left.faces] == [face.score for face in right.faces]
    for one, other in zip(left.faces, right.faces, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        assert one.box.dtype == one.landmarks.dtype == np.float32
    assert left.descriptors.dtype == np.float16
    np.testing.assert_array_equal(left.descriptors, right.descriptors)


def store(cache: Cache, *images: ImageFaces, per_shard: int = 2048) -> None:
    with ShardWriter(cache, images_per_shard=per_shard) as writer:
        for one in images:
            writer.add(one)


def files(cache: Cache, suffix: str) -> list[Path]:
    return sorted(cache.path.glob(f"*.{suffix}"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", "f1", dimension=DIMENSION, pipeline={"detector": "yunet", "size": 640})


@pytest.fixture
def reopened(cache: Cache) -> Callable[[], Cache]:
    """A fresh look at the same folder."""
    return lambda: Cache(cache.directory, cache.fingerprint)


EVERY_KIND = [image(1, faces=3), image(2, faces=0), image(3, faces=0, status="unreadable"), image(4)]


def test_what_goes_in_comes_out(cache: Cache, reopened: Callable[[], Cache]) -> None:
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


@pytest.mark.parametrize("per_shard", [1, 2, 100])
def test_table(cache: Cache, reopened: Callable[[], Cache], per_shard: int) -> None:
    store(cache, *EVERY_KIND, image(5, faces=2), per_shard=per_shard)
    table = reopened().table()
    assert len(table) == 8
    assert table.keys.tobytes() == np.sort(table.keys).tobytes()
    assert table.boxes.shape == (8, 4)
    assert table.landmarks.shape == (8, 5, 2)
    first = table.find(to_keys([sha(1), sha(99), sha(2), sha(3), sha(5)]))
    assert first[1] == -1
    one, none, bad, two = first[[0, 2, 3, 4]]
    assert table.face[one : one + 3].tolist() == [0, 1, 2]
    assert table.faces[one : one + 3].tolist() == [3, 3, 3]
    assert table.sha256(np.array([one, one + 2])) == [sha(1), sha(1)]
    assert (table.face[none], table.faces[none], table.status[none]) == (-1, 0, "no_face")
    assert np.isnan(table.boxes[none]).all()
    assert np.isnan(table.landmarks[none]).all()
    assert np.isnan(table.scores[none])
    assert (table.status[bad], table.error[bad]) == ("unreadable", "the JPEG ends too early")
    assert table.height[[one, two]].tolist() == [481, 485]

    rows = np.array([two + 1, one, one + 2, one])
    got = table.descriptors(rows, dtype=np.float32)
    assert got.dtype == np.float32
    assert got[:, 0].tolist() == [5, 1, 1, 1]
    assert got[:, -1].tolist() == [1, 0, 2, 0]
    assert table.descriptors().shape == (6, DIMENSION)
    assert table.descriptors().dtype == np.float16
    np.testing.assert_array_equal(
        table.descriptors(table.face == 0), table.descriptors(np.flatnonzero(table.face == 0))
    )
    assert table.descriptors(np.array([], dtype=np.int64)).shape == (0, DIMENSION)
    assert sorted(table.storage_order()) == np.flatnonzero(table.face >= 0).tolist()
    with pytest.raises(ValueError, match="without a face"):
        table.descriptors(np.array([none]))
    with pytest.raises(ValueError, match="mask"):
        table.descriptors(np.array([True]))


def test_the_table_does_not_depend_on_who_wrote_what(tmp_path: Path) -> None:
    images = [image(seed, faces=seed % 3) for seed in range(20)]
    one = Cache(tmp_path / "one", "f", dimension=DIMENSION)
    store(one, *images)
    other = Cache(tmp_path / "other", "f", dimension=DIMENSION)
    store(other, *reversed(images), per_shard=3)
    left, right = one.table(), other.table()
    np.testing.assert_array_equal(left.keys, right.keys)
    np.testing.assert_array_equal(left.boxes, right.boxes)
    np.testing.assert_array_equal(left.descriptors(), right.descriptors())


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


def test_a_shard_without_any_face(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1, faces=0), image(2, faces=0))
    assert_same(reopened().get(sha(1)), image(1, faces=0))
    assert reopened().table().descriptors().shape == (0, DIMENSION)
    assert reopened().verify() == ()


def test_keys_and_digits() -> None:
    hashes = ["00" * 32, "ff" * 31 + "00", "AB" * 32]
    assert to_hex(to_keys(hashes)) == [text.lower() for text in hashes]
    for bad in ("", "ab", "g" * 64, "ab " * 21 + "a"):
        with pytest.raises(ValueError, match=r"hexa|64"):
            to_keys([bad])


def test_hashes_that_end_in_zero_bytes(cache: Cache, reopened: Callable[[], Cache]) -> None:
    """numpy drops trailing zeros of single elements: none of that may reach a lookup."""
    hashes = ["00" * 32, "00" * 31 + "01", "01" + "00" * 31]
    some = [image(seed) for seed in range(3)]
    results = [
        ImageFaces(h, i.width, i.height, "ok", "", i.faces, i.descriptors)
        for h, i in zip(hashes, some, strict=True)
    ]
    store(cache, *results)
    for result in results:
        assert_same(reopened().get(result.sha256), result)
    assert sorted(reopened().table().sha256(np.arange(3))) == sorted(hashes)


def test_an_image_is_written_once_by_a_writer(cache: Cache, reopened: Callable[[], Cache]) -> None:
    with ShardWriter(cache, images_per_shard=2) as writer:
        told = [writer.add(image(seed)) for seed in (1, 1, 2, 1, 2, 3)]
    # The first shard is written after the first two images.
    assert told == [False, False, False, True, True, False]
    store(cache, image(1), image(2))
    store(reopened(), image(3))
    assert len(files(cache, "done")) == 2
    rows = [json.loads(path.read_text())["rows"] for path in files(cache, "done")]
    assert sum(rows) == 3


def test_of_two_copies_the_first_shard_counts(cache: Cache, reopened: Callable[[], Cache]) -> None:
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


def test_refresh_shows_what_others_wrote(cache: Cache, reopened: Callable[[], Cache]) -> None:
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


def test_a_writer_sees_its_own_shards(cache: Cache) -> None:
    assert len(cache) == 0
    with ShardWriter(cache, images_per_shard=3) as writer:
        for seed in range(20):
            writer.add(image(seed, faces=seed % 4))
            for done in range(seed // 3 * 3):
                assert sha(done) in cache
    assert len(cache) == 20
    for seed in range(20):
        assert_same(cache.get(sha(seed)), image(seed, faces=seed % 4))


def test_shards_are_read_once_in_whatever_order_images_are_asked_for(
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


def test_the_caller_may_reuse_its_arrays(cache: Cache) -> None:
    batch = np.asfortranarray(np.arange(2 * DIMENSION, dtype=np.float16).reshape(2, DIMENSION))
    expected = batch.copy()
    box, landmarks = np.ones(4, np.float32), np.ones((5, 2), np.float32)
    face = Face(box, landmarks, 0.5)
    with ShardWriter(cache) as writer:
        writer.add(ImageFaces(sha(1), 1, 1, "ok", "", (face, face), batch))
        batch[:], box[:], landmarks[:] = 0, 0, 0
    got = cache.get(sha(1))
    assert got is not None
    np.testing.assert_array_equal(got.descriptors, expected)
    assert got.faces[1].box.tolist() == [1, 1, 1, 1]
    assert got.faces[1].landmarks.min() == 1


def test_a_shard_is_due_after_a_time(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with ShardWriter(cache, max_seconds=60) as writer:
        writer.add(image(1))
        now += 59
        writer.add(image(2))
        assert files(cache, "done") == []
        now += 1
        writer.add(image(1))
        assert len(files(cache, "done")) == 1
        now += 59
        writer.add(image(3))
        assert len(files(cache, "done")) == 1


def test_bytes_that_could_not_be_had_are_not_cached(cache: Cache) -> None:
    nothing = ImageFaces("", 0, 0, "unreadable", "gone", (), np.empty((0, DIMENSION), np.float16))
    with ShardWriter(cache) as writer:
        writer.add(nothing, "a.jpg")
        writer.add_name("", "a.jpg")
    assert len(cache) == len(cache.names()) == 0


def test_results_that_do_not_belong_in_a_cache(cache: Cache, reopened: Callable[[], Cache]) -> None:
    good = image(1)
    nonsense = [
        image(2, dimension=DIMENSION + 1),
        ImageFaces(sha(3), 1, 1, "ok", "", good.faces, np.full((1, DIMENSION), np.nan, np.float16)),
        ImageFaces(sha(4), 1, 1, "ok", "", good.faces, np.full((1, DIMENSION), 1e6, np.float32)),  # type: ignore[arg-type]
        ImageFaces(sha(5), 1, 1, "ok", "", good.faces, np.empty((0, DIMENSION), np.float16)),
        image(6, faces=0, status="ok"),
        image(7, faces=1, status="no_face"),
    ]
    with ShardWriter(cache) as writer:
        writer.add(good)
        for bad in nonsense:
            with pytest.raises(CacheError, match=bad.sha256):
                writer.add(bad)
        with pytest.raises(ValueError, match="64"):
            writer.add(ImageFaces("ab", 1, 1, "ok", "", good.faces, good.descriptors))
    assert len(reopened()) == 1


# Names


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


# Damage


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


def test_descriptors_that_vanish_or_change_shape(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    table = reopened().table()
    path = files(cache, "npy")[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(1, 8)", b"(8, 1)"))
    with pytest.raises(CacheError, match=r"Delete .* run the same"):
        table.descriptors()
    path.write_bytes(b"\x80" + content[1:])
    with pytest.raises(CacheError, match="Delete"):
        table.descriptors()
    path.unlink()
    with pytest.raises(CacheError, match="Delete"):
        table.descriptors()


def test_reading_never_unpickles(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    path = files(cache, "npy")[0]
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    marker = files(cache, "done")[0]
    facts = json.loads(marker.read_text())
    facts["files"]["npy"]["bytes"] = path.stat().st_size
    marker.write_text(json.dumps(facts))
    with pytest.raises(CacheError, match="Delete"):
        reopened().get(sha(1))


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


def test_what_is_not_ours_is_left_alone(cache: Cache, reopened: Callable[[], Cache]) -> None:
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


# Opening


def test_pipeline_json(cache: Cache, reopened: Callable[[], Cache]) -> None:
    content = json.loads((cache.path / "pipeline.json").read_text())
    assert content == {
        "schema": 1,
        "fingerprint": "f1",
        "dimension": DIMENSION,
        "pipeline": {"detector": "yunet", "size": 640},
    }
    before = (cache.path / "pipeline.json").stat()
    again = Cache(cache.directory, "f1", dimension=DIMENSION, pipeline={"other": 1})
    assert (cache.path / "pipeline.json").stat() == before
    assert again.pipeline == reopened().pipeline == {"detector": "yunet", "size": 640}
    assert again.dimension == reopened().dimension == DIMENSION


def test_another_dimension_or_schema_is_refused(cache: Cache, reopened: Callable[[], Cache]) -> None:
    with pytest.raises(CacheError, match=r"8 columns .* makes 9.*`cache`"):
        Cache(cache.directory, "f1", dimension=9)
    path = cache.path / "pipeline.json"
    text = path.read_text()
    path.write_text(text.replace('"schema": 1', '"schema": 2'))
    with pytest.raises(CacheError, match=r"another version .*`cache`"):
        reopened()
    for damaged in ("", "[]", "{}", '{"schema": 1, "dimension": "x", "pipeline": {}}'):
        path.write_text(damaged)
        with pytest.raises(CacheError, match="Delete this one file"):
            reopened()


def test_descriptors_outlive_their_description(cache: Cache) -> None:
    store(cache, image(1))
    (cache.path / "pipeline.json").unlink()
    assert_same(Cache(cache.directory, "f1", dimension=DIMENSION).get(sha(1)), image(1))


def test_what_is_not_there(tmp_path: Path, cache: Cache) -> None:
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
    """Permissions do not bind root, so the calls themselves are forbidden."""
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


def test_importing_does_not_load_pyarrow() -> None:
    code = "import sys, arcage.cache; sys.exit('pyarrow' in sys.modules)"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


# How fine the search was


def searched(seed: int, min_face: int | None, faces: int = 1) -> ImageFaces:
    return replace(image(seed, faces=faces), min_face=min_face)


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
    # Two writers at once, neither of which knows of the other.
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


def test_a_shard_is_as_fine_as_its_coarsest_image(tmp_path: Path) -> None:
    cases = ((12, 40), 40), ((12, None), None), ((40, 12, None, 8), None)
    for number, (kinds, expected) in enumerate(cases):
        cache = Cache(tmp_path / str(number), FINGERPRINT, dimension=DIMENSION)
        with ShardWriter(cache) as writer:
            for seed, kind in enumerate(kinds):
                writer.add(searched(seed, kind))
        (marker,) = cache.path.glob("*.done")
        assert json.loads(marker.read_bytes()).get("min_face") == expected
        stored = cache.get(sha(0))
        assert stored is not None
        assert stored.min_face == expected


def test_of_several_caches_the_finest_search_counts(tmp_path: Path) -> None:
    tables = []
    for name, min_face, faces in (("a", None, 1), ("b", 12, 3), ("c", 40, 2)):
        cache = Cache(tmp_path / name, FINGERPRINT, dimension=DIMENSION)
        with ShardWriter(cache) as writer:
            writer.add(searched(1, min_face, faces=faces))
        tables.append(cache.table())
    joined = join_tables(tables)
    assert joined.face.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(joined.descriptors(), image(1, faces=3).descriptors)
