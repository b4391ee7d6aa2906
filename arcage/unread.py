"""Well-known formats that are not read, so that an error can name them."""

from __future__ import annotations

import re

VIDEO = "a video"

_TEXT = rb"(?:\xef\xbb\xbf)?\s*"
_TGA_SIZE = rb"(?!\0\0)..(?!\0\0)..[\x08\x0f\x10\x18\x20][\0-\x3f]"
_SIGNATURES = (
    (rb"8B(?:PS|PB)", "a Photoshop file"),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (rb"\xff\xd8\xff\xf7", "JPEG-LS"),
    (rb"II\xbc", "JPEG XR"),
    (rb"II\+\0|MM\0\+", "BigTIFF"),
    (rb"v/1\x01", "OpenEXR"),
    (rb"#\?R(?:ADIANCE|GBE)", "Radiance HDR"),
    (rb"P[Ff]4?\s", "PFM"),
    (rb"\x59\xa6\x6a\x95", "Sun raster"),
    (rb"\0\0\x01\0[^\0]\0", "a Windows icon"),
    (rb"icns", "an Apple icon"),
    (rb"gimp xcf", "a GIMP file"),
    (rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08]", "PCX"),
    (rb"qoif", "QOI"),
    (rb"farbfeld", "farbfeld"),
    (rb"DDS ", "DDS"),
    (rb"BPG\xfb", "BPG"),
    (rb"FLIF", "FLIF"),
    (rb"AT&TFORM", "DjVu"),
    (rb"SIMPLE  =", "FITS"),
    (rb".{128}DICM", "DICOM"),
    (rb"/\* XPM \*/", "XPM"),
    (rb"\xc5\xd0\xd3\xc6|%!PS", "PostScript"),
    (rb".{0,1019}%PDF-", "a PDF document"),
    (_TEXT + rb"<(?:svg[\s>]|!DOCTYPE svg|(?:\?xml|!--).{0,1000}<svg[\s>])", "an SVG drawing"),
    (_TEXT + rb"<(?i:!doctype html|html)\b", "an HTML page"),
    (rb".{4}ftyp(?:isom|iso[2-9]|mp4|avc1|M4V |qt  |3g|dash|MSNV)", VIDEO),
    (rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI |OggS", VIDEO),
    # No signature, but a header of which few values make sense: kind, palette, size, depth and flags.
    (rb".\0[\x02\x03\x0a\x0b].{9}" + _TGA_SIZE, "TGA"),
    (rb".\x01[\x01\x09].{4}[\x0f\x10\x18\x20].{4}" + _TGA_SIZE, "TGA"),
)
_KNOWN = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _SIGNATURES)

SUFFIXES = frozenset(
    {".jxl", ".psd", ".psb", ".jxr", ".exr", ".hdr", ".pfm", ".ras", ".sun", ".tga", ".pcx", ".xcf", ".qoi"}
)
"""Of those that hold photos: a folder is searched for them, so that it does not look empty."""


def name(data: bytes) -> str:
    """What a file is, as in "JPEG XL"; empty where that is not known."""
    return next((name for known, name in _KNOWN if known.match(data)), "")
