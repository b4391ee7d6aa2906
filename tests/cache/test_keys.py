"""Keys: hashes as raw bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from invented import assert_same, image, store

from arcage.cache import Cache, to_hex, to_keys
from arcage.types import ImageFaces


def test_keys_and_digits() -> None:
    hashes = ["00" * 32, "ff" * 31 + "00", "AB" * 32]
    assert to_hex(to_keys(hashes)) == [text.lower() for text in hashes]
    for bad in ("", "ab", "g" * 64, "ab " * 21 + "a"):
        with pytest.raises(ValueError, match=r"hexa|64"):
            to_keys([bad])


def test_hashes_that_end_in_zero_bytes(cache: Cache, reopened: Callable[[], Cache]) -> None:
    """NumPy drops trailing zero bytes of single elements, which must not affect lookups."""
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
