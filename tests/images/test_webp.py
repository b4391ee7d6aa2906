"""WebP: lossy pixels, EXIF and truncation."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from encoded import (
    RED,
    STORED,
    assert_rgb,
    difference,
    encode,
    exif,
    is_turned,
    picture,
    webp_with,
    webp_with_exif,
)

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.images.webp import read_header


def test_lossy_webp() -> None:
    image = decode(encode(np.full((20, 30, 3), RED, np.uint8), ".webp", cv2.IMWRITE_WEBP_QUALITY, 80))
    assert_rgb(image)
    assert difference(image, np.full((20, 30, 3), RED, np.uint8)) < 6


def test_exif_without_its_flag_in_the_header_is_ignored() -> None:
    webp = encode(np.ascontiguousarray(STORED[6](picture())), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    data = webp_with(webp, 24, 40, {b"EXIF": exif(6)})
    assert is_turned(data)
    assert not is_turned(data[:20] + b"\0" + data[21:])


def test_a_webp_truncated_after_its_pixels() -> None:
    data = webp_with_exif(encode(picture(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), exif(1), 40, 24)
    decode(data)
    with pytest.raises(ImageError, match="truncated or damaged WebP"):
        decode(data[:-4])


def test_too_many_chunks_are_refused() -> None:
    chunks = b"abcd\0\0\0\0" * 100_001
    with pytest.raises(ImageError, match="too many chunks"):
        decode(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks)


def test_cost_is_estimated_from_the_header() -> None:
    lossy, lossless = (encode(picture(), ".webp", cv2.IMWRITE_WEBP_QUALITY, quality) for quality in (80, 101))
    size = 24 * 40
    assert read_header(lossy).memory == 7 * size
    assert read_header(lossless).memory == 8 * size
    animated = bytearray(webp_with(lossless, 24, 40, {}))
    animated[20] |= 2
    assert read_header(bytes(animated)).memory == 16 * size
    assert 0 < read_header(lossless).seconds < read_header(lossy).seconds < 0.01
