"""The supported image formats. To add a format, add a module with ``read_header`` and a row here."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from arcage.errors import ImageError
from arcage.images import bmp, gif, heif, jpeg, jpeg2000, netpbm, png, tiff, unsupported, webp
from arcage.images.header import ImageHeader
from arcage.images.pixels import any_to_rgb, bgr_to_rgb
from arcage.images.silence import opencv_messages


def _decode_opencv(data: bytes, header: ImageHeader) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if image is None else bgr_to_rgb(image, header.depth)


def _decode_opaque(data: bytes, header: ImageHeader) -> Any:
    # The fourth channel of BMP and TIFF is often padding or premultiplied alpha, so it is ignored.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else bgr_to_rgb(image, header.depth)


def _decode_tiff(data: bytes, header: ImageHeader) -> Any:
    with opencv_messages() as messages:
        image = _decode_opaque(data, header)
    # libtiff leaves the rest of a short strip as it is.
    return None if tiff.lacks_pixels(b"".join(messages)) else image


def _decode_avif(data: bytes, header: ImageHeader) -> Any:
    try:
        heif.check_av1_sizes(data)
    except (struct.error, LookupError, ValueError):
        return None
    return _decode_opencv(data, header)


def _decode_heic(data: bytes, header: ImageHeader) -> Any:
    return any_to_rgb(heif.decode_heic(data))


def _decode_netpbm(data: bytes, header: netpbm.NetpbmHeader) -> Any:
    return any_to_rgb(netpbm.decode(data, header))


@dataclass(frozen=True, slots=True)
class Format:
    """An image format."""

    name: str
    matches: Callable[[bytes], object]
    """Returns whether a file has this format, by its first bytes."""
    read: Callable[[bytes], ImageHeader]
    """Reads the header. Raises ImageError, struct.error, LookupError or ValueError."""
    decode: Callable[[bytes, Any], Any] = _decode_opencv
    """Decodes a file, given its header, to RGB as stored, shape (height, width, 3). None on failure."""
    errors: type[Exception] = cv2.error
    """Exceptions of the decoder for a damaged file."""
    failure: str = f"damaged {{}} image, or of a kind that OpenCV {cv2.__version__} cannot decode"
    """Message for a file that cannot be decoded, with a placeholder for the name of the format."""
    is_doubtful: Callable[[bytes], bool] = bool
    """Returns whether what the decoder printed may mean that pixels are missing."""
    is_complete: Callable[[bytes, Any, bytes], bool] | None = None
    """Returns whether the pixels are complete, from the file, its header and what the decoder printed. Called
    in a worker process, and only if these messages are doubtful."""

    def read_header(self, data: bytes) -> ImageHeader:
        """Read the header. Raises ImageError if it is damaged."""
        try:
            header = self.read(data)
        except (struct.error, LookupError, ValueError):
            raise ImageError(f"truncated or damaged {self.name} image") from None
        if min(header.width, header.height) < 1:
            raise ImageError(f"damaged {self.name} image: its header gives no size")
        return header


FORMATS = (
    Format(
        "JPEG",
        re.compile(rb"\xff\xd8\xff(?!\xf7)").match,
        jpeg.read_header,
        jpeg.decode,
        is_doubtful=jpeg.is_doubtful,
        is_complete=jpeg.is_complete,
    ),
    Format("PNG", re.compile(rb"\x89PNG\r\n\x1a\n").match, png.read_header, png.decode),
    Format("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL).match, webp.read_header),
    # The zeros, the high bytes of a small header size, distinguish BMP from text.
    Format("BMP", re.compile(rb"BM.{13}\0\0\0", re.DOTALL).match, bmp.read_header, _decode_opaque),
    Format("GIF", re.compile(rb"GIF8[79]a").match, gif.read_header),
    Format(
        "TIFF",
        re.compile(rb"II\*\0|MM\0\*").match,
        tiff.read_header,
        _decode_tiff,
        # OpenCV 4 prints the messages of libtiff, OpenCV 5 logs them.
        is_doubtful=tiff.lacks_pixels,
        is_complete=lambda data, header, messages: False,
    ),
    Format(
        "Netpbm",
        netpbm.SIGNATURE.match,
        netpbm.read_header,
        _decode_netpbm,
        Exception,
        "truncated or damaged {} image",
    ),
    Format("JPEG 2000", jpeg2000.SIGNATURE.match, jpeg2000.read_header),
    Format("AVIF", heif.is_avif, heif.read_avif_header, _decode_avif),
    Format(
        "HEIC",
        heif.is_heic,
        heif.read_heic_header,
        _decode_heic,
        Exception,  # libheif raises exceptions of many types
        "damaged {} image, or of a kind that libheif cannot decode",
    ),
)


def find_format(data: bytes) -> Format:
    """Return the format of an encoded image.

    Raises:
        ImageError: the file is empty or has another format.
    """
    if not data:
        raise ImageError("empty file")
    for format_ in FORMATS:
        if format_.matches(data):
            return format_
    names = "JPEG, PNG, WebP, BMP, TIFF, GIF, PNM, JPEG 2000, HEIC, AVIF, raw"
    raise ImageError(unsupported.describe(data) or f"not an image in a known format ({names})")
