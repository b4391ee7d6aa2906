"""PNG: palettes, bit depths and profiles in text chunks."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from encoded import BLUE, RED, STORED, XMP, assert_rgb, encode, exif, is_turned, picture, png, png_chunk, xmp

from arcage.images.decoder import decode


def test_palette_png_with_and_without_transparency() -> None:
    palette = png_chunk(b"PLTE", bytes((*RED, *BLUE)))
    rows = [bytes((0, 1, 1)), bytes((1, 0, 0))]
    opaque = decode(png(3, 2, 8, 3, rows, palette))
    assert_rgb(opaque)
    assert opaque.tolist() == [[list(RED), list(BLUE), list(BLUE)], [list(BLUE), list(RED), list(RED)]]

    see_through = decode(png(3, 2, 8, 3, rows, palette, png_chunk(b"tRNS", b"\xff\0")))
    assert_rgb(see_through)
    white = [255, 255, 255]
    assert see_through.tolist() == [[list(RED), white, white], [white, list(RED), list(RED)]]


def test_bilevel_png() -> None:
    image = decode(png(8, 1, 1, 0, [b"\xa5"]))
    assert image[0, :, 0].tolist() == [255, 0, 255, 0, 0, 255, 0, 255]


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"exif", b"Exif\0\0" + exif(6)),
        (b"exif", exif(6, ">")),
        (b"APP1", b"Exif\0\0" + exif(6)),
        (b"APP1", XMP + xmp(6)),
    ],
)
def test_raw_profiles_of_imagemagick(name: bytes, content: bytes, kind: bytes) -> None:
    digits = content.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = b"\n" + name.lower() + f"\n{len(content):8}\n{lines}\n".encode()
    body = b"\0" + zlib.compress(text) if kind == b"zTXt" else text
    chunk = png_chunk(kind, b"Raw profile type " + name + b"\0" + body)
    plain = encode(np.ascontiguousarray(STORED[6](picture())), ".png")
    assert is_turned(plain[:33] + chunk + plain[33:])
