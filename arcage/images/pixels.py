"""Convert decoded pixels to upright RGB."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from arcage.types import U8

_TRANSFORMS: dict[int, Callable[[Any], Any]] = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}

_STRIP_PIXELS = 1 << 20
"""Number of pixels that are converted together."""


def apply_orientation(image: Any, orientation: int) -> Any:
    """Apply an EXIF orientation, 1 to 8. An upright image (1) is not copied."""
    return _TRANSFORMS[orientation](image)


def pixels_sha256(image: U8) -> str:
    """Return a digest that identifies a decoded picture in a cache, 64 hexadecimal digits.

    It is of the text ``RGB 640x480`` (width and height), a line end and the pixels, so it differs from that
    of the file which the picture was decoded from.

    Args:
        image: shape (height, width, 3), uint8, RGB.
    """
    height, width = image.shape[:2]
    digest = hashlib.sha256(f"RGB {width}x{height}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def bgr_to_rgb(image: Any, depth: int = 16) -> Any:
    """Convert an image as OpenCV decodes it to RGB, uint8. Always returns a copy.

    Transparent pixels become white.

    Args:
        image: grey, BGR or BGRA, shape (height, width[, 3 or 4]), uint8 or uint16.
        depth: bits per sample if ``image`` is uint16.
    """
    if image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2] == 3):
        return _colours(image, is_bgr=True)

    def convert(rows: Any) -> Any:
        if rows.dtype == np.uint16:
            rows = cv2.convertScaleAbs(rows, alpha=255 / ((1 << depth) - 1))
        return _colours(rows, is_bgr=True)

    return _by_strips(image, convert)


def any_to_rgb(image: Any) -> Any:
    """Convert grey, RGB or RGBA, shape (height, width[, 3 or 4]), uint8, to RGB. Always returns a copy.

    Transparent pixels become white.
    """
    if image.ndim == 2 or image.shape[2] == 3:
        return _colours(image, is_bgr=False)
    return _by_strips(image, lambda rows: _colours(rows, is_bgr=False))


def _colours(image: Any, *, is_bgr: bool) -> Any:
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if is_bgr else image.copy()
    rgb = cv2.cvtColor(image, cv2.COLOR_BGRA2RGB if is_bgr else cv2.COLOR_RGBA2RGB)
    return _over_white(rgb, cv2.extractChannel(image, 3))


def _by_strips(image: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert some rows at a time, because the steps of a conversion take several times the memory."""
    height, width = image.shape[:2]
    step = max(_STRIP_PIXELS // width, 1)
    if height <= step:
        return convert(image)
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, step):
        rgb[top : top + step] = convert(image[top : top + step])
    return rgb


def _over_white(rgb: Any, alpha: Any) -> Any:
    """Blend an image with a white background, as viewers do.

    The colours of transparent pixels are arbitrary, and may show a face that was cut out.
    """
    if alpha.min() == 255:
        return rgb
    opacity = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    return cv2.add(cv2.multiply(rgb, opacity, scale=1 / 255), cv2.bitwise_not(opacity))
