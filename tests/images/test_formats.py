"""The table of formats: unknown, empty and truncated files."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import encode, gif, needs_gif, png

from arcage.errors import ImageError
from arcage.images.decoder import decode


def test_empty_file() -> None:
    with pytest.raises(ImageError, match=r"^empty file$"):
        decode(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\x03",
        b"RIFF\0\0\0\0WAVE",
        b"\xff\xd8",
    ],
)
def test_unknown_formats(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"known format \(JPEG, PNG, .*, HEIC, AVIF, raw\)"):
        decode(data)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_size_is_damaged(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="damaged PNG"):
        decode(png(*size, 8, 0, [b""]))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff", pytest.param(".gif", marks=needs_gif)])
def test_other_formats_truncated(suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    data = gif(32, 32, bytes(32 * 32), b"abc") if suffix == ".gif" else encode(noise, suffix)
    decode(data)
    for end in (len(data) // 4, len(data) // 2, len(data) - 5):
        with pytest.raises(ImageError, match=r"damaged \w+ image"):
            decode(data[:end])
