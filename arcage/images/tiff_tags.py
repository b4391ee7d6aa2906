"""Read the first directories of a TIFF file or an EXIF block: integers by their tags, and XMP."""

from __future__ import annotations

import struct

SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, MAKE, ORIENTATION = 254, 256, 257, 258, 262, 271, 274
TILE_WIDTH, TILE_HEIGHT, SUB_DIRECTORIES, SAMPLE_FORMAT, DNG_VERSION = 322, 323, 330, 339, 50706
_TAGS = {
    *(SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, MAKE, ORIENTATION),
    *(TILE_WIDTH, TILE_HEIGHT, SUB_DIRECTORIES, SAMPLE_FORMAT, DNG_VERSION),
}
_INTEGERS = {1: "B", 2: "B", 3: "H", 4: "I", 13: "I"}  # the field types BYTE, ASCII, SHORT, LONG and IFD
_NUMBERS = {3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q"}
"""Field types from which an orientation is read, as in Pillow."""
_INVALID = {1, 2, 7}
"""BYTE, ASCII and UNDEFINED: an orientation of these types is invalid, as in Pillow."""
_XMP = 700
# Some writers of EXIF blocks store the 42 in the other byte order.
_BYTE_ORDERS = {b"II*\0": "<", b"II\0*": "<", b"MM\0*": ">", b"MM*\0": ">"}


def first_directory(tiff: bytes) -> dict[int, int]:
    """Return the integers of the first directory by the tags above; the first value of each tag.

    Raises:
        struct.error, KeyError: the file is damaged or not a TIFF.
    """
    order, at = _start(tiff)
    return _directory(tiff, order, at)


def second_directory(tiff: bytes) -> dict[int, int]:
    """Return the same of the second directory; empty if there is none.

    Raises the same errors as :func:`first_directory`.
    """
    order, at = _start(tiff)
    (entries,) = struct.unpack_from(order + "H", tiff, at)
    (following,) = struct.unpack_from(order + "I", tiff, at + 2 + 12 * entries)
    return _directory(tiff, order, following) if following else {}


def orientation(exif: bytes) -> float | None:
    """Return the orientation in an EXIF block, which may be any number; None if there is none.

    The block may be truncated or damaged after the orientation.
    """
    try:
        order, kind, count, where = _find(exif, ORIENTATION)
        if kind in _INVALID:
            return 0
        values = struct.unpack_from(order + _NUMBERS[kind], exif, where)
        return float(values[0] / values[1] if len(values) == 2 else values[0]) if count else None
    except (struct.error, KeyError, ZeroDivisionError):
        return None


def xmp(tiff: bytes) -> bytes:
    """Return the XMP packet of the first directory; empty if there is none."""
    try:
        _, kind, count, where = _find(tiff, _XMP)
    except (struct.error, KeyError):
        return b""
    return tiff[where : where + count] if kind in (1, 7) else b""


def _find(tiff: bytes, wanted: int) -> tuple[str, int, int, int]:
    """Return byte order, field type, number of values, and offset of the values."""
    order, directory = _start(tiff)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == wanted:
            size = struct.calcsize(order + _NUMBERS.get(kind, "B")) * count
            where = at + 8 if size <= 4 else struct.unpack_from(order + "I", tiff, at + 8)[0]
            if where + size > len(tiff):
                break
            return order, kind, count, where
    raise KeyError(wanted)


def _start(tiff: bytes) -> tuple[str, int]:
    order = _BYTE_ORDERS[tiff[:4]]
    return order, struct.unpack_from(order + "I", tiff, 4)[0]


def _directory(tiff: bytes, order: str, directory: int) -> dict[int, int]:
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    values: dict[int, int] = {}
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag in _TAGS and kind in _INTEGERS and count:
            code = order + _INTEGERS[kind]
            inline = struct.calcsize(code) * count <= 4
            (where,) = (at + 8,) if inline else struct.unpack_from(order + "I", tiff, at + 8)
            values.setdefault(tag, struct.unpack_from(code, tiff, where)[0])
    return values
