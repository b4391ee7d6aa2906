"""Shards: their descriptors, and how fine their search was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xxhash
from invented import DIMENSION, FINGERPRINT, assert_same, files, image, searched, sha, store

from arcage.cache import Cache, ShardWriter
from arcage.cache.marker import sealed
from arcage.errors import CacheError


def test_a_shard_without_any_face(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1, faces=0), image(2, faces=0))
    assert_same(reopened().get(sha(1)), image(1, faces=0))
    assert reopened().table().descriptors().shape == (0, DIMENSION)
    assert reopened().verify() == ()


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
    del facts["checksum"]
    content = path.read_bytes()
    facts["files"]["npy"].update(
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        xxh3=xxhash.xxh3_128_hexdigest(content),
    )
    marker.write_text(json.dumps(sealed(facts)))
    seen = reopened()
    assert seen.get(sha(1)) is None
    assert "the header is not as NumPy writes it" in str(seen.damaged[0])


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
