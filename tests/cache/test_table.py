"""The content of a cache as columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from invented import DIMENSION, EVERY_KIND, FINGERPRINT, image, searched, sha, store

from arcage.cache import Cache, ShardWriter, to_keys
from arcage.cache.table import join_tables


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


def test_the_table_does_not_depend_on_the_writers(tmp_path: Path) -> None:
    images = [image(seed, faces=seed % 3) for seed in range(20)]
    one = Cache(tmp_path / "one", "f", dimension=DIMENSION)
    store(one, *images)
    other = Cache(tmp_path / "other", "f", dimension=DIMENSION)
    store(other, *reversed(images), per_shard=3)
    left, right = one.table(), other.table()
    np.testing.assert_array_equal(left.keys, right.keys)
    np.testing.assert_array_equal(left.boxes, right.boxes)
    np.testing.assert_array_equal(left.descriptors(), right.descriptors())


def test_the_finest_search_of_several_caches_counts(tmp_path: Path) -> None:
    tables = []
    for name, min_face, faces in (("a", None, 1), ("b", 12, 3), ("c", 40, 2)):
        cache = Cache(tmp_path / name, FINGERPRINT, dimension=DIMENSION)
        with ShardWriter(cache) as writer:
            writer.add(searched(1, min_face, faces=faces))
        tables.append(cache.table())
    joined = join_tables(tables)
    assert joined.face.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(joined.descriptors(), image(1, faces=3).descriptors)
