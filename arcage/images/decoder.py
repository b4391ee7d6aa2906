"""Decode images to upright RGB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import cv2

from arcage.errors import ImageError, ImageExtraError, ImageHereError, ImageMemoryError
from arcage.images import heif, raw
from arcage.images.formats import Format, find_format
from arcage.images.header import ImageHeader
from arcage.images.isolated import decode_in_cell, replies
from arcage.images.judge import judge
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.pixels import apply_orientation
from arcage.images.silence import silence_decoders
from arcage.types import U8

_JOB = "arcage.images.decoder:decode_job"
_BYTES_PER_PIXEL = 16
"""Memory of typical decoders, including the result."""


def decode(data: bytes, *, limits: DecodeLimits = DEFAULT_LIMITS) -> U8:
    """Decode an image.

    Supported formats are JPEG, JPEG 2000, PNG, WebP, BMP, PBM, PGM, PPM, PAM, TIFF, GIF and AVIF; with the
    extra ``[formats]``, HEIC and the JPEG preview in raw files of cameras. Of an animation or a file of
    several pages, the first frame or page is decoded.

    Grey images become RGB, and 10 to 16 bits per sample become 8. Transparent pixels of PNG, WebP, GIF, HEIC
    and AVIF become white; the alpha channel of BMP and TIFF is ignored.

    The header is read before OpenCV decodes the file, for three reasons: OpenCV's own limit of the size is
    far too high; its versions differ in truncated JPEG files (4.10 returns uninitialised rows) and in the
    orientation of WebP; and it ignores the orientation if it keeps the alpha channel.

    JPEG, PNG and WebP are decoded in this process, unless their headers say that it takes long. The decoders
    of other formats run in a worker process, which a damaged file may crash (:mod:`arcage.process.cell`).

    Args:
        data: encoded image.
        limits: limits of memory, time and size. The size is checked before memory is allocated.

    Returns:
        Shape (height, width, 3), uint8, 0 to 255, RGB, C-contiguous, upright (the EXIF orientation is
        applied; for HEIC and AVIF, that of the boxes).

    Raises:
        ImageError: the file is empty, of an unsupported format, truncated, damaged or too large.
        ImageMemoryError: there is not enough memory, or decoding takes more than the limit.
        ImageExtraError: the extra is not installed.
        ImageHereError: decoding takes longer than the limit, or crashed.
    """
    if raw.is_raw(data):
        raw.check_extra()
    else:
        format_ = find_format(data)
        header = format_.read_header(data)
        if judge(data, header, limits).in_process:
            try:
                image, messages = _decode(data, format_, header)
                if format_.is_complete is None or not format_.is_doubtful(messages):
                    return image
                # Another thread may have caused the messages. In a worker process, they are of this image.
            except MemoryError as error:
                raise ImageMemoryError(str(error)) from None
        if format_.name == "HEIC":
            heif.check_extra()
    return decode_in_cell(_JOB, data, limits)


def is_quick(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> bool:
    """Return whether an image is decoded in this process, or refused at once: neither takes long."""
    try:
        return not raw.is_raw(data) and judge(data, find_format(data).read_header(data), limits).in_process
    except ImageError:
        return True


def decode_job(args: dict[str, Any], data: bytes) -> Iterator[tuple[dict[str, Any], Any]]:
    """Decode an image in a worker process (:data:`arcage.process.worker.Job`)."""
    limits = DecodeLimits(args["memory"], args["seconds"], args["pixels"])
    return replies(lambda: _decode_any(data, limits))


def _decode_any(data: bytes, limits: DecodeLimits) -> U8:
    """Decode an image in this process; see :func:`decode`."""
    if raw.is_raw(data):
        with silence_decoders:
            data = raw.preview(data)
    format_ = find_format(data)
    header = format_.read_header(data)
    judge(data, header, limits)
    try:
        image, messages = _decode(data, format_, header)
        if format_.is_complete is not None and format_.is_doubtful(messages):
            with silence_decoders:
                complete = format_.is_complete(data, header, messages)
            if not complete:
                raise ImageError(f"truncated or damaged {format_.name} image")
        return image
    except ImageError as error:
        # Some libraries report a lack of memory as damage, which would be cached.
        pixels = max(header.width * header.height, header.largest)
        if pixels * _BYTES_PER_PIXEL > limits.memory // 2 and not isinstance(error, ImageHereError):
            raise ImageMemoryError(
                f"decoding takes more than {limits.memory / 1e6:,.0f} MB of memory: raise `max_memory`; "
                f"or {error}"
            ) from None
        raise


def _decode(data: bytes, format_: Format, header: ImageHeader) -> tuple[U8, bytes]:
    """Return the pixels, and what C libraries printed meanwhile."""
    try:
        with silence_decoders.listen() as messages:
            image = format_.decode(data, header)
        upright: U8 | None = None if image is None else apply_orientation(image, header.orientation)
    except ImageError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            # In a worker process, the reason is its limit.
            raise MemoryError(f"not enough memory for {header.width} x {header.height} pixels") from None
        if not isinstance(error, format_.errors):
            raise
        upright = None
    if upright is None:
        raise _failure(format_)
    if upright.shape[0] * upright.shape[1] > max(header.width * header.height, header.largest):
        raise ImageError(f"damaged {format_.name} image: it is larger than its header says")
    return upright, b"".join(messages)


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
