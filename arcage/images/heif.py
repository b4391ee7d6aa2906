"""HEIC and AVIF: what the header of the box format says (ISO/IEC 14496-12, 23008-12), and HEIC's pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from arcage.errors import ImageExtraError
from arcage.images.boxes import boxes, child
from arcage.types import U8

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"heif", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
_MOST = 10_000
"""Maximum number of items whose properties are read."""

_UPRIGHT = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
"""EXIF orientation by the mirror's axis, then by the quarter turns to the left that come before it."""


class BoxHeader(NamedTuple):
    """Of the primary picture."""

    width: int
    """As stored, before it is turned."""
    height: int
    orientation: int
    """1 to 8 as EXIF numbers them, from the boxes ``irot`` and ``imir``: the EXIF block of such a file only
    repeats what they say."""
    largest: int
    """Pixels of the largest picture in the file: tiles, thumbnails and masks count as well."""
    depth: int
    """Bits of a sample, as AV1 is configured; 8 where that is not said."""


def kind(data: bytes) -> str:
    """``AVIF`` or ``HEIC`` by the brands of the file; empty for what is neither."""
    if data[4:8] != b"ftyp":
        return ""
    size = min(max(int.from_bytes(data[:4], "big"), 16), 256)
    if data[8:12] not in _HEIC | _AVIF:
        return ""
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    return "AVIF" if brands & _AVIF else "HEIC"


def is_sequence(data: bytes) -> bool:
    """Whether the first picture is one of a video."""
    return data[4:8] == b"ftyp" and data[8:12] in {b"avis", b"hevc", b"hevx", b"msf1"}


def read_header(data: bytes) -> BoxHeader:
    """Raises struct.error, LookupError or ValueError where it is damaged."""
    meta = child(data, 0, len(data), b"meta")
    start, end = meta[0] + 4, meta[1]
    at, _ = child(data, start, end, b"pitm")
    (primary,) = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)
    properties = child(data, start, end, b"iprp")
    listed = list(boxes(data, *child(data, *properties, b"ipco")))
    sizes = [struct.unpack_from(">II", data, at + 4) for name, at, _ in listed if name == b"ispe"]
    own = {}
    for name, at, stop in boxes(data, *properties):
        if name == b"ipma":
            for index in _associations(data, at, stop, primary):
                if 0 <= index < len(listed):
                    own[listed[index][0]] = listed[index][1]
    width, height = struct.unpack_from(">II", data, own[b"ispe"] + 4)
    turns = data[own[b"irot"]] & 3 if b"irot" in own else 0
    mirror = data[own[b"imir"]] & 1 if b"imir" in own else None
    largest = max(w * h for w, h in sizes)
    # Two bits: more than 8, more than 10.
    deep = [data[at + 2] >> 5 & 3 for name, at, _ in listed if name == b"av1C"]
    depth = 8 + 2 * max(deep, default=0).bit_count()
    return BoxHeader(width, height, _UPRIGHT[mirror][turns], largest, depth)


def decode_heic(data: bytes) -> U8:
    """The primary picture: shape (height, width) or (height, width, 3 or 4), uint8, RGB(A), upright.

    Raises:
        ImageExtraError: the extra is not installed.
        Exception: of libheif, of many kinds, where the file is damaged.
    """
    try:
        import pi_heif
    except ImportError:
        raise ImageExtraError("HEIC needs an extra: pip install 'arcage[formats]'") from None
    # libheif turns and mirrors, and makes 8 bits of 10 and 12.
    picture: Any = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    # A copy, because the pixels are libheif's and go when the picture does.
    return np.array(picture, np.uint8, order="C")


def _associations(data: bytes, at: int, end: int, item: int) -> Iterator[int]:
    """Indices into ``ipco`` of the properties of one item."""
    version, wide = data[at], data[at + 3] & 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(min(count, _MOST)):
        number, length = struct.unpack_from(">HB" if version == 0 else ">IB", data, at)
        at += 3 if version == 0 else 5
        if at + length * (1 + wide) > end:
            raise ValueError
        for _ in range(length):
            index = struct.unpack_from(">H", data, at)[0] & 0x7FFF if wide else data[at] & 0x7F
            at += 1 + wide
            if number == item:
                yield index - 1
