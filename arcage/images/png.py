"""PNG: metadata from its chunks, and decoding."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from arcage.errors import ImageError
from arcage.images.header import ImageHeader
from arcage.images.orientation import XMP, orientation
from arcage.images.pixels import bgr_to_rgb

_FIRST_CHUNK = 8
"""Offset of the first chunk."""
_MAX_TEXT = 1 << 20
"""Maximum size of an uncompressed text chunk, bytes."""
_MAX_PROFILES = 8
"""Maximum number of text chunks with EXIF or XMP that are read."""
_MAX_DATA_CHUNKS = 1_000_000
"""Maximum number of chunks of pixels. Encoders write 4 KB or more into each."""
_MAX_CHUNKS = 10_000
"""Maximum number of other chunks."""
_MAX_KEPT = 64
_MAX_KEPT_BYTES = 1 << 20
"""Maximum number and size of ancillary chunks that are passed to the decoder."""
_MAX_COMPRESSED = 4
"""Maximum number of those that are compressed. libpng allows each to expand to 8 MB."""
_COMPRESSED = {b"zTXt", b"iTXt", b"iCCP"}
_EXPANSION = 1032
"""Maximum expansion of deflate. libpng decompresses what follows the last row too."""
_MANY_BYTES = 1 << 19
"""Above this size, compressed data may expand to so much that it takes more than a second."""
_PROBES = 64
"""Number of places where the compressed data are examined, and bytes at each."""
_MIN_DISTINCT = 46
"""Minimum of distinct bytes there. Compressed photos have about 57, as random bytes have; data of the maximum
expansion have up to 16, as each byte is four codes of 2 bits."""
_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
"""Samples per pixel as OpenCV returns them, by the colour type."""


@dataclass(frozen=True, slots=True)
class PngHeader(ImageHeader):
    """The chunks of a PNG."""

    is_plain: bool = True
    """Whether the decoder gets the file as it is. If not, ancillary chunks are removed."""


def read_header(data: bytes) -> PngHeader:
    """Read the header, and estimate the cost of decoding.

    Raises:
        ImageError: there are more chunks than in any picture.
        struct.error, ValueError: the header is damaged.
    """
    kind, width, height, depth, colour = struct.unpack_from(">4sIIBB", data, 12)
    if kind != b"IHDR":
        raise ValueError
    metadata = _Metadata()
    ancillary = size = compressed = pixel_chunks = 0
    transparent = animated = False
    at = _FIRST_CHUNK
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            pixel_chunks += 1
        else:
            metadata.add(kind, data[at + 8 : at + 8 + length])
            ancillary += 1
            size += length
            compressed += kind in _COMPRESSED
            transparent = transparent or kind == b"tRNS"
            animated = animated or kind == b"acTL"
        if pixel_chunks > _MAX_DATA_CHUNKS or ancillary > _MAX_CHUNKS:
            raise ImageError("damaged PNG image: too many chunks")
        at += 12 + length
        if at > len(data):
            raise ValueError  # OpenCV takes memory for the length that a chunk states before it reads it
    samples = 4 if transparent and colour in (2, 3) else _SAMPLES.get(colour, 4)
    decoded = width * height * samples * (1 + (depth == 16))
    return PngHeader(
        width=width,
        height=height,
        orientation=metadata.orientation(),
        memory=decoded + 3 * width * height,
        # Measured with libpng 1.6 for the slowest filter and for compressed photos.
        seconds=1e-8 * (decoded + len(data)) + 3e-9 * _excess(data, decoded),
        is_plain=not animated
        and ancillary <= _MAX_KEPT
        and compressed <= _MAX_COMPRESSED
        and size <= _MAX_KEPT_BYTES,
    )


def _excess(data: bytes, decoded: int) -> float:
    """Estimate how many bytes the file expands to beyond those of its picture."""
    if len(data) < _MANY_BYTES:
        return 0.0
    step = len(data) // _PROBES
    places = (data[at : at + _PROBES] for at in range(step // 2, len(data), step))
    repetitive = sum(len(set(place)) < _MIN_DISTINCT for place in places) / _PROBES
    return max(repetitive * _EXPANSION * len(data) - decoded, 0.0)


def decode(data: bytes, header: PngHeader) -> Any:
    """Decode to RGB, shape (height, width, 3), uint8, as stored. Returns None if OpenCV cannot decode it."""
    kept = data if header.is_plain else _critical(data)
    image = cv2.imdecode(np.frombuffer(kept, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if image is None else bgr_to_rgb(image)


def is_animated(data: bytes) -> bool:
    """Return whether an animation has more than one frame. Raises struct.error if the file is damaged."""
    at = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            return int(struct.unpack_from(">I", data, at + 8)[0]) > 1
        if kind == b"IDAT":
            break
        at += 12 + length
    return False


def _critical(data: bytes) -> bytes:
    """Return the PNG without animation and metadata.

    OpenCV decodes an animation with its own code, which returns uninitialised memory for a damaged frame. Its
    first frame is the still picture.
    """
    kept = [data[:_FIRST_CHUNK]]
    at = _FIRST_CHUNK
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        # The first letter of a critical chunk is a capital.
        if kind[0] & 0x20 == 0 or kind == b"tRNS":
            kept.append(data[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)


class _Metadata:
    """EXIF and XMP of a PNG, in all forms that are in use."""

    def __init__(self) -> None:
        self._exif: dict[bytes, bytes] = {}
        self._xmp = b""
        self._texts = 0

    def add(self, kind: bytes, body: bytes) -> None:
        """Add a chunk of any type."""
        if kind == b"eXIf":
            self._exif[kind] = body
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            if self._texts == _MAX_PROFILES:
                return
            name, text = _text(kind, body)
            self._texts += bool(text)
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
    if name != b"XML:com.adobe.xmp" and not name.startswith(b"Raw profile type "):
        return name, b""
    is_compressed = kind == b"zTXt"
    if kind == b"zTXt":
        text = text[1:]
    elif kind == b"iTXt":
        is_compressed = text[:1] != b"\0"
        text = text[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not is_compressed:
        return name, text[:_MAX_TEXT]
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
