"""Convert decoded pixels to upright RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

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


def apply_orientation(image: Any, orientation: int) -> Any:
    """Apply an EXIF orientation, 1 to 8. An upright image (1) is not copied."""
    return _TRANSFORMS[orientation](image)


def bgr_to_rgb(image: Any, depth: int = 16) -> Any:
    """Convert an image as OpenCV decodes it to RGB, uint8.

    Transparent pixels become white.

    Args:
        image: grey, BGR or BGRA, shape (height, width[, 3 or 4]), uint8 or uint16.
        depth: bits per sample if ``image`` is uint16.
    """
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / ((1 << depth) - 1))
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return _over_white(cv2.cvtColor(image, cv2.COLOR_BGRA2RGB), cv2.extractChannel(image, 3))


def any_to_rgb(image: Any) -> Any:
    """Convert grey, RGB or RGBA, shape (height, width[, 3 or 4]), uint8, to RGB. Always returns a copy.

    Transparent pixels become white.
    """
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3:
        return image.copy()
    return _over_white(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB), cv2.extractChannel(image, 3))


def _over_white(rgb: Any, alpha: Any) -> Any:
    """Blend an image with a white background, as viewers do.

    The colours of transparent pixels are arbitrary, and may show a face that was cut out.
    """
    if alpha.min() == 255:
        return rgb
    opacity = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    return cv2.add(cv2.multiply(rgb, opacity, scale=1 / 255), cv2.bitwise_not(opacity))
