"""WebP: size, orientation and animation from its chunks."""

from __future__ import annotations

import struct

from arcage.errors import ImageError
from arcage.images.header import ImageHeader
from arcage.images.orientation import orientation

_METADATA_FLAGS = {b"EXIF": 8, b"XMP ": 4}
"""Bits of the header that declare metadata. Viewers ignore a chunk without its bit."""
_ANIMATION_FLAG = 2
_MAX_CHUNKS = 100_000
"""Maximum number of chunks; each frame of an animation is one."""


def read_header(data: bytes) -> ImageHeader:
    """Read the header, and estimate the cost of decoding.

    Raises:
        ImageError: there are more chunks than in any picture.
        struct.error, LookupError, ValueError: the header is damaged.
    """
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        raise ValueError
    width = height = flags = 0
    metadata = {b"EXIF": b"", b"XMP ": b""}
    at = 12
    lossless = False
    chunks = 0
    while at + 8 <= end:
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise ImageError("damaged WebP image: too many chunks")
        kind, length = struct.unpack_from("<4sI", data, at)
        at += 8
        if kind == b"VP8X":
            flags = data[at]
            width = 1 + int.from_bytes(data[at + 4 : at + 7], "little")
            height = 1 + int.from_bytes(data[at + 7 : at + 10], "little")
        elif kind == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, at + 6))
        elif kind == b"VP8L":
            lossless = True
            if not width:
                (bits,) = struct.unpack_from("<I", data, at + 1)
                width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind in metadata and flags & _METADATA_FLAGS[kind]:
            metadata[kind] = metadata[kind] or data[at : at + length]
        at += length + (length & 1)
    pixels = width * height
    animated = bool(flags & _ANIMATION_FLAG)
    return ImageHeader(
        width=width,
        height=height,
        orientation=orientation(metadata[b"EXIF"], metadata[b"XMP "]),
        # Four bytes a pixel each for the result, for lossless data, and for two canvases of an animation.
        memory=(16 if animated else 8 if lossless else 7) * pixels,
        # Measured with libwebp 1.6, for compressed photos.
        seconds=pixels * 1.2e-8 + len(data) * (1.5e-8 if lossless else 7e-8),
    )


def is_animated(data: bytes) -> bool:
    """Return whether this is an animation. Raises LookupError if the file is damaged."""
    return data[8:16] == b"WEBPVP8X" and bool(data[20] & _ANIMATION_FLAG)
