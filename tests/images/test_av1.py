from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from encoded import BIG, difference

from arcage.errors import ImageError
from arcage.images.av1 import read_size
from arcage.images.decoder import decode

REDUCED = bytes.fromhex("12000a0b1ff77ffffffda6021a0d40")
"""A temporal delimiter, and a sequence header of a still picture with 16,384 x 16,384 pixels."""


def bits(*fields: tuple[int, int]) -> bytes:
    """Encode pairs of a value and a number of bits."""
    text = "".join(format(value, f"0{count}b") for value, count in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def sequence(*fields: tuple[int, int], unit: int = 0x0A) -> bytes:
    body = bits(*fields)
    return bytes([unit, len(body)]) + body


SIZE = ((9, 4), (8, 4), (640 - 1, 10), (360 - 1, 9))
POINT = ((0, 12), (8, 5), (0, 1))
FULL = {
    "plain": sequence((0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (0, 5), *POINT, *SIZE),
    "timing": sequence(
        (0, 5), (1, 1), (1, 32), (30, 32), (1, 1), (0b00101, 5), (0, 1), (0, 1), (0, 5), *POINT, *SIZE
    ),
    "decoder model": sequence(
        (0, 5), (1, 1), (1, 32), (30, 32), (0, 1), (1, 1), (9, 5), (1, 32), (9, 5), (9, 5), (1, 1), (1, 5),
        *POINT, (1, 1), (5, 10), (5, 10), (1, 1), (1, 1), (3, 4), *POINT, (0, 1), (0, 1), *SIZE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FULL)
def test_the_size_in_a_sequence_header(name: str) -> None:
    assert read_size(FULL[name], 0) == (640, 360)
    assert read_size(b"xx\x12\0" + FULL[name] + b"more", 2) == (640, 360)
    for end in range(len(FULL[name])):
        with pytest.raises(LookupError):
            read_size(FULL[name][:end], 0)


def test_a_reduced_header() -> None:
    assert read_size(REDUCED, 0) == (16_384, 16_384)
    assert read_size(bytes.fromhex("08") + REDUCED[4:], 0) == (16_384, 16_384)  # without its length
    assert read_size(bytes.fromhex("0e000b") + REDUCED[4:], 0) == (16_384, 16_384)  # with an extension


def test_data_without_a_sequence_header() -> None:
    assert read_size(b"\x12\0" * 100, 0) is None
    assert read_size(b"\x32\x05abcde", 0) is None
    with pytest.raises(LookupError):
        read_size(b"\x0a" + b"\xff" * 20, 0)


def avif() -> bytes:
    data: bytes = cv2.imencode(".avif", BIG[:96, :160, ::-1], [cv2.IMWRITE_AVIF_SPEED, 10])[1].tobytes()
    return data


@pytest.mark.parametrize("size", [(16, 16), (1600, 960), (160, 300), (70, 96), (5000, 96)])
def test_an_avif_file_that_states_another_size_is_refused(size: tuple[int, int]) -> None:
    data = avif()
    stated = struct.pack(">4sIII", b"ispe", 0, 160, 96)
    assert stated in data
    assert difference(decode(data), BIG[:96, :160]) < 12
    with pytest.raises(ImageError, match=f"160 x 96 pixels, but the header says {size[0]} x {size[1]}"):
        decode(data.replace(stated, struct.pack(">4sIII", b"ispe", 0, *size)))


def test_random_data() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(2000):
        try:
            found += read_size(b"\x0a\x0b" + rng.bytes(20), 0) is not None
        except LookupError:
            continue
    assert found > 10
