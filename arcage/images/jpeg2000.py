"""JPEG 2000: header of the code stream (ISO/IEC 15444-1), bare or in JP2 boxes."""

from __future__ import annotations

import re
import struct

from arcage.images.header import ImageHeader
from arcage.images.isobmff import child

SIGNATURE = re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")
_START_OF_TILE, _END = 0xFF90, 0xFFD9
_MAX_SEGMENTS = 100_000
"""Maximum number of segments and tile-parts that are read."""


def read_header(data: bytes) -> ImageHeader:
    """Read the header.

    Raises:
        struct.error, LookupError, ValueError: the file is damaged, or tile-parts are missing.
    """
    at, end = (0, len(data)) if data.startswith(b"\xff\x4f") else child(data, 0, len(data), b"jp2c")
    if data[at : at + 4] != b"\xff\x4f\xff\x51":
        raise ValueError
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(
        ">8I", data, at + 8
    )
    depth = (data[at + 42] & 0x7F) + 1
    # OpenCV returns uint16 for more than 8 bits per sample.
    header = ImageHeader(right - left, bottom - top, depth=max(depth, 9))
    if not (tile_width and tile_height):
        raise ValueError
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    found: set[int] = set()
    at += 2
    for _ in range(_MAX_SEGMENTS):
        # The end marker may be missing, but no tile.
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
