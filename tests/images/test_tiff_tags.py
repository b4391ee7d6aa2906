"""Tags of TIFF files and EXIF blocks, including damaged ones."""

from __future__ import annotations

import struct

import pytest
from encoded import exif, is_turned, jpeg_with_app1, rotated, tiff

from arcage.images import tiff_tags


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "code", "turned"),
    [
        *((1, "Bxxx", False), (2, "Bxxx", False), (3, "Hxx", True), (4, "I", True), (6, "bxxx", True)),
        *((7, "Bxxx", False), (8, "hxx", True), (9, "i", True), (11, "f", True), (99, "I", False)),
    ],
)
def test_types_of_the_orientation(kind: int, code: str, turned: bool, order: str) -> None:
    head = exif(1, order)[:10] + struct.pack(order + "HHI", 274, kind, 1)
    block = head + struct.pack(order + code, 6) + bytes(4)
    assert is_turned(jpeg_with_app1(rotated((24, 40)), b"Exif\0\0" + block)) == turned


def test_a_block_damaged_after_its_orientation() -> None:
    many = bytearray(exif(6))
    many[8] = 100  # number of entries, of which one exists
    for block in (bytes(many), exif(6)[:-4], b"Exif\0\0" + exif(6), b"MM*\0" + exif(6, ">")[4:]):
        assert is_turned(jpeg_with_app1(rotated((24, 40)), b"Exif\0\0" + block))


def test_directories() -> None:
    data = tiff({256: 40, 257: 24, 258: 8}, order=">")
    assert tiff_tags.first_directory(data) == {256: 40, 257: 24, 258: 8}
    assert tiff_tags.second_directory(data) == {}
    with pytest.raises(KeyError):
        tiff_tags.first_directory(b"not a TIFF")
