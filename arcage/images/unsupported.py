"""Recognise common files that are not supported, for an error with advice."""

from __future__ import annotations

import re

_CONVERT = "convert it to PNG or JPEG"
_ADVICE = {
    "a PDF document": "save its pictures as images first",
    "an Office document": "save its pictures as images first",
    "an SVG drawing": "save it as PNG",
    "an HTML page": "download the picture itself",
    "a zip archive": "unpack it first, or drop it onto the page of `arcage app`",
    "an archive": "unpack it first",
    "a Parquet file": "end its name in .parquet",
    "a video": "end its name in .mp4, .mkv or another suffix of videos",
    "text": "a list of images is read with `arcage predict --from-file`",
}
"""Advice by kind of file; for other kinds, :data:`_CONVERT`. It becomes part of a row, so that a command is
written out."""

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
    (rb"PK\x03\x04.{26}\[Content_Types\]", "an Office document"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|.{257}ustar", "an archive"),
    (rb"PAR1", "a Parquet file"),
    (rb".{0,1019}%PDF-", "a PDF document"),
    (_TEXT + rb"<(?:svg[\s>]|!DOCTYPE svg|(?:\?xml|!--).{0,1000}<svg[\s>])", "an SVG drawing"),
    (_TEXT + rb"<(?i:!doctype html|html)\b", "an HTML page"),
    (rb".{4}ftyp(?:isom|iso[2-9]|mp4|avc1|M4V |qt  |3g|dash|MSNV)", "a video"),
    (rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI |OggS", "a video"),
    # TGA has no signature, but few values of its header are valid: type, palette, size, depth and flags.
    (rb".\0[\x02\x03\x0a\x0b].{9}" + _TGA_SIZE, "TGA"),
    (rb".\x01[\x01\x09].{4}[\x0f\x10\x18\x20].{4}" + _TGA_SIZE, "TGA"),
)
_START = 4096
"""Number of bytes at the start of a file that are searched."""
_KNOWN = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _SIGNATURES)

SUFFIXES = frozenset(
    {".jxl", ".psd", ".psb", ".jxr", ".exr", ".hdr", ".pfm", ".ras", ".sun", ".tga", ".pcx", ".xcf", ".qoi"}
)
"""Suffixes of unsupported image formats. Folders are searched for them, so that they do not look empty."""


def describe(data: bytes) -> str:
    """Return the kind of a file with advice; empty if the kind is unknown.

    For example, ``JPEG XL is not a supported image format: convert it to PNG or JPEG``.
    """
    start = data[:_START]
    name = next((name for known, name in _KNOWN if known.match(start)), "text" if _is_text(start) else "")
    return f"{name} is not a supported image format: {_ADVICE.get(name, _CONVERT)}" if name else ""


def _is_text(start: bytes) -> bool:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    # The last character of the excerpt may be truncated.
    return not re.search(rb"[\0-\x08\x0e-\x1f]", start) and (
        "\ufffd" not in start.decode("utf-8", "replace")[:-1]
    )
