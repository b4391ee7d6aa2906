"""Netpbm: plain and binary, grey and colour, and damage."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import BIG, assert_rgb, encode

from arcage.errors import ImageError
from arcage.images.decoder import decode

GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        b"P5 3 2 255\n" + GREY.tobytes(),
        b"P5\n# made by hand\n3 # columns\n2\n#\n5\n" + bytes(range(6)),
        b"P5\n3 2\n65535\n" + (GREY.astype(">u2") * 257).tobytes(),
        b"P2\n3 2\n5\n0 1 2\n3 4 5\n",
        b"P2 3 2 1000 0 200\n400 # half\n600 800 1000",
        b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" + GREY.tobytes(),
        b"P7\n# a comment\nDEPTH 1\nHEIGHT 2\nWIDTH 3\nMAXVAL 5\nENDHDR\n" + bytes(range(6)),
        b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 2\nMAXVAL 255\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n"
        + np.dstack([GREY, np.full_like(GREY, 255)]).tobytes(),
    ],
)
def test_grey_netpbm(data: bytes) -> None:
    image = decode(data)
    assert_rgb(image)
    assert image.tolist() == np.repeat(GREY[..., None], 3, 2).tolist()
    if data[:2] != b"P2":
        with pytest.raises(ImageError, match="truncated or damaged Netpbm image"):
            decode(data[:-1])


@pytest.mark.parametrize(
    "data",
    [
        b"P4\n# bits\n10 2\n\xa5\x40\x5a\x80",
        b"P1\n10 2\n1010010101\n01011010 1 0",
        b"P1 10 2 1 0 1 0 0 1 0 1 0 1 0101101010",
    ],
)
def test_bitmaps(data: bytes) -> None:
    black = [[1, 0, 1, 0, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 1, 0, 1, 0, 1, 0]]
    assert decode(data).tolist() == [[[255 * (1 - bit)] * 3 for bit in row] for row in black]
    with pytest.raises(ImageError, match="truncated or damaged Netpbm image"):
        decode(data[:-1])


def test_colour_and_alpha() -> None:
    np.testing.assert_array_equal(decode(b"P6 160 96 255\n" + BIG.tobytes()), BIG)
    np.testing.assert_array_equal(decode(b"P6 160 96 65535\n" + (BIG.astype(">u2") * 257).tobytes()), BIG)
    text = " ".join(str(value) for value in BIG.ravel()).encode()
    np.testing.assert_array_equal(decode(b"P3 160 96 255\n" + text), BIG)
    alpha = np.dstack([BIG, np.full((96, 160), 255, np.uint8)])
    alpha[:9, :, 3] = 0
    head = b"P7\nWIDTH 160\nHEIGHT 96\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
    image = decode(head + alpha.tobytes())
    assert image[:9].min() == 255
    np.testing.assert_array_equal(image[9:], BIG[9:])
    np.testing.assert_array_equal(decode(encode(BIG, ".ppm")), BIG)


@pytest.mark.parametrize(
    "data",
    [
        b"P5 3 2\n",
        b"P5 3 x 255\n" + bytes(6),
        b"P5 3 2 0\n" + bytes(6),
        b"P5 3 2 70000\n" + bytes(12),
        b"P5 0 2 255\n",
        b"P2 3 2 255\n0 1 2 3 4",
        b"P2 3 2 255\n0 1 2 3 4 x",
        b"P1 3 2 010 012",
        b"P7\nWIDTH 3\nENDHDR\n",
        b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 5\nMAXVAL 255\nENDHDR\n" + bytes(30),
        b"P7\nWIDTH 3\n",
    ],
)
def test_damaged_netpbm_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="damaged Netpbm image"):
        decode(data)


@pytest.mark.parametrize("filling", [b" " * 10, b"#\n" * 5, b"#" + b"x" * 8 + b"\n"])
def test_a_header_is_limited(filling: bytes) -> None:
    pixels = b"3 2 255\n" + GREY.tobytes()
    assert decode(b"P5 " + filling * 100 + pixels)[..., 0].tolist() == GREY.tolist()
    # The regular expression would take gigabytes for the text of megabytes.
    with pytest.raises(ImageError, match="damaged Netpbm"):
        decode(b"P5 " + filling * 10_000 + pixels)
