"""JPEG 2000: the header of the code stream (ISO/IEC 15444-1), bare or in JP2 boxes."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from arcage.images.boxes import child

MAGIC = re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")
_START_OF_TILE, _END = 0xFF90, 0xFFD9
_MOST = 100_000
"""Maximum number of segments or tile-parts that are read."""


class Jpeg2000Header(NamedTuple):
    width: int
    height: int
    depth: int
    """Bits per sample."""


def read_header(data: bytes) -> Jpeg2000Header:
    """Read the header.

    Raises:
        struct.error, LookupError, ValueError: it is damaged, or tile-parts are missing.
    """
    at, end = (0, len(data)) if data.startswith(b"\xff\x4f") else child(data, 0, len(data), b"jp2c")
    if data[at : at + 4] != b"\xff\x4f\xff\x51":
        raise ValueError
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(
        ">8I", data, at + 8
    )
    depth = (data[at + 42] & 0x7F) + 1
    header = Jpeg2000Header(right - left, bottom - top, depth)
    if not (tile_width and tile_height):
        raise ValueError
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    found: set[int] = set()
    at += 2
    for _ in range(_MOST):
        # The end marker may be missing, a tile may not.
        if at == end or (at + 2 <= end and struct.unpack_from(">H", data, at)[0] == _END):
            if len(found) < tiles:
                raise ValueError
            return header
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _START_OF_TILE:
            tile, length = struct.unpack_from(">HI", data, at + 4)
            found.add(tile)
            at = at + length if length else end
        else:
            at += 2 + length
        if at > end:
            raise ValueError
    raise ValueError
