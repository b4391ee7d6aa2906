"""Read the orientation in EXIF and XMP, with the same rules as ``ImageOps.exif_transpose`` of Pillow."""

from __future__ import annotations

import re

from arcage.images import tiff_tags

EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
"""First bytes of the JPEG segments with EXIF and XMP."""

_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([0-9])""")


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return the EXIF orientation, 1 to 8, that remains to be applied after decoding.

    EXIF takes precedence over XMP. If the orientation is missing or invalid, it is 1 (upright).
    """
    for _ in range(2):
        exif = exif.removeprefix(EXIF)
    found = tiff_tags.orientation(exif)
    if found is None and (match := _XMP_ORIENTATION.search(xmp)):
        found = int(match[1])
    return int(found) if found is not None and found in range(1, 9) else 1
