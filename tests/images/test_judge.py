"""Where an image is decoded, and what is refused from the header."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from arcage.errors import ImageError, ImageMemoryError
from arcage.images.header import ImageHeader
from arcage.images.judge import judge

JPEG, PNG, WEBP, TIFF = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"II*\0"


@dataclass(frozen=True)
class Limits:
    memory: int = 1 << 30
    pixels: int = 100_000_000


@pytest.mark.parametrize("data", [JPEG, PNG, WEBP])
def test_jpeg_png_and_webp_are_decoded_here_unless_they_are_slow(data: bytes) -> None:
    assert judge(data, ImageHeader(10_000, 10_000), Limits()).in_process
    assert not judge(data, ImageHeader(10_000, 10_000, seconds=5), Limits()).in_process


def test_other_formats_are_decoded_elsewhere() -> None:
    for data in (TIFF, b"GIF89a", b"RIFF\0\0\0\0WAVE", b""):
        assert not judge(data, ImageHeader(1, 1), Limits()).in_process


def test_pixels_and_memory_are_limited() -> None:
    with pytest.raises(ImageError, match="too large: 100,010,000 pixels, the limit is 100,000,000"):
        judge(JPEG, ImageHeader(10_001, 10_000), Limits())
    with pytest.raises(ImageError, match="too large: 20 pixels, the limit is 19"):
        judge(TIFF, ImageHeader(1, 1, largest=20), Limits(pixels=19))
    header = ImageHeader(1, 1, memory=1_200_000_000)
    with pytest.raises(ImageMemoryError, match=r"takes 1\.2 GB of memory, the limit is 1\.1 GB: make it"):
        judge(PNG, header, Limits())
    assert judge(PNG, header, Limits(memory=1_200_000_000)).in_process
