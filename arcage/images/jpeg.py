"""JPEG files: metadata from their segments, and decoding without an end marker."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from arcage.images.orientation import EXIF, XMP, orientation

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Ends the compressed data of a scan."""
_OTHERS = (b"\x55" * 64, b"\xaa" * 64, bytes(range(7, 250, 4)))
"""Compressed data that no encoder writes, enough for a block."""
_PADDING = 8
"""At least this many equal bytes at the end of a file may be padding."""
_ALL = (1 << 64) - 1
"""The coefficients of a block, one bit each."""


class JpegHeader(NamedTuple):
    """Content of the segments before the first scan."""

    width: int
    height: int
    orientation: int
    components: bytes
    """Their identifiers."""
    scan: int
    """Offset of the first scan's header, after its marker."""


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
            return JpegHeader(width, height, orientation(exif, xmp), components, at)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 3)
            components = data[at + 8 : at + length : 3]
        elif marker == 0xE1 and data.startswith(EXIF, at + 2):
            # A block of more than 64 KB continues in the next segments. A second block is joined as well,
            # but only the directory of the first is read.
            exif += data[at + 2 + len(EXIF) * bool(exif) : at + length]
        elif marker == 0xE1 and data.startswith(XMP, at + 2):
            xmp = data[at + 2 : at + length]
        at += length


def has_end(data: bytes, header: JpegHeader) -> bool:
    """Whether an end marker follows the start of the pixels before another JPEG begins."""
    at = header.scan if _begins_another(data, header.scan) else len(data)
    while marker := _MARKER.search(data, at):
        kind = data[marker.start() + 1]
        if kind in (0xD8, 0xD9):
            return kind == 0xD9
        if marker.end() + 2 > len(data):
            break
        at = marker.end() + struct.unpack_from(">H", data, marker.end())[0]
    # What looks like a segment may be damage, which a decoder skips.
    return data.rfind(_END, header.scan) >= 0


def _begins_another(data: bytes, start: int) -> bool:
    # NumPy finds a rare byte several times as fast as a search for the whole marker.
    pixels = np.frombuffer(data, np.uint8)[start:]
    return bool((pixels[np.flatnonzero(pixels[1:] == 0xD8)] == 0xFF).any())


def decode_unended(data: bytes, header: JpegHeader, decode: Callable[[bytes], Any]) -> Any:
    """Decode a JPEG without an end marker after its last scan; None unless all pixels are there.

    Args:
        decode: decodes a JPEG; returns None on failure.
    """
    span = _last_scan(data, header)
    if span is None or data.startswith(_END, span[1]):
        return None
    start, end = span
    scans = _without_fill(data[:end])
    kept = _without_fill(scans.rstrip(scans[-1:]))
    if len(scans) - len(kept) < _PADDING:
        return _decode_complete(scans, start, decode)
    # Padding could be mistaken for pixels: it must not be needed, or be pixels to its last bytes.
    image = _decode_complete(kept, start, decode)
    if image is None and _decode_complete(scans[: -_PADDING // 2], start, decode) is None:
        image = _decode_complete(scans, start, decode)
    return image


def _without_fill(scans: bytes) -> bytes:
    """Strip fill bytes, or the first half of an escaped byte, from the end."""
    return scans.rstrip(b"\xff")


def _decode_complete(scans: bytes, start: int, decode: Callable[[bytes], Any]) -> Any:
    """Return the pixels; None if the last of them depend on what follows, so that data are missing."""
    image = decode(scans + _END)
    if image is None:
        return None
    restart = max(range(-1, 8), key=lambda number: scans.rfind(_restart(number), start) if number >= 0 else 0)
    for other in _OTHERS:
        more = other + _restart(restart + 1) + other
        changed = decode(scans + more + _END)
        if changed is None or cv2.norm(image, changed, cv2.NORM_INF) != 0:
            return None
    return image


def _restart(number: int) -> bytes:
    return bytes((0xFF, 0xD0 + number % 8))


def _last_scan(data: bytes, header: JpegHeader) -> tuple[int, int] | None:
    """Return start and end of the scan with the last bits of the last coefficients; None without it."""
    missing = dict.fromkeys(header.components, _ALL)
    at = header.scan
    try:
        while True:
            (length,) = struct.unpack_from(">H", data, at)
            first, last, bits = data[at + length - 3 : at + length]
            if bits & 15 == 0:
                found = _ALL >> (63 - (last & 63)) & _ALL << (first & 63)
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
