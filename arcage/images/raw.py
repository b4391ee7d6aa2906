"""Raw files of cameras: known by their content, read by way of the JPEG preview inside."""

from __future__ import annotations

import io
import re
import struct

from arcage.errors import ImageError, ImageExtraError
from arcage.images import tiff

_OTHERS = re.compile(
    rb"II\*\0.{4}CR\x02|.{4}ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR",  # CR2, CR3, RAF, RW2, ORF
    re.DOTALL,
)
_SENSOR = {32803, 34892}
"""Photometric interpretations: a colour filter array, and what a sensor of full colour gave."""


def is_raw(data: bytes) -> bool:
    """Whether these are a camera's raw data: CR2, CR3, DNG, NEF, ARW, PEF, SRW, RAF, RW2, ORF."""
    if _OTHERS.match(data):
        return True
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return False
    try:
        tags = tiff.first_directory(data)
    except struct.error:
        return False
    # NEF, ARW and SRW begin with a thumbnail, and say so; what the sensor saw is further in.
    thumbnail = tags.get(tiff.SUBFILE, 0) & 1 and tiff.SUB_DIRECTORIES in tags and tiff.MAKE in tags
    return tiff.DNG_VERSION in tags or tags.get(tiff.PHOTOMETRIC) in _SENSOR or bool(thumbnail)


def preview(data: bytes) -> bytes:
    """The largest JPEG inside, with the camera's orientation in an EXIF block of its own.

    Raises:
        ImageError: there is none.
        ImageExtraError: the extra is not installed.
    """
    try:
        import rawpy
    except ImportError:
        raise ImageExtraError("raw files need an extra: pip install 'arcage[formats]'") from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            found = raw.extract_thumb()
    except rawpy.LibRawError as error:
        words = error.args[0] if error.args else "unknown"
        words = words.decode("ascii", "replace") if isinstance(words, bytes) else str(words)
        raise ImageError(f"damaged raw file, or of an unknown camera ({words}): convert it to JPEG") from None
    if found.format != rawpy.ThumbFormat.JPEG:
        raise ImageError("raw file without a JPEG preview: convert it to JPEG")
    jpeg = bytes(found.data)
    # LibRaw fills up a truncated preview with whatever was in memory, such as the previous file. Only the
    # EXIF block at the start may come from LibRaw itself.
    start = 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe1" else 2
    if jpeg[start:] not in data:
        raise ImageError("damaged raw file: its preview is cut off")
    return jpeg
