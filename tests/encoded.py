"""Small encoded images in several formats, and checks of decoded ones."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np


def picture(height: int = 24, width: int = 40) -> np.ndarray:
    """Return an RGB image without symmetry: all corners and edges differ."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 97], -1).astype(np.uint8)


def encode(rgb: np.ndarray, suffix: str, *options: int) -> bytes:
    pixels = rgb[..., ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb
    done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    assert done
    return data.tobytes()


def jpeg(rgb: np.ndarray, *options: int) -> bytes:
    return encode(rgb, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95, *options)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gif(width: int, height: int, indices: bytes, palette: bytes, transparent: int | None = None) -> bytes:
    """Return a GIF with 128 colours.

    Clear codes keep the LZW table small, so that every code has 8 bits: one byte per pixel.
    """
    codes = b"".join(b"\x80" + indices[at : at + 100] for at in range(0, len(indices), 100)) + b"\x81"
    blocks = [codes[at : at + 255] for at in range(0, len(codes), 255)]
    control = b"" if transparent is None else b"\x21\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    return b"".join(
        (
            b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF6, 0, 0) + palette.ljust(3 * 128, b"\0"),
            control + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x07",
            *(bytes([len(block)]) + block for block in blocks),
            b"\0\x3b",
        )
    )


def assert_rgb(image: Any) -> None:
    assert isinstance(image, np.ndarray)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean absolute difference of two images of equal shape."""
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second).mean())


STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""By EXIF orientation, the function from the upright image to the stored pixels."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the data with a few random changes, deletions and insertions."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] = chance.choice((0, 127, 255))
            case 2:
                del changed[at : at + chance.randrange(1, 1 + len(changed) // 4)]
                changed += b"\0"
            case _:
                changed[at:at] = chance.randbytes(chance.randrange(1, 8))
    return bytes(changed)
