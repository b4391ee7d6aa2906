"""Writers: what they store, and when."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import pytest
from invented import DIMENSION, assert_same, files, image, sha, store

from arcage.cache import Cache, ShardWriter
from arcage.errors import CacheError
from arcage.types import Face, ImageFaces


def test_an_image_is_written_once_by_a_writer(cache: Cache, reopened: Callable[[], Cache]) -> None:
    with ShardWriter(cache, images_per_shard=2) as writer:
        reported = [writer.add(image(seed)) for seed in (1, 1, 2, 1, 2, 3)]
    # The first shard is written after the first two images.
    assert reported == [False, False, False, True, True, False]
    store(cache, image(1), image(2))
    store(reopened(), image(3))
    assert len(files(cache, "done")) == 2
    rows = [json.loads(path.read_text())["rows"] for path in files(cache, "done")]
    assert sum(rows) == 3


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


def test_a_shard_is_written_after_a_time(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_part_is_written_after_many_faces_or_characters(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts stay far below the limits of readers, also with small descriptors and long names."""
    monkeypatch.setattr("arcage.cache.writer._ROWS_PER_SHARD", 5)
    monkeypatch.setattr("arcage.cache.writer._NAME_CHARACTERS_PER_PART", 1000)
    writer = ShardWriter(cache)
    writer.add(image(1, faces=3))
    assert len(files(cache, "done")) == 0
    writer.add(image(2, faces=2))
    assert len(files(cache, "done")) == 1
    writer.add(image(3, faces=0), "a" * 999)
    assert len(files(cache, "done")) == 1
    writer.add_name(sha(1), "b")
    assert len(files(cache, "done")) == 2
    assert len(cache.names()) == 2
    writer.add_name(sha(1), "c")
    assert len(cache.names()) == 2


def test_files_that_cannot_be_read_are_not_cached(cache: Cache) -> None:
    nothing = ImageFaces("", 0, 0, "unreadable", "gone", (), np.empty((0, DIMENSION), np.float16))
    with ShardWriter(cache) as writer:
        writer.add(nothing, "a.jpg")
        writer.add_name("", "a.jpg")
    assert len(cache) == len(cache.names()) == 0


def test_invalid_results_are_refused(cache: Cache, reopened: Callable[[], Cache]) -> None:
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
