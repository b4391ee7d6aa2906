"""Find animations and files of several pages, of which only the first frame or page is read."""

from __future__ import annotations

import struct

from arcage.images import gif, heif, png, tiff, webp


def is_multi_frame(data: bytes) -> bool:
    """Return whether this is an animated GIF, WebP, PNG or AVIF, or a TIFF with several pages.

    False for damaged files. Files of other formats take no time.
    """
    try:
        if data.startswith(b"GIF8"):
            return gif.is_animated(data)
        if data.startswith(b"\x89PNG"):
            return png.is_animated(data)
        if data.startswith(b"RIFF"):
            return webp.is_animated(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return tiff.has_pages(data)
    except (struct.error, LookupError):
        return False
    return heif.is_sequence(data)
