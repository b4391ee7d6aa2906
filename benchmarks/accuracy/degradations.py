"""Degradations of images, each at several levels. They return encoded images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

from arcage.types import U8


@dataclass(frozen=True, slots=True)
class Curve:
    """One degradation and its levels."""

    name: str
    axis: str
    """Label of the axis: what the levels measure."""
    levels: tuple[float, ...]
    make: Callable[[U8, float], bytes]
    """Map an RGB image, shape (height, width, 3), uint8, and a level to the degraded image, encoded."""
    undegraded: float
    """Level of the original image, for the plot."""
    log: bool = False


def png(image: U8) -> bytes:
    """Encode without loss."""
    return _encode(".png", image, cv2.IMWRITE_PNG_COMPRESSION, 1)


def jpeg(image: U8, quality: float) -> bytes:
    """Encode as JPEG; ``quality`` is 0 to 100."""
    return _encode(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, int(quality))


def _encode(suffix: str, image: U8, option: int, value: int) -> bytes:
    done, data = cv2.imencode(suffix, image[:, :, ::-1], [option, value])
    if not done:
        raise ValueError(f"OpenCV cannot write {suffix}")
    return data.tobytes()


def resize(image: U8, side: float) -> U8:
    """Resize so that the longer side has ``side`` pixels."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def grey(image: U8) -> U8:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def blur(image: U8, sigma: float) -> U8:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def rotate(image: U8, degrees: float) -> U8:
    """Rotate counter-clockwise, on a black canvas large enough for the whole image."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    cos, sin = np.abs(matrix[0, :2])
    # The margin keeps rounding errors at 0 and 90 degrees from adding a row.
    size = (ceil(width * cos + height * sin - 1e-6), ceil(width * sin + height * cos - 1e-6))
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)


def brighten(image: U8, factor: float) -> U8:
    """Multiply the pixel values, and clip them at 255."""
    return np.clip(np.rint(image * np.float32(factor)), 0, 255).astype(np.uint8)


def gamma(image: U8, exponent: float) -> U8:
    """Apply a gamma curve: exponents below 1 brighten, those above 1 darken."""
    return np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)[image]


CURVES = (
    Curve(
        "size",
        "side of the crop, pixels",
        (24, 32, 48, 64, 96, 128, 200, 400),
        lambda i, v: png(resize(i, v)),
        200,
        log=True,
    ),
    Curve("jpeg", "JPEG quality", (10, 20, 30, 50, 70, 80, 90, 95), jpeg, 100),
    Curve("grey", "grey (1)", (1,), lambda i, _: png(grey(i)), 0),
    Curve("blur", "Gaussian blur, sigma in pixels", (0.5, 1, 2, 3, 4, 6), lambda i, v: png(blur(i, v)), 0),
    Curve("rotation", "degrees", (-45, -30, -15, 15, 30, 45), lambda i, v: png(rotate(i, v)), 0),
    Curve(
        "brightness",
        "factor",
        (0.1, 0.25, 0.5, 0.75, 1.5, 2, 3),
        lambda i, v: png(brighten(i, v)),
        1,
        log=True,
    ),
    Curve("gamma", "exponent", (0.25, 0.5, 2, 4), lambda i, v: png(gamma(i, v)), 1, log=True),
)
"""Sizes in pixels refer to UTKFace's crops of 200 x 200, in which the eyes are 80 pixels apart."""
