"""TIFF: header and number of pages."""

from __future__ import annotations

import re

from arcage.errors import ImageError
from arcage.images import tiff_tags as tags
from arcage.images.header import ImageHeader
from arcage.images.orientation import orientation

_LACKS_PIXELS = re.compile(
    rb"TIFF_Error|Decode:|FillStrip|FillTile|premature end|[Nn]ot enough|[Rr]ead error|lack of data"
)
"""Messages of libtiff, as OpenCV logs them, about strips or tiles that are shorter than their pixels."""


def read_header(data: bytes) -> ImageHeader:
    """Read the header.

    Raises:
        ImageError: the type of the samples is not supported.
        struct.error, LookupError: the file is damaged.
    """
    first = tags.first_directory(data)
    if first.get(tags.BITS, 1) > 16 or first.get(tags.SAMPLE_FORMAT, 1) != 1:
        raise ImageError(
            "TIFF with floating-point, signed or 32-bit samples: save it with 8 or 16 bits a sample"
        )
    # OpenCV always applies the tag, so only an orientation in XMP remains.
    turn = 1 if tags.ORIENTATION in first else orientation(b"", tags.xmp(data))
    tile = first.get(tags.TILE_WIDTH, 0) * first.get(tags.TILE_HEIGHT, 0)
    return ImageHeader(first[tags.WIDTH], first[tags.HEIGHT], turn, tile)


def has_pages(data: bytes) -> bool:
    """Return whether there is more than one page. Raises struct.error or LookupError for a damaged file."""
    second = tags.second_directory(data)
    # A smaller copy of the first page is not a page.
    return bool(second) and not second.get(tags.SUBFILE, 0) & 1


def lacks_pixels(messages: bytes) -> bool:
    """Return whether pixels are missing, from what OpenCV logged while it decoded a file."""
    return _LACKS_PIXELS.search(messages) is not None
