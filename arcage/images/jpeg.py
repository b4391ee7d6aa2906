"""JPEG: metadata from its segments, and decoding, with or without an end marker."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from arcage.errors import ImageError
from arcage.images.header import ImageHeader
from arcage.images.orientation import EXIF, XMP, orientation
from arcage.images.pixels import bgr_to_rgb

# OpenCV >= 4.11 can decode to RGB, which saves a pass over the pixels.
_IS_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")
_FLAGS = cv2.IMREAD_IGNORE_ORIENTATION | (cv2.IMREAD_COLOR_RGB if _IS_RGB else cv2.IMREAD_COLOR)

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker that ends the compressed data of a scan."""
_PROBES = (b"\x55" * 64, b"\xaa" * 64, bytes(range(7, 250, 4)))
"""Compressed data that no encoder writes, sufficient for a block. A scan is incomplete if its pixels change
when one of these is appended."""
_MIN_PADDING = 8
"""Minimum number of equal bytes at the end of a file that may be padding."""
_ALL_COEFFICIENTS = (1 << 64) - 1
"""The coefficients of a block, one bit each."""


@dataclass(frozen=True, slots=True)
class JpegHeader(ImageHeader):
    """The segments before the first scan."""

    components: bytes = b""
    """Identifiers of the colour components."""
    scan: int = 0
    """Offset of the header of the first scan, after its marker."""


def read_header(data: bytes) -> JpegHeader:
    """Read the header. Raises struct.error, LookupError or ValueError if it is damaged."""
    width = height = 0
    components = exif = xmp = b""
    at = 2
    while True:
        at = data.index(b"\xff", at)
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD7:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if marker == 0xDA:
            return JpegHeader(width, height, orientation(exif, xmp), components=components, scan=at)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 3)
            components = data[at + 8 : at + length : 3]
        elif marker == 0xE1 and data.startswith(EXIF, at + 2):
            # A block of more than 64 KB continues in the next segments. A second block is appended too, but
            # only the directory of the first block is read.
            exif += data[at + 2 + len(EXIF) * bool(exif) : at + length]
        elif marker == 0xE1 and data.startswith(XMP, at + 2):
            xmp = data[at + 2 : at + length]
        at += length


def decode(data: bytes, header: JpegHeader) -> Any:
    """Decode to RGB, shape (height, width, 3), uint8, as stored. Returns None if OpenCV cannot decode it.

    Raises:
        ImageError: the image is truncated.
    """
    ended = _has_end(data, header)
    image = _decode_opencv(data) if ended else None
    if image is None:
        image = _decode_unended(data, header)
    if image is None and not ended:
        raise ImageError("truncated or damaged JPEG image")
    return image if image is None or _IS_RGB else bgr_to_rgb(image)


def _decode_opencv(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)


def _has_end(data: bytes, header: JpegHeader) -> bool:
    """Return whether an end marker follows the first scan before another JPEG begins."""
    at = header.scan if _begins_another(data, header.scan) else len(data)
    while marker := _MARKER.search(data, at):
        kind = data[marker.start() + 1]
        if kind in (0xD8, 0xD9):
            return kind == 0xD9
        if marker.end() + 2 > len(data):
            break
        at = marker.end() + struct.unpack_from(">H", data, marker.end())[0]
    # Damaged data, which a decoder skips, may look like a segment.
    return data.rfind(_END, header.scan) >= 0


def _begins_another(data: bytes, start: int) -> bool:
    # NumPy finds a rare byte several times faster than bytes.find finds the whole marker.
    pixels = np.frombuffer(data, np.uint8)[start:]
    return bool((pixels[np.flatnonzero(pixels[1:] == 0xD8)] == 0xFF).any())


def _decode_unended(data: bytes, header: JpegHeader) -> Any:
    """Decode a JPEG without an end marker after its last scan; None unless all pixels are present."""
    span = _last_scan(data, header)
    if span is None or data.startswith(_END, span[1]):
        return None
    start, end = span
    scans = _without_fill(data[:end])
    kept = _without_fill(scans.rstrip(scans[-1:]))
    if len(scans) - len(kept) < _MIN_PADDING:
        return _decode_complete(scans, start)
    # The equal bytes are padding if the pixels are complete without them. They are pixels if even the last of
    # them are needed.
    image = _decode_complete(kept, start)
    if image is None and _decode_complete(scans[: -_MIN_PADDING // 2], start) is None:
        image = _decode_complete(scans, start)
    return image


def _without_fill(scans: bytes) -> bytes:
    """Remove fill bytes, or the first half of an escaped byte, from the end."""
    return scans.rstrip(b"\xff")


def _decode_complete(scans: bytes, start: int) -> Any:
    """Decode scans without an end marker; None if data are missing, so that appended data change pixels."""
    image = _decode_opencv(scans + _END)
    if image is None:
        return None
    restart = max(range(-1, 8), key=lambda number: scans.rfind(_restart(number), start) if number >= 0 else 0)
    for probe in _PROBES:
        appended = probe + _restart(restart + 1) + probe
        changed = _decode_opencv(scans + appended + _END)
        if changed is None or cv2.norm(image, changed, cv2.NORM_INF) != 0:
            return None
    return image


def _restart(number: int) -> bytes:
    return bytes((0xFF, 0xD0 + number % 8))


def _last_scan(data: bytes, header: JpegHeader) -> tuple[int, int] | None:
    """Return start and end of the scan that completes the coefficients; None if there is none."""
    missing = dict.fromkeys(header.components, _ALL_COEFFICIENTS)
    at = header.scan
    try:
        while True:
            (length,) = struct.unpack_from(">H", data, at)
            first, last, bits = data[at + length - 3 : at + length]
            if bits & 15 == 0:
                found = _ALL_COEFFICIENTS >> (63 - (last & 63)) & _ALL_COEFFICIENTS << (first & 63)
                for component in data[at + 3 : at + length - 3 : 2]:
                    missing[component] &= ~found
            marker = _MARKER.search(data, at + length)
            if not any(missing.values()):
                return at, marker.start() if marker else len(data)
            while marker and data[marker.start() + 1] != 0xDA:
                (length,) = struct.unpack_from(">H", data, marker.end())
                marker = _MARKER.match(data, marker.end() + length)
            if marker is None:
                return None
            at = marker.end()
    except (struct.error, LookupError, ValueError):
        return None
