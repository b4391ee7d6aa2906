"""HEIC and AVIF: orientation, colours, bit depths, size and damage."""

from __future__ import annotations

import io
import random
import struct

import cv2
import numpy as np
import pytest
from encoded import BIG, STORED, assert_rgb, difference, mutated, oriented, save

from arcage.errors import ImageError
from arcage.images import heif
from arcage.images.decoder import decode
from arcage.images.limits import DecodeLimits


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_the_orientation_is_applied_once(format_: str, orientation: int) -> None:
    if format_ == "HEIF":
        pytest.importorskip("pi_heif")
    stored = np.ascontiguousarray(STORED[orientation](BIG))
    data = oriented(stored, orientation, format_)
    image = decode(data)
    assert_rgb(image)
    assert difference(image, BIG) < 4
    header = heif.read_header(data)
    assert (header.orientation, header.width, header.height) == (orientation, *stored.shape[1::-1])


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_colour_grey_and_alpha(format_: str) -> None:
    if format_ == "HEIF":
        pytest.importorskip("pi_heif")
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, :32], halves[:, 32:] = (200, 60, 20), (20, 80, 220)
    assert difference(decode(save(halves, format_, quality=95)), halves) < 3
    grey = np.repeat(BIG[..., :1], 3, 2)
    assert difference(decode(save(BIG[..., 0], format_, quality=95)), grey) < 3
    alpha = np.dstack([halves, np.full((64, 64), 255, np.uint8)])
    alpha[:32, :, 3] = 0
    image = decode(save(alpha, format_, quality=95))
    assert image[:28].min() > 250
    assert difference(image[36:], halves[36:]) < 3


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_is_scaled(bits: int) -> None:
    deep = BIG[..., ::-1].astype(np.uint16) << (bits - 8)
    options = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100]
    data = cv2.imencode(".avif", deep, options)[1].tobytes()
    assert heif.read_header(data).depth == bits
    assert difference(decode(data), BIG) < 3


def test_deep_heic_is_scaled() -> None:
    pytest.importorskip("pi_heif")
    pillow_heif = pytest.importorskip("pillow_heif")
    deep = (BIG.astype(np.uint16) * 257).tobytes()
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (160, 96), deep).save(file, quality=95)
    assert difference(decode(file.getvalue()), BIG) < 4


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_the_size_is_checked_before_decoding(format_: str, no_extras: None) -> None:
    data = save(BIG, format_)
    with pytest.raises(ImageError, match="too large: 15,360 pixels, the limit is 15,359"):
        decode(data, limits=DecodeLimits(pixels=15_359))
    # The largest size in the file counts, not only that of the primary picture.
    at = data.index(b"ispe") + 8
    huge = data[:at] + struct.pack(">II", 60_000, 60_000) + data[at + 8 :]
    with pytest.raises(ImageError, match="too large: 3,600,000,000 pixels"):
        decode(huge)


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_truncated_and_mutated_files(format_: str) -> None:
    if format_ == "HEIF":
        pytest.importorskip("pi_heif")
    data = save(BIG, format_)
    for end in (13, 40, 120, len(data) // 2, len(data) - 5):
        with pytest.raises(ImageError, match=r"damaged (HEIC|AVIF) image"):
            decode(data[:end])
    chance = random.Random(format_)
    refused = 0
    for _ in range(200):
        try:
            assert_rgb(decode(mutated(data, chance)))
        except ImageError:
            refused += 1
    assert refused > 10


def test_repeated_boxes_of_associations_are_not_read() -> None:
    data = save(BIG, "AVIF")
    at = data.index(b"ipma") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    start, end = data.index(b"ipma"), at + size
    assert heif.read_header(data).width == BIG.shape[1]
    # An invalid box behind many valid ones is not reached.
    inner = data[start - 4 : end]
    extra = inner * 5 + struct.pack(">I4sII", 16, b"ipma", 0, 9)
    grown = bytearray(data[:end] + extra + data[end:])
    for name in (b"meta", b"iprp"):
        place = grown.index(name) - 4
        grown[place : place + 4] = (int.from_bytes(grown[place : place + 4], "big") + len(extra)).to_bytes(
            4, "big"
        )
    assert heif.read_header(bytes(grown)).width == BIG.shape[1]
