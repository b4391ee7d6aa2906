"""JPEG: metadata from its segments, and decoding, with or without an end marker."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
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
_PIECE = 1 << 20
"""Number of bytes that are searched together."""
_MANY_BYTES = 16 << 20
"""Above this size of a file, segments that OpenCV keeps (APP1) are counted among the scans too."""
_MARKER_MEMORY = 96
"""Memory that libjpeg takes for such a segment, bytes."""
_FILL = re.compile(rb"\xff+")
_MAX_SEGMENTS = 10_000
"""Maximum number of segments. A photo has up to a few hundred, of 64 KB each."""
_MAX_SCANS = 1_000
"""Maximum number of scans. Encoders write up to about 20; each is a pass over all blocks."""
_MAX_EXIF_PARTS = 16
"""Maximum number of segments that an EXIF block continues in, 1 MB."""
_WARNING = re.compile(rb"JPEG|JFIF|Adobe|progression")
"""Warning of libjpeg, not of another library in another thread."""
_MISSING = (b"premature end of data segment", b"Premature end of JPEG file", b"instead of RST")
"""Warnings of a picture that libjpeg fills."""
_MAX_RETRY_SECONDS = 5.0
"""Maximum estimated time for finding out whether a JPEG without an end is complete."""
_RETRIES = 13
"""Maximum number of times that a JPEG without an end is decoded."""


@dataclass(frozen=True, slots=True)
class JpegHeader(ImageHeader):
    """The segments before the first scan."""

    components: bytes = b""
    """Identifiers of the colour components."""
    scan: int = 0
    """Offset of the header of the first scan, after its marker."""
    ended: bool = True
    """Whether an end marker follows."""
    covered: bool = True
    """Whether the scans contain all coefficients. A decoder fills the others with zeros."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """The segment that starts a frame."""

    kind: int
    """Second byte of its marker, SOF0 to SOF15."""
    width: int
    height: int
    blocks: dict[int, int]
    """Number of blocks of 8 x 8 samples by the identifier of the component."""


def read_header(data: bytes) -> JpegHeader:
    """Read the header, and estimate the cost of decoding.

    Raises:
        ImageError: there are more segments or scans than in any photo.
        struct.error, LookupError, ValueError: the header is damaged.
    """
    frame = _Frame(0xC0, 0, 0, {})
    xmp = b""
    exif: list[bytes] = []
    at = 2
    for _ in range(_MAX_SEGMENTS):
        fill = _FILL.search(data, at)
        if fill is None:
            raise ValueError
        marker, at = data[fill.end()], fill.end() + 1
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD7:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if marker == 0xDA:
            turn = orientation(b"".join(exif), xmp)
            return _header(data, frame, at, turn)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = _frame(data, marker, at)
        elif marker == 0xE1 and data.startswith(EXIF, at + 2):
            # A block of more than 64 KB continues in the next segments. A second block is appended too, but
            # only the directory of the first block is read.
            if len(exif) < _MAX_EXIF_PARTS:
                exif.append(data[at + 2 + len(EXIF) * bool(exif) : at + length])
        elif marker == 0xE1 and data.startswith(XMP, at + 2):
            xmp = data[at + 2 : at + length]
        at += length
    raise _too_many_segments()


def _too_many_segments() -> ImageError:
    return ImageError(f"damaged JPEG image: more than {_MAX_SEGMENTS:,} segments")


def _frame(data: bytes, marker: int, at: int) -> _Frame:
    height, width, count = struct.unpack_from(">HHB", data, at + 3)
    parts = [struct.unpack_from("BB", data, at + 8 + 3 * number) for number in range(count)]
    across = max((sampling >> 4 for _, sampling in parts), default=1) or 1
    down = max((sampling & 15 for _, sampling in parts), default=1) or 1
    # A component has its share of the samples, in whole blocks.
    blocks = {
        name: (-(-width * (sampling >> 4) // (8 * across)) + 1)
        * (-(-height * (sampling & 15) // (8 * down)) + 1)
        for name, sampling in parts
    }
    return _Frame(marker, width, height, blocks)


def _header(data: bytes, frame: _Frame, scan: int, turn: int) -> JpegHeader:
    """Return the header with the estimated cost of decoding."""
    pixels = frame.width * frame.height
    ended = _has_end(data, scan)
    blocks = sum(frame.blocks.values())
    # Measured with libjpeg-turbo 3.1: pixels, blocks, compressed bytes, and passes over the blocks.
    seconds = 5e-9 * pixels + 4e-8 * blocks + 2e-8 * len(data)
    memory = 3 * pixels
    covered = True
    if frame.kind not in (0xC0, 0xC1) or data[scan + 2] < len(frame.blocks):
        # Progressive, or with a scan for each component: libjpeg keeps all coefficients.
        memory += 128 * blocks
        scans = _scans(data, scan)
        seconds += 1e-7 * blocks + 5e-8 * len(data)
        seconds += sum(_scan_seconds(data, frame, at) for at in scans)
        covered = _are_covered(data, frame, scans)
    if len(data) > _MANY_BYTES:
        memory += _MARKER_MEMORY * sum(1 for _ in _find_marker(data, scan, 0xE1))
    if frame.kind not in (0xC0, 0xC1, 0xC2):
        # Arithmetic coding and lossless JPEG, which are slow.
        seconds += 2e-6 * blocks
    return JpegHeader(
        width=frame.width,
        height=frame.height,
        orientation=turn,
        memory=memory if _IS_RGB else memory + 3 * pixels,
        seconds=seconds if ended else _RETRIES * seconds,
        components=bytes(frame.blocks),
        scan=scan,
        ended=ended,
        covered=covered,
    )


def _scans(data: bytes, first: int) -> list[int]:
    """Return the offsets of the headers of all scans. Raises ImageError if there are too many."""
    found = list(islice(_find_marker(data, first - 2, 0xDA), _MAX_SCANS + 1))
    if len(found) > _MAX_SCANS:
        raise ImageError(f"damaged JPEG image: more than {_MAX_SCANS:,} scans")
    return found


def _are_covered(data: bytes, frame: _Frame, scans: list[int]) -> bool:
    """Return whether scans contain all coefficients of all components."""
    missing = dict.fromkeys(frame.blocks, _ALL_COEFFICIENTS)
    for at in scans:
        names, found = _coefficients(data, at)
        for name in names:
            # A scan of a sequential JPEG contains all of them, whatever it states.
            missing[name] = missing.get(name, 0) & ~(found if frame.kind & 3 == 2 else _ALL_COEFFICIENTS)
    return not any(missing.values())


def _coefficients(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the components of a scan, and the coefficients that are complete after it."""
    count = data[at + 2] if at + 2 < len(data) else 0
    first, last, bits = (*data[at + 3 + 2 * count : at + 6 + 2 * count], 0, 0, 1)[:3]
    found = _ALL_COEFFICIENTS >> (63 - (last & 63)) & _ALL_COEFFICIENTS << (first & 63)
    return data[at + 3 : at + 3 + 2 * count : 2], 0 if bits & 15 else found


def _scan_seconds(data: bytes, frame: _Frame, at: int) -> float:
    """Return the time of a scan's pass over its blocks, without that of reading its data."""
    count = data[at + 2] if at + 2 < len(data) else 0
    names = data[at + 3 : at + 3 + 2 * count : 2]
    first, last, bits = (*data[at + 3 + 2 * count : at + 6 + 2 * count], 0, 63, 0)[:3]
    # A refining scan visits every coefficient.
    coefficients = max(last - first, 0) if bits >> 4 else 0
    return sum(frame.blocks.get(name, 0) for name in names) * (2.5e-8 + 1.2e-9 * coefficients)


def decode(data: bytes, header: JpegHeader) -> Any:
    """Decode to RGB, shape (height, width, 3), uint8, as stored. Returns None if OpenCV cannot decode it.

    Raises:
        ImageError: the image is truncated.
    """
    if not header.covered:
        raise ImageError("truncated or damaged JPEG image")
    image = _decode_opencv(data) if header.ended else None
    if image is None and (not header.ended or _RETRIES * header.seconds < _MAX_RETRY_SECONDS):
        image = _decode_unended(data, header)
    if image is None and not header.ended:
        raise ImageError("truncated or damaged JPEG image")
    return image if image is None or _IS_RGB else bgr_to_rgb(image)


def is_doubtful(messages: bytes) -> bool:
    """Return whether pixels may be missing, from what was printed.

    libjpeg prints the first warning of a picture only.
    """
    return _WARNING.search(messages) is not None


def is_complete(data: bytes, header: JpegHeader, messages: bytes) -> bool:
    """Return whether the pixels are complete, from the messages of this JPEG and by decoding it again."""
    if not header.ended:
        return True  # decode has examined it
    span = _last_scan(data, header)
    if span is None or any(message in messages for message in _MISSING):
        return False
    return _decode_complete(_without_fill(data[: span[1]]), span[0]) is not None


def _decode_opencv(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)


def _has_end(data: bytes, scan: int) -> bool:
    """Return whether an end marker follows the first scan before another JPEG begins."""
    at = scan if _begins_another(data, scan) else len(data)
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None:
            break
        kind = data[marker.start() + 1]
        if kind in (0xD8, 0xD9):
            return kind == 0xD9
        if marker.end() + 2 > len(data):
            break
        at = marker.end() + struct.unpack_from(">H", data, marker.end())[0]
    else:
        raise _too_many_segments()
    # Damaged data, which a decoder skips, may look like a segment.
    return data.rfind(_END, scan) >= 0


def _begins_another(data: bytes, start: int) -> bool:
    return next(_find_marker(data, start, 0xD8), None) is not None


def _find_marker(data: bytes, start: int, kind: int) -> Iterator[int]:
    """Yield the offsets behind a marker, without regard to segments."""
    # NumPy finds a rare byte several times faster than bytes.find finds the whole marker. In pieces, because
    # hostile data may consist of it.
    for first in range(start, len(data) - 1, _PIECE):
        piece = np.frombuffer(data, np.uint8, min(_PIECE + 1, len(data) - first), first)
        after = np.flatnonzero(piece[1:] == kind)
        yield from (after[piece[after] == 0xFF] + (first + 2)).tolist()


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
        del changed  # before the next is decoded
    return image


def _restart(number: int) -> bytes:
    return bytes((0xFF, 0xD0 + number % 8))


def _last_scan(data: bytes, header: JpegHeader) -> tuple[int, int] | None:
    """Return start and end of the scan that completes the coefficients; None if there is none."""
    missing = dict.fromkeys(header.components, _ALL_COEFFICIENTS)
    at = header.scan
    segments = 0
    try:
        while segments < _MAX_SEGMENTS:
            (length,) = struct.unpack_from(">H", data, at)
            names, found = _coefficients(data, at)
            for component in names:
                missing[component] &= ~found
            marker = _MARKER.search(data, at + length)
            if not any(missing.values()):
                return at, marker.start() if marker else len(data)
            while marker and data[marker.start() + 1] != 0xDA:
                (length,) = struct.unpack_from(">H", data, marker.end())
                marker = _MARKER.match(data, marker.end() + length)
                segments += 1
                if segments == _MAX_SEGMENTS:
                    return None
            if marker is None:
                return None
            at = marker.end()
            segments += 1
    except (struct.error, LookupError, ValueError):
        pass
    return None
