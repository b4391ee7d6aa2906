"""PNG: size, orientation and animation from its chunks."""

from __future__ import annotations

import struct
import zlib

from arcage.images.header import ImageHeader
from arcage.images.orientation import XMP, orientation

_FIRST_CHUNK = 8
"""Offset of the first chunk."""
_MAX_TEXT = 1 << 20
"""Maximum size of an uncompressed text chunk, bytes."""


def read_header(data: bytes) -> ImageHeader:
    """Read the header. Raises struct.error or ValueError if it is damaged."""
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise ValueError
    metadata = _Metadata()
    at = _FIRST_CHUNK
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind != b"IDAT":
            metadata.add(kind, data[at + 8 : at + 8 + length])
        at += 12 + length
    return ImageHeader(width, height, metadata.orientation())


def is_animated(data: bytes) -> bool:
    """Return whether an animation has more than one frame. Raises struct.error if the file is damaged."""
    at = _FIRST_CHUNK
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            return int(struct.unpack_from(">I", data, at + 8)[0]) > 1
        if kind == b"IDAT":
            return False
        at += 12 + length


class _Metadata:
    """EXIF and XMP of a PNG, in all forms that are in use."""

    def __init__(self) -> None:
        self._exif: dict[bytes, bytes] = {}
        self._xmp = b""

    def add(self, kind: bytes, body: bytes) -> None:
        """Add a chunk of any type."""
        if kind == b"eXIf":
            self._exif[kind] = body
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            name, text = _text(kind, body)
            if name == b"XML:com.adobe.xmp":
                self._xmp = text
            elif name in (b"Raw profile type exif", b"Raw profile type APP1"):
                profile = _decode_profile(text)
                if profile.startswith(XMP):
                    self._xmp = self._xmp or profile
                else:
                    self._exif[name] = profile

    def orientation(self) -> int:
        names = (b"eXIf", b"Raw profile type exif", b"Raw profile type APP1")
        exif = next((self._exif[name] for name in names if name in self._exif), b"")
        return orientation(exif, self._xmp)


def _text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return name and text of a text chunk. The text is empty if it is damaged or not needed."""
    name, _, text = body.partition(b"\0")
    is_compressed = kind == b"zTXt"
    if kind == b"zTXt":
        text = text[1:]
    elif kind == b"iTXt":
        is_compressed = text[:1] != b"\0"
        text = text[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not is_compressed:
        return name, text
    if name != b"XML:com.adobe.xmp" and not name.startswith(b"Raw profile type "):
        return name, b""
    try:
        return name, zlib.decompressobj().decompress(text, _MAX_TEXT)
    except zlib.error:
        return name, b""


def _decode_profile(text: bytes) -> bytes:
    """Decode a profile as ImageMagick writes it: a line with its name, one with its size, then digits."""
    try:
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""
