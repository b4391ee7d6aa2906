"""Whether a file has more pictures than the first, which is the one that is read."""

from __future__ import annotations

import struct

from arcage.images import heif, tiff

_BLOCKS = 1_000_000
"""Of a GIF, up to 255 bytes each, to look through at most."""


def is_multi_frame(data: bytes) -> bool:
    """True for an animated GIF, WebP, PNG or AVIF, and for a TIFF of several pages.

    Takes no time for other files. What is damaged counts as having none.
    """
    try:
        if data.startswith(b"GIF8"):
            return _gif(data)
        if data.startswith(b"\x89PNG"):
            return _png(data)
        if data.startswith(b"RIFF") and data[8:16] == b"WEBPVP8X":
            return bool(data[20] & 2)
        if data[:4] in (b"II*\0", b"MM\0*"):
            following = tiff.second_directory(data)
            # A smaller copy of the first page is no page.
            return bool(following) and not following.get(tiff.SUBFILE, 0) & 1
    except (struct.error, LookupError):
        return False
    return heif.is_sequence(data)


def _png(data: bytes) -> bool:
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            return int(struct.unpack_from(">I", data, at + 8)[0]) > 1
        if kind == b"IDAT":
            return False
        at += 12 + length


def _gif(data: bytes) -> bool:
    at = 13 + _palette(data[10])
    blocks = 0
    pictures = 0
    while True:
        kind = data[at]
        if kind == 0x2C:
            pictures += 1
            if pictures == 2:
                return True
            at += 11 + _palette(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:
            return False
        while data[at]:
            at += 1 + data[at]
            blocks += 1
            if blocks > _BLOCKS:
                return False
        at += 1


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
