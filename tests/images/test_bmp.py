"""BMP: sizes in old and new headers."""

from __future__ import annotations

import struct

import numpy as np
from encoded import encode, picture

from arcage.images.bmp import read_header
from arcage.images.decoder import decode


def test_size() -> None:
    header = read_header(encode(picture(24, 40), ".bmp"))
    assert (header.width, header.height, header.orientation) == (40, 24, 1)
    old = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 40, 24, 1, 24)
    assert (read_header(old).width, read_header(old).height) == (40, 24)


def test_rows_from_top_to_bottom() -> None:
    data = encode(picture(24, 40), ".bmp")
    flipped = data[:22] + struct.pack("<i", -24) + data[26:]
    assert read_header(flipped).height == 24
    np.testing.assert_array_equal(decode(flipped), picture(24, 40)[::-1])
