"""JPEG, PNG and WebP, which are decoded in this process, and the other formats of OpenCV and Netpbm."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.images.multi_frame import is_multi_frame
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import interesting_integer, mutate, replace_byte

_M_PERTURB = -6
"""Parameter of glibc's ``mallopt``: the byte, inverted, with which new memory is filled."""


class Images:
    """JPEG, PNG and WebP: decoded twice with other bytes in new memory, which may not show in the pixels."""

    name = "images"

    def prepare(self, folder: Path) -> None:
        self._seeds = list(_seeds())

    def case(self, rng: np.random.Generator) -> Case:
        return _case(rng, self._seeds)

    def run(self, case: Case) -> Verdict:
        first, second = (_decode(case.data, filling) for filling in (0x55, 0xAA))
        if isinstance(first, ImageError) and isinstance(second, ImageError):
            raise first
        if isinstance(first, ImageError) or isinstance(second, ImageError):
            raise SilentChange(f"decoded twice: {_short(first)}, then {_short(second)}")
        if not np.array_equal(first, second):
            raise SilentChange("the picture shows what was in memory before")
        return _judge(first, case)


class OtherImages:
    """GIF, TIFF, BMP, Netpbm and JPEG 2000, which are decoded in worker processes."""

    name = "other-images"
    seconds = 15.0

    def prepare(self, folder: Path) -> None:
        self._seeds = list(_other_seeds())

    def case(self, rng: np.random.Generator) -> Case:
        return _case(rng, self._seeds)

    def run(self, case: Case) -> Verdict:
        return _judge(decode(case.data), case)


def _case(rng: np.random.Generator, seeds: list[tuple[bytes, Any]]) -> Case:
    data, truth = seeds[int(rng.integers(len(seeds)))]
    if rng.integers(50) == 0:
        return Case(data, truth=truth)
    if rng.integers(3) == 0:
        # One byte: libraries are most fragile where nearly everything is right.
        return Case(mutate(rng, data, mutators=(replace_byte, interesting_integer), most=1))
    return Case(mutate(rng, data, [other for other, _ in seeds]))


def _decode(data: bytes, filling: int) -> Any:
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(_M_PERTURB, filling)
    try:
        return decode(data)
    except ImageError as error:
        return error


def _judge(image: Any, case: Case) -> Verdict:
    is_multi_frame(case.data)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.flags.c_contiguous:
        raise SilentChange(f"not a picture: {image.shape}, {image.dtype}")
    if case.truth is not None and not np.array_equal(image, case.truth):
        raise SilentChange("other pixels of an undamaged picture")
    return "answered"


def _short(result: Any) -> str:
    return str(result) if isinstance(result, ImageError) else f"{result.shape}"


def _picture(side: int = 40) -> Any:
    y, x = np.mgrid[:side, : side + 24] * 4
    return np.stack([x, y, (x * y) % 251], axis=-1).astype(np.uint8)


def _encoded(suffix: str, pixels: Any, *options: int) -> tuple[bytes, Any]:
    """Return an encoded picture, and its pixels as decoded."""
    done, data = cv2.imencode(suffix, pixels, options)
    if not done:
        raise ValueError(f"OpenCV cannot write {suffix}")
    return data.tobytes(), decode(data.tobytes())


def _variants() -> tuple[Any, Any, Any, Any]:
    """Return pictures in colour, grey, with transparency, and with 16 bits."""
    colour = _picture()
    alpha = np.dstack([colour, colour[..., 2]])
    return colour, colour[..., 2], alpha, colour.astype(np.uint16) * 257


def _seeds() -> Iterator[tuple[bytes, Any]]:
    colour, grey, alpha, deep = _variants()
    progressive, restart = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    for options in ((), progressive, restart, (cv2.IMWRITE_JPEG_OPTIMIZE, 1)):
        yield _encoded(".jpg", colour, *options)
    yield _encoded(".jpg", grey)
    for pixels in (colour, grey, alpha, deep, np.dstack([deep, deep[..., 0]])):
        yield _encoded(".png", pixels)
    yield _encoded(".png", grey // 200 * 255, cv2.IMWRITE_PNG_BILEVEL, 1)
    for pixels in (colour, alpha):
        for quality in (70, 101):
            yield _encoded(".webp", pixels, cv2.IMWRITE_WEBP_QUALITY, quality)
    yield from _animations(".png", ".webp")


def _other_seeds() -> Iterator[tuple[bytes, Any]]:
    colour, grey, alpha, deep = _variants()
    for suffix in (".bmp", ".tiff", ".jp2", ".ppm", ".pgm"):
        for pixels in (grey,) if suffix == ".pgm" else (colour,):
            yield _encoded(suffix, pixels)
    for compression in (1, 5, 8, 32773):  # none, LZW, Deflate, PackBits
        for pixels in (colour, grey, alpha, deep):
            yield _encoded(".tiff", pixels, cv2.IMWRITE_TIFF_COMPRESSION, compression)
    yield _encoded(".pgm", grey, cv2.IMWRITE_PXM_BINARY, 0)
    yield _encoded(".pbm", grey)
    yield _encoded(".pam", alpha)
    yield _encoded(".bmp", grey)
    yield _encoded(".jp2", deep)
    yield _encoded(".gif", colour)
    yield from _animations(".gif")


def _animations(*suffixes: str) -> Iterator[tuple[bytes, Any]]:
    animation = cv2.Animation()
    animation.frames = [
        np.dstack([_picture(), np.full((40, 64), 255, np.uint8)])[:, ::side] for side in (1, -1)
    ]
    animation.frames = [np.ascontiguousarray(frame) for frame in animation.frames]
    animation.durations = [100, 100]
    for suffix in suffixes:
        done, data = cv2.imencodeanimation(suffix, animation)
        if done:
            yield data.tobytes(), decode(data.tobytes())
