"""The first directory of a TIFF file or an EXIF block: small whole numbers by their tags."""

from __future__ import annotations

import struct

SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, MAKE, ORIENTATION = 254, 256, 257, 258, 262, 271, 274
TILE_WIDTH, TILE_HEIGHT, SUB_DIRECTORIES, SAMPLE_FORMAT, DNG_VERSION = 322, 323, 330, 339, 50706
_TAGS = {
    *(SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, MAKE, ORIENTATION),
    *(TILE_WIDTH, TILE_HEIGHT, SUB_DIRECTORIES, SAMPLE_FORMAT, DNG_VERSION),
}
_INTEGERS = {1: "B", 2: "B", 3: "H", 4: "I", 13: "I"}  # the field types BYTE, ASCII, SHORT, LONG and IFD
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def first_directory(tiff: bytes) -> dict[int, int]:
    """The tags above, where they are there; of a tag with several values, the first.

    Raises:
        struct.error, KeyError: it is damaged, or no TIFF.
    """
    order, at = _start(tiff)
    return _directory(tiff, order, at)


def second_directory(tiff: bytes) -> dict[int, int]:
    """The same of the second directory; empty where there is none. Raises as :func:`first_directory`."""
    order, at = _start(tiff)
    (entries,) = struct.unpack_from(order + "H", tiff, at)
    (following,) = struct.unpack_from(order + "I", tiff, at + 2 + 12 * entries)
    return _directory(tiff, order, following) if following else {}


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
