"""Decoded pictures that a caller has as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.errors import InputError
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.pixels import any_to_rgb
from arcage.types import U8, Array

_WANTED = "uint8 of shape (height, width, 3), RGB"


def array_to_rgb(image: Array, limits: DecodeLimits = DEFAULT_LIMITS) -> U8:
    """Return a picture as RGB. Transparent pixels become white.

    Args:
        image: uint8, 0 to 255; shape (height, width) or (height, width, 1), grey; (height, width, 3), RGB; or
            (height, width, 4), RGBA. Any strides; it is not changed.
        limits: of the size.

    Returns:
        A copy: shape (height, width, 3), uint8, RGB, C-contiguous.

    Raises:
        InputError: the data type or the shape is wrong, or the picture is empty or too large.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise InputError(f"a NumPy array of {image.dtype}, not uint8: {_scaled(image.dtype)}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise InputError(f"a NumPy array of shape {image.shape} is no picture: {_reshaped(image.shape)}")
    check_size(image.shape[1], image.shape[0], limits)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    # OpenCV takes no negative strides.
    rgb: U8 = any_to_rgb(np.ascontiguousarray(image))
    return rgb


def check_size(width: int, height: int, limits: DecodeLimits) -> None:
    """Check the size of a decoded picture, pixels.

    Raises:
        InputError: it is empty or too large.
    """
    if not width or not height:
        raise InputError(f"the picture is empty: {width} x {height} pixels")
    if width * height > limits.pixels:
        raise InputError(
            f"the picture is too large: {width} x {height} pixels, the limit is {limits.pixels:,}; make it "
            "smaller, or raise `limits`"
        )


def _scaled(dtype: np.dtype[Any]) -> str:
    """Say how to make uint8 of another type."""
    if dtype.kind == "f":
        return "if its values are from 0 to 1, give (255 * image).round().astype(np.uint8)"
    if dtype.kind == "u" and dtype.itemsize == 2:
        return "if 65535 is white, give (image // 257).astype(np.uint8)"
    if dtype.kind == "b":
        return "give 255 * image.astype(np.uint8)"
    if dtype.kind in "iu":
        return "if its values are from 0 to 255, give image.astype(np.uint8)"
    return f"give {_WANTED}"


def _reshaped(shape: tuple[int, ...]) -> str:
    """Say how to make a picture of an array of another shape."""
    if len(shape) == 4:
        return "give several pictures to `predict_many`"
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "its channels come first; give image.transpose(1, 2, 0)"
    if len(shape) == 1:
        return "if it has the bytes of an image file, give image.tobytes()"
    return f"give {_WANTED}"
