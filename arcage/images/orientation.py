"""The orientation of a photo from its metadata, by the rules of Pillow's ``ImageOps.exif_transpose``."""

from __future__ import annotations

import re
import zlib

from arcage.images import tiff

EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
"""First bytes of the JPEG segments of EXIF and XMP."""

_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([0-9])""")
_MOST_TEXT = 1 << 20
"""Maximum size of an unpacked PNG text, bytes."""


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return the EXIF orientation, 1 to 8, that remains to be applied after decoding.

    If EXIF and XMP disagree, EXIF wins. A missing or invalid orientation is 1 (upright), not an error.
    """
    for _ in range(2):
        exif = exif.removeprefix(EXIF)
    found = tiff.orientation(exif)
    if found is None and (match := _XMP_ORIENTATION.search(xmp)):
        found = int(match[1])
    return int(found) if found is not None and found in range(1, 9) else 1


class PngMetadata:
    """EXIF and XMP from the chunks of a PNG, in all forms in which they occur."""

    def __init__(self) -> None:
        self._exif: dict[bytes, bytes] = {}
        self._xmp = b""

    def add(self, kind: bytes, body: bytes) -> None:
        """Add a chunk of any kind."""
        if kind == b"eXIf":
            self._exif[kind] = body
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            name, text = _text(kind, body)
            if name == b"XML:com.adobe.xmp":
                self._xmp = text
            elif name in (b"Raw profile type exif", b"Raw profile type APP1"):
                raw = _hexadecimal(text)
                if raw.startswith(XMP):
                    self._xmp = self._xmp or raw
                else:
                    self._exif[name] = raw

    def orientation(self) -> int:
        names = (b"eXIf", b"Raw profile type exif", b"Raw profile type APP1")
        exif = next((self._exif[name] for name in names if name in self._exif), b"")
        return orientation(exif, self._xmp)


def _text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Name and text of a chunk; the text is empty if it is damaged or not needed."""
    name, _, text = body.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"zTXt":
        text = text[1:]
    elif kind == b"iTXt":
        packed = text[:1] != b"\0"
        text = text[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not packed:
        return name, text
    if name != b"XML:com.adobe.xmp" and not name.startswith(b"Raw profile type "):
        return name, b""
    try:
        return name, zlib.decompressobj().decompress(text, _MOST_TEXT)
    except zlib.error:
        return name, b""


def _hexadecimal(text: bytes) -> bytes:
    """Decode a profile written by ImageMagick: a line with its name, one with its size, then digits."""
    try:
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""
