"""TIFF: colours, sample types and pages."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from encoded import BIG, difference, encode, save, tiff

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.images.multi_frame import is_multi_frame


def test_floating_point_and_signed_tiff_are_refused() -> None:
    with pytest.raises(ImageError, match="8 or 16 bits"):
        decode(encode(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10), ".tiff"))
    signed = {256: 2, 257: 1, 258: 16, 259: 1, 262: 1, 277: 1, 278: 1, 339: 2}
    with pytest.raises(ImageError, match="8 or 16 bits"):
        decode(tiff(signed, bytes(4)))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_cmyk_tiff(compression: str | None) -> None:
    assert difference(decode(save(BIG, "TIFF", "CMYK", compression=compression)), BIG) < 4


def test_the_first_page_of_a_tiff() -> None:
    image = pytest.importorskip("PIL.Image").fromarray(BIG[::-1].copy())
    data = save(BIG, "TIFF", save_all=True, append_images=[image])
    np.testing.assert_array_equal(decode(data), BIG)
    assert is_multi_frame(data)
    assert not is_multi_frame(save(BIG, "TIFF"))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_strips_that_are_shorter_than_their_pixels_are_refused(compression: str) -> None:
    data = bytearray(save(BIG, "TIFF", compression=compression))
    assert decode(bytes(data)).shape == BIG.shape
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, number, place = struct.unpack_from("<HHII", data, entry)
        if tag == 279:  # sizes of the strips
            size, form = (4, "<I") if kind == 4 else (2, "<H")
            first = entry + 8 if number * size <= 4 else place
            for at in range(first, first + number * size, size):
                struct.pack_into(form, data, at, struct.unpack_from(form, data, at)[0] // 2)
    with pytest.raises(ImageError, match="damaged TIFF image"):
        decode(bytes(data))
