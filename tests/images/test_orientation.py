"""The orientation in EXIF and XMP, in every format."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from encoded import (
    STORED,
    XMP,
    assert_rgb,
    difference,
    encode,
    exif,
    is_turned,
    jpeg,
    jpeg_with_app1,
    picture,
    png_chunk,
    rotated,
    tiff,
    tiff_with_xmp,
    webp_with,
    webp_with_exif,
    xmp,
)

from arcage.images.decoder import decode


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_each_format(orientation: int, order: str) -> None:
    upright = picture()
    stored = np.ascontiguousarray(STORED[orientation](upright))
    height, width = stored.shape[:2]
    block = exif(orientation, order)

    from_jpeg = decode(jpeg_with_app1(jpeg(stored), b"Exif\0\0" + block))
    assert_rgb(from_jpeg)
    plain = decode(jpeg(stored))
    np.testing.assert_array_equal(STORED[orientation](from_jpeg), plain)
    assert difference(from_jpeg, upright) < 8

    plain_png = encode(stored, ".png")
    with_exif = plain_png[:33] + png_chunk(b"eXIf", block) + plain_png[33:]
    webp = encode(stored, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 2, 274: orientation, 277: 3, 278: height}
    for data in (
        with_exif,
        webp_with_exif(webp, block, width, height),
        webp_with_exif(webp, b"Exif\0\0" + block, width, height),
        tiff(tags, stored.tobytes(), order),
    ):
        image = decode(data)
        assert_rgb(image)
        np.testing.assert_array_equal(image, upright)


def test_orientation_of_an_image_with_alpha() -> None:
    bgra = np.dstack([picture()[..., ::-1], np.full((24, 40), 255, np.uint8)])
    bgra[:5, :5, 3] = 0
    data = encode(np.rot90(bgra, 1), ".png")
    image = decode(data[:33] + png_chunk(b"eXIf", exif(6)) + data[33:])
    assert_rgb(image)
    assert image[:5, :5].min() == 255
    np.testing.assert_array_equal(image[5:], picture()[5:])


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II",
        b"not exif at all",
        exif(0),
        exif(9),
        exif(6)[:12],
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
    ],
)
def test_a_damaged_exif_block_is_ignored(block: bytes) -> None:
    plain = jpeg(picture())
    np.testing.assert_array_equal(decode(jpeg_with_app1(plain, b"Exif\0\0" + block)), decode(plain))


def test_exif_that_continues_in_a_second_segment() -> None:
    stored = rotated((24, 40))
    split = jpeg_with_app1(stored, b"Exif\0\0" + b"\x55" * 30_000)
    assert is_turned(jpeg_with_app1(split, b"Exif\0\0" + exif(6) + bytes(64_000)))
    # The first directory is in the second segment.
    block = b"II*\0" + struct.pack("<I", 60_008) + bytes(60_000) + exif(6)[8:]
    split = jpeg_with_app1(stored, b"Exif\0\0" + block[50_000:])
    assert is_turned(jpeg_with_app1(split, b"Exif\0\0" + block[:50_000]))


@pytest.mark.parametrize(("first", "second", "turned"), [(6, 1, True), (1, 6, False), (6, 6, True)])
def test_the_first_of_two_exif_blocks_is_used(first: int, second: int, turned: bool) -> None:
    data = jpeg_with_app1(rotated((24, 40)), b"Exif\0\0" + exif(second))
    assert is_turned(jpeg_with_app1(data, b"Exif\0\0" + exif(first))) == turned


@pytest.mark.parametrize("form", ["attribute", "quoted otherwise", "element"])
def test_an_orientation_only_in_xmp(form: str) -> None:
    stored = np.ascontiguousarray(STORED[6](picture()))
    block = xmp(6, form)
    assert is_turned(jpeg_with_app1(jpeg(stored), XMP + block))
    plain = encode(stored, ".png")
    text = b"XML:com.adobe.xmp\0"
    packed = text + b"\1\0\0\0" + zlib.compress(block)
    for chunk in (png_chunk(b"iTXt", text + b"\0\0\0\0" + block), png_chunk(b"iTXt", packed)):
        assert is_turned(plain[:33] + chunk + plain[33:])
        assert is_turned(plain[:-12] + chunk + plain[-12:])
    webp = encode(stored, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    assert is_turned(webp_with(webp, 24, 40, {b"XMP ": block}))
    tags = {256: 24, 257: 40, 258: 8, 259: 1, 262: 2, 277: 3, 278: 40}
    assert is_turned(tiff_with_xmp(tags, stored.tobytes(), block))


@pytest.mark.parametrize(
    ("in_exif", "in_xmp", "turned"),
    [
        (1, 6, False),
        (6, 1, True),
        (0, 6, False),
        (9, 6, False),
        (None, 6, True),
        (None, 0, False),
        (None, 9, False),
    ],
)
def test_exif_takes_precedence_over_xmp(in_exif: int | None, in_xmp: int, turned: bool) -> None:
    block = (
        exif(1).replace(struct.pack("<H", 274), struct.pack("<H", 305)) if in_exif is None else exif(in_exif)
    )
    stored = np.ascontiguousarray(STORED[6](picture()))
    data = jpeg_with_app1(jpeg_with_app1(jpeg(stored), XMP + xmp(in_xmp)), b"Exif\0\0" + block)
    assert is_turned(data) == turned
    plain = encode(stored, ".png")
    text = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(in_xmp))
    assert is_turned(plain[:33] + text + plain[33:-12] + png_chunk(b"eXIf", block) + plain[-12:]) == turned
    webp = encode(stored, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    assert is_turned(webp_with(webp, 24, 40, {b"EXIF": block, b"XMP ": xmp(in_xmp)})) == turned
