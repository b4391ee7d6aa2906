"""BMP: size from its header."""

from __future__ import annotations

import struct

from arcage.images.header import ImageHeader


def read_header(data: bytes) -> ImageHeader:
    """Read the header. Raises struct.error if it is damaged."""
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return ImageHeader(width, abs(height))
