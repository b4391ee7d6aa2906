"""HEIC and AVIF: headers of both (ISO/IEC 23008-12), and pixels of HEIC."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from arcage.errors import ImageError, ImageExtraError
from arcage.images.av1 import read_size as read_av1_size
from arcage.images.header import ImageHeader
from arcage.images.isobmff import boxes, child
from arcage.types import U8

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"heif", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
_SEQUENCES = {b"avis", b"hevc", b"hevx", b"msf1"}
_MAX_ASSOCIATIONS = 4
"""Maximum number of boxes ``ipma`` that are read: one for each version and width."""
_MAX_ITEMS = 10_000
"""Maximum number of items whose properties are read."""

_BLOCK = 64
"""Multiple of the size to which some coders of AV1 round up, pixels."""

_ORIENTATIONS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
"""EXIF orientation by the axis of the mirror, then by the number of counterclockwise quarter turns before
mirroring."""


_EXTRA = "HEIC needs an extra: pip install 'arcage[formats]'"


def check_extra() -> None:
    """Raise ImageExtraError if pi-heif is not installed."""
    if find_spec("pi_heif") is None:
        raise ImageExtraError(_EXTRA)


def is_heic(data: bytes) -> bool:
    """Return whether the brands of a file are those of HEIC."""
    return _format(data) == "HEIC"


def is_avif(data: bytes) -> bool:
    """Return whether the brands of a file are those of AVIF."""
    return _format(data) == "AVIF"


def is_sequence(data: bytes) -> bool:
    """Return whether a HEIC or AVIF file is an animation."""
    return data[4:8] == b"ftyp" and data[8:12] in _SEQUENCES


def read_heic_header(data: bytes) -> ImageHeader:
    """Read the header of a HEIC file; raises the same errors as :func:`read_header`."""
    # libheif applies the orientation, and returns 8 bits per sample.
    return replace(read_header(data), orientation=1)


def read_avif_header(data: bytes) -> ImageHeader:
    """Read the header of an AVIF file; raises the same errors as :func:`read_header`."""
    header = read_header(data)
    # For 8 bits per sample, OpenCV returns uint8. If it returns uint16, the header is wrong.
    return header if header.depth > 8 else replace(header, depth=16)


def read_header(data: bytes) -> ImageHeader:
    """Read the properties of the primary picture.

    The orientation is that of the boxes ``irot`` and ``imir``, which the EXIF block only repeats. ``depth``
    is that of the AV1 configuration, or 8.

    Raises:
        struct.error, LookupError, ValueError: the file is damaged.
    """
    meta = child(data, 0, len(data), b"meta")
    start, end = meta[0] + 4, meta[1]
    at, _ = child(data, start, end, b"pitm")
    (primary,) = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)
    properties = child(data, start, end, b"iprp")
    listed = list(boxes(data, *child(data, *properties, b"ipco")))
    own = _properties_of_items(data, properties, listed, only=primary).get(primary, {})
    sizes = [struct.unpack_from(">II", data, at + 4) for name, at, _ in listed if name == b"ispe"]
    width, height = struct.unpack_from(">II", data, own[b"ispe"] + 4)
    turns = data[own[b"irot"]] & 3 if b"irot" in own else 0
    mirror = data[own[b"imir"]] & 1 if b"imir" in own else None
    # Tiles, thumbnails and masks count as well.
    largest = max(width * height for width, height in sizes)
    # Two flags: more than 8 bits, more than 10 bits.
    flags = [data[at + 2] >> 5 & 3 for name, at, _ in listed if name == b"av1C"]
    depth = 8 + 2 * max(flags, default=0).bit_count()
    return ImageHeader(width, height, _ORIENTATIONS[mirror][turns], largest, depth)


def decode_heic(data: bytes) -> U8:
    """Decode the primary picture.

    Returns:
        Grey, RGB or RGBA, shape (height, width[, 3 or 4]), uint8, upright.

    Raises:
        ImageExtraError: pi-heif is not installed.
        Exception: the file is damaged. libheif raises exceptions of many types.
    """
    try:
        import pi_heif
    except ImportError:
        raise ImageExtraError(_EXTRA) from None
    # libheif rotates and mirrors the picture, and converts 10 and 12 bits to 8.
    picture: Any = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    # A copy, because libheif owns the pixels.
    return np.array(picture, np.uint8, order="C")


def check_av1_sizes(data: bytes) -> None:
    """Compare the size of each AV1 picture with its property ``ispe``, to which libavif would scale it.

    Raises:
        ImageError: a picture has another size.
        struct.error, LookupError, ValueError: the file is damaged.
    """
    meta = child(data, 0, len(data), b"meta")
    start, end = meta[0] + 4, meta[1]
    properties = child(data, start, end, b"iprp")
    listed = list(boxes(data, *child(data, *properties, b"ipco")))
    items = _properties_of_items(data, properties, listed)
    for item, at in _starts_of_items(data, start, end):
        own = items.get(item, {})
        if b"av1C" not in own or b"ispe" not in own:
            continue
        stated = struct.unpack_from(">II", data, own[b"ispe"] + 4)
        size = read_av1_size(data, at)
        if size is not None and any(
            real > said + _BLOCK or said > real + _BLOCK for real, said in zip(size, stated, strict=True)
        ):
            raise ImageError(
                f"damaged AVIF image: a picture has {size[0]} x {size[1]} pixels, but the header says "
                f"{stated[0]} x {stated[1]}"
            )


def _format(data: bytes) -> str:
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIC | _AVIF:
        return ""
    size = min(max(int.from_bytes(data[:4], "big"), 16), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    return "AVIF" if brands & _AVIF else "HEIC"


def _starts_of_items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield each item and the position of its data, from the box ``iloc`` in the content of ``meta``."""
    at, stop = child(data, start, end, b"iloc")
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    number_size = 2 if version < 2 else 4
    count = int.from_bytes(data[at + 6 : at + 6 + number_size], "big")
    at += 6 + number_size
    for _ in range(min(count, _MAX_ITEMS)):
        item = int.from_bytes(data[at : at + number_size], "big")
        at += number_size
        method = data[at + 1] & 15 if version else 0
        at += 4 if version else 2
        base = int.from_bytes(data[at : at + base_size], "big")
        at += base_size
        extents = int.from_bytes(data[at : at + 2], "big")
        at += 2 + index_size
        offset = base + int.from_bytes(data[at : at + offset_size], "big")
        at += extents * (index_size + offset_size + length_size) - index_size
        if at > stop:
            raise ValueError
        if method == 1:
            offset += child(data, start, end, b"idat")[0]
        if extents and method < 2:
            yield item, offset


def _properties_of_items(
    data: bytes,
    properties: tuple[int, int],
    listed: list[tuple[bytes, int, int]],
    *,
    only: int | None = None,
) -> dict[int, dict[bytes, int]]:
    """Return the positions of the properties of items, or of ``only`` one, by item and by their type.

    ``listed`` is the content of ``ipco``.
    """
    items: dict[int, dict[bytes, int]] = {}
    associations = [(at, stop) for name, at, stop in boxes(data, *properties) if name == b"ipma"]
    for at, stop in associations[:_MAX_ASSOCIATIONS]:
        for item, index in _property_indices(data, at, stop, only):
            if 0 <= index < len(listed):
                items.setdefault(item, {})[listed[index][0]] = listed[index][1]
    return items


def _property_indices(data: bytes, at: int, end: int, only: int | None) -> Iterator[tuple[int, int]]:
    """Yield items, and the indices of their properties in ``ipco``, from the content of a box ``ipma``."""
    version, wide = data[at], data[at + 3] & 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(min(count, _MAX_ITEMS)):
        number, length = struct.unpack_from(">HB" if version == 0 else ">IB", data, at)
        at += 3 if version == 0 else 5
        if at + length * (1 + wide) > end:
            raise ValueError
        if only is not None and number != only:
            at += length * (1 + wide)
            continue
        for _ in range(length):
            index = struct.unpack_from(">H", data, at)[0] & 0x7FFF if wide else data[at] & 0x7F
            at += 1 + wide
            yield number, index - 1
