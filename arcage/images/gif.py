"""GIF: size from its header, and animation from its blocks."""

from __future__ import annotations

import struct

from arcage.images.header import ImageHeader

_MAX_BLOCKS = 500_000
"""Maximum number of blocks, of up to 255 bytes each, that are searched for a second frame."""


def read_header(data: bytes) -> ImageHeader:
    """Read the header. Raises struct.error if it is damaged."""
    width, height = struct.unpack_from("<HH", data, 6)
    return ImageHeader(width, height)


def is_animated(data: bytes) -> bool:
    """Return whether there is more than one frame. Raises LookupError if the file is damaged."""
    at = 13 + _palette_size(data[10])
    blocks = 0
    frames = 0
    while blocks <= _MAX_BLOCKS:
        kind = data[at]
        if kind == 0x2C:
            frames += 1
            if frames == 2:
                return True
            at += 11 + _palette_size(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:
            return False
        while data[at] and blocks <= _MAX_BLOCKS:
            at += 1 + data[at]
            blocks += 1
        at += 1
        blocks += 1
    return False


def _palette_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
