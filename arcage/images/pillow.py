"""Pictures that a caller has opened with Pillow, which is only used if the caller has imported it."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np

from arcage.errors import ImageError, InputError
from arcage.images.arrays import check_size
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.pixels import any_to_rgb, apply_orientation
from arcage.types import U8

_ORIENTATION = 0x0112
"""Number of the EXIF tag."""


def is_pillow(value: object) -> bool:
    """Return whether a value is a ``PIL.Image.Image``."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def pillow_to_rgb(image: Any, limits: DecodeLimits = DEFAULT_LIMITS) -> U8:
    """Return a picture as upright RGB: the orientation in its EXIF data is applied.

    As for encoded images, transparent pixels become white, and 16 bits per sample become 8. The given picture
    is not changed, but its file is read, unless this has been done. Of several frames, the current one is
    taken.

    Args:
        image: a ``PIL.Image.Image`` of any mode except ``F``, whose range is unknown.
        limits: of the size.

    Returns:
        A copy: shape (height, width, 3), uint8, RGB, C-contiguous.

    Raises:
        InputError: its mode cannot be converted, or it is empty or too large.
        ImageError: its file cannot be read.
    """
    check_size(image.width, image.height, limits)
    try:
        image.load()
    except Exception as error:  # each of Pillow's plug-ins has its own
        raise ImageError(f"Pillow cannot read it: {error or type(error).__name__}") from None
    check_size(image.width, image.height, limits)  # some formats know it only now
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data
        orientation = 1
    if orientation not in range(1, 9):
        orientation = 1
    upright: U8 = np.ascontiguousarray(apply_orientation(_to_rgb(image), orientation))
    return upright


def _to_rgb(image: Any) -> U8:
    mode = image.mode
    if mode.startswith("I"):
        return _deep_to_rgb(np.asarray(image))
    if mode == "F":
        raise InputError("a picture of Pillow's mode F has no known range: give image.convert('L')")
    if mode == "La":
        image = image.convert("LA")
    transparent = mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info
    try:
        converted = image.convert("RGBA" if transparent else "RGB")
    except MemoryError:
        raise
    except Exception as error:  # its mode, or what a program wrote to its `info`
        raise InputError(
            f"a picture of Pillow's mode {mode} cannot be converted ({error}): give one of the mode RGB"
        ) from None
    rgb: U8 = any_to_rgb(np.asarray(converted))
    return rgb


def _deep_to_rgb(grey: Any) -> U8:
    """Convert grey, int32 or uint16, 0 to 65535. In the mode ``I``, 0 to 255 are 8 bits."""
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65535:
        raise InputError(
            f"a picture of Pillow's mode I, with values from {low} to {high}: scale them to 8 bits"
        )
    scale = 1 if grey.dtype.itemsize > 2 and high < 256 else 255 / 65535
    rgb: U8 = any_to_rgb(cv2.convertScaleAbs(grey.astype(np.uint16), alpha=scale))
    return rgb
