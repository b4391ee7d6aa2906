"""Raw files: the preview, its orientation, and damage."""

from __future__ import annotations

import random

import numpy as np
import pytest
from encoded import BIG, STORED, assert_rgb, difference, dng, encode, jpeg, mutated, oriented

from arcage.errors import ImageError
from arcage.images import raw
from arcage.images.decoder import decode
from arcage.images.limits import DecodeLimits


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_preview_of_a_raw_file(orientation: int, order: str) -> None:
    pytest.importorskip("rawpy")
    stored = np.ascontiguousarray(STORED[orientation](BIG))
    image = decode(dng(jpeg(stored), orientation, order))
    assert_rgb(image)
    assert difference(image, BIG) < 4


def test_a_preview_with_its_own_orientation() -> None:
    pytest.importorskip("rawpy")
    stored = np.ascontiguousarray(STORED[6](BIG))
    assert difference(decode(dng(oriented(stored, 6, "JPEG"), 6)), BIG) < 4


def test_the_size_limit_of_a_preview() -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(ImageError, match="too large: 15,360 pixels"):
        decode(dng(jpeg(BIG)), limits=DecodeLimits(pixels=15_000))


def test_damaged_raw_files_are_refused() -> None:
    pytest.importorskip("rawpy")
    data = dng(jpeg(BIG))
    decode(data)  # leaves its preview in memory, with which LibRaw could complete the next one
    with pytest.raises(ImageError, match="damaged raw file: its preview is cut off"):
        decode(data[:-200])
    with pytest.raises(ImageError, match="damaged TIFF image"):
        decode(data[:300])
    with pytest.raises(ImageError, match="raw file"):
        decode(b"FUJIFILMCCD-RAW 0201" + bytes(300))
    chance = random.Random(1)
    refused = 0
    for _ in range(200):
        try:
            assert_rgb(decode(mutated(data, chance)))
        except ImageError:
            refused += 1
    assert refused > 10


def test_raw_files_are_recognised_by_their_content() -> None:
    assert raw.is_raw(dng(jpeg(BIG)))
    assert raw.is_raw(b"II*\0\x10\0\0\0CR\x02\0")
    assert raw.is_raw(b"\0\0\0\x18ftypcrx \0\0\0\1")
    assert raw.is_raw(b"IIU\0\x08\0\0\0")
    for data in (encode(BIG, ".tiff"), jpeg(BIG), encode(BIG, ".png"), b"", b"II*\0"):
        assert not raw.is_raw(data)
