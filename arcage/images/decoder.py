"""Decode images to upright RGB."""

from __future__ import annotations

import re

import cv2

from arcage.errors import ImageError, ImageExtraError, ImageMemoryError
from arcage.images import raw
from arcage.images.formats import Format, find_format
from arcage.images.pixels import apply_orientation
from arcage.images.silence import silence_decoders
from arcage.types import U8

MAX_PIXELS = 100_000_000
"""Default maximum of width x height, about 300 MB as RGB."""


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> U8:
    """Decode an image.

    Supported formats are JPEG, JPEG 2000, PNG, WebP, BMP, PBM, PGM, PPM, PAM, TIFF, GIF and AVIF; with the
    extra ``[formats]``, HEIC and the JPEG preview in raw files of cameras. Of an animation or a file of
    several pages, the first frame or page is decoded.

    Grey images become RGB, and 10 to 16 bits per sample become 8. Transparent pixels of PNG, WebP, GIF, HEIC
    and AVIF become white; the alpha channel of BMP and TIFF is ignored.

    The header is read before OpenCV decodes the file, for three reasons: OpenCV's own limit of the size is
    far too high; its versions differ in truncated JPEG files (4.10 returns uninitialised rows) and in the
    orientation of WebP; and it ignores the orientation if it keeps the alpha channel.

    Args:
        data: encoded image.
        max_pixels: maximum of width x height, checked before memory is allocated.

    Returns:
        Shape (height, width, 3), uint8, 0 to 255, RGB, C-contiguous, upright (the EXIF orientation is
        applied; for HEIC and AVIF, that of the boxes).

    Raises:
        ImageError: the file is empty, of an unsupported format, truncated, damaged or too large.
        ImageMemoryError: there is not enough memory.
        ImageExtraError: the extra is not installed.
    """
    if raw.is_raw(data):
        with silence_decoders:
            data = raw.preview(data)
    format_ = find_format(data)
    header = format_.read_header(data)
    pixels = max(header.width * header.height, header.largest)
    if pixels > max_pixels:
        raise ImageError(f"too large: {pixels:,} pixels, the limit is {max_pixels:,}; make it smaller")
    try:
        with silence_decoders:
            image = format_.decode(data, header)
        upright: U8 | None = None if image is None else apply_orientation(image, header.orientation)
    except ImageError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise ImageMemoryError(f"not enough memory for {header.width} x {header.height} pixels") from None
        if not isinstance(error, format_.errors):
            raise
        upright = None
    if upright is None:
        raise _failure(format_)
    return upright


def is_out_of_memory(error: Exception) -> bool:
    """Return whether NumPy or OpenCV raised an error because memory ran out."""
    if isinstance(error, MemoryError):
        return True
    # OpenCV's allocator sets a code. For std::bad_alloc of C++, only the message is available.
    return isinstance(error, cv2.error) and (error.code == cv2.Error.StsNoMem or "bad_alloc" in str(error))


def _failure(format_: Format) -> ImageError:
    if format_.name == "AVIF" and re.search(r"AVIF:\s+NO", cv2.getBuildInformation()):
        return ImageExtraError(
            "this build of OpenCV does not support AVIF: pip install --upgrade opencv-python-headless"
        )
    return ImageError(format_.failure.format(format_.name))
