"""Encoded image bytes to upright RGB pixels.

The header is read here before OpenCV sees the bytes, for three reasons: OpenCV's own pixel limit is far too
high, its versions disagree on a truncated JPEG (4.10 returns uninitialised rows) and on the EXIF orientation
of a WebP, and it ignores the orientation wherever it keeps an alpha channel.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from arcage.errors import ImageError, ImageExtraError, ImageMemoryError
from arcage.images import heif, jpeg, jpeg2000, netpbm, raw, tiff
from arcage.images import unsupported as unread
from arcage.images.orientation import PngMetadata, orientation
from arcage.images.quiet import quiet_libraries
from arcage.types import U8

MAX_PIXELS = 100_000_000
"""Largest width x height that :func:`decode` accepts by default: about 300 MB of pixels."""

# OpenCV >= 4.11 writes RGB itself, which saves a pass over the pixels. Only for JPEG: that is the hot path.
_JPEG_IS_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")
_JPEG_FLAGS = cv2.IMREAD_IGNORE_ORIENTATION | (cv2.IMREAD_COLOR_RGB if _JPEG_IS_RGB else cv2.IMREAD_COLOR)

_WEBP_FLAGS = {b"EXIF": 8, b"XMP ": 4}
"""Header bits that declare the metadata of a WebP; viewers ignore a chunk without its bit."""

_TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> U8:
    """Decode one image: JPEG, JPEG 2000, PNG, WebP, BMP, PBM, PGM, PPM, PAM, TIFF, GIF or AVIF (of an
    animation or a stack, the first picture); with the extra ``[formats]`` HEIC, and the JPEG preview of a
    camera's raw file.

    Returns an array of shape (height, width, 3), uint8, 0 to 255, RGB, C-contiguous, upright (the EXIF
    orientation is applied; in HEIC and AVIF, that of the boxes). Grey becomes RGB, 10 to 16 bits become 8,
    and what is transparent in a PNG, WebP, GIF, HEIC or AVIF shows white; alpha in BMP and TIFF is not read.

    Raises :class:`ImageError` for an empty file, an unknown format, a truncated or damaged image, and for
    more than ``max_pixels`` pixels; the last is found in the header, before memory is taken. Where memory
    cannot be had all the same, this is an :class:`ImageMemoryError`; where the extra is missing, an
    :class:`ImageExtraError`.
    """
    if raw.is_raw(data):
        with quiet_libraries:
            data = raw.preview(data)
    format_, header = _read_header(data)
    pixels = max(header.width * header.height, header.tile)
    if pixels > max_pixels:
        raise ImageError(f"too large: {pixels:,} pixels, the limit is {max_pixels:,}; make it smaller")
    encoded = np.frombuffer(data, np.uint8)
    try:
        with quiet_libraries:
            image: Any
            if header.jpeg_header is not None:
                image = _decode_jpeg(data, header.jpeg_header)
            elif format_ == "HEIC":
                image = _from_rgb(heif.decode_heic(data))
            elif format_ == "Netpbm":
                image = _from_rgb(netpbm.decode(data))
            elif format_ in ("BMP", "TIFF"):
                # Their fourth channel is often padding or already multiplied in: alpha cannot be trusted.
                image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
            else:
                image = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        if image is not None and not (format_ == "JPEG" and _JPEG_IS_RGB):
            image = _to_rgb(image, header.depth)
        upright: U8 | None = None if image is None else _TURNS[header.orientation](image)
    except ImageError:
        raise
    except Exception as error:  # libheif has many
        if out_of_memory(error):
            raise ImageMemoryError(f"not enough memory for {header.width} x {header.height} pixels") from None
        if format_ not in ("HEIC", "Netpbm") and not isinstance(error, cv2.error):
            raise
        upright = None
    if upright is None and format_ == "AVIF" and re.search(r"AVIF:\s+NO", cv2.getBuildInformation()):
        raise ImageExtraError("this OpenCV reads no AVIF: pip install --upgrade opencv-python-headless")
    if upright is None and format_ == "Netpbm":
        raise ImageError("truncated or damaged Netpbm image")
    if upright is None and format_ == "HEIC":
        raise ImageError("damaged HEIC image, or of a kind that libheif cannot decode")
    if upright is None:
        raise ImageError(f"damaged {format_} image, or of a kind that OpenCV {cv2.__version__} cannot decode")
    return upright


def _decode_jpeg(data: bytes, header: jpeg.JpegHeader) -> Any:
    ended = jpeg.has_end(data, header)
    image = _imdecode_jpeg(data) if ended else None
    if image is None:
        image = jpeg.decode_unended(data, header, _imdecode_jpeg)
    if image is None and not ended:
        raise ImageError("truncated or damaged JPEG image")
    return image


def _imdecode_jpeg(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), _JPEG_FLAGS)


def out_of_memory(error: Exception) -> bool:
    """Whether this is what numpy or OpenCV raises when memory runs out."""
    if isinstance(error, MemoryError):
        return True
    # OpenCV's own allocator gives a code; of C++'s (std::bad_alloc) only the words arrive.
    return isinstance(error, cv2.error) and (error.code == cv2.Error.StsNoMem or "bad_alloc" in str(error))


def _from_rgb(image: Any) -> Any:
    """Grey, RGB or RGBA to the order that OpenCV keeps."""
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)


def _to_rgb(image: Any, depth: int = 16) -> Any:
    """An image as OpenCV keeps it (grey, BGR or BGRA; uint8, or uint16 of so many bits) to RGB, uint8, over
    white."""
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / ((1 << depth) - 1))
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    rgb = cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    alpha = cv2.extractChannel(image, 3)
    if alpha.min() == 255:
        return rgb
    # What a viewer shows: the colours under transparent pixels are arbitrary, and may hold a cut-out face.
    opacity = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    return cv2.add(cv2.multiply(rgb, opacity, scale=1 / 255), cv2.bitwise_not(opacity))


class _Header(NamedTuple):
    width: int
    """As stored, before the orientation is applied."""
    height: int
    orientation: int = 1
    """1 to 8 as EXIF numbers them: what is left to do after decoding."""
    tile: int = 0
    """Pixels of one tile of a TIFF, or of the largest picture of a HEIC or AVIF, for which a decoder takes
    memory as well."""
    depth: int = 16
    """Bits of the samples that OpenCV gives as uint16."""
    jpeg_header: jpeg.JpegHeader | None = None


def _read_header(data: bytes) -> tuple[str, _Header]:
    if not data:
        raise ImageError("empty file")
    name, read = next((known[1:] for known in _FORMATS if known[0].match(data)), ("", None))
    if read is None:
        name, read = heif.kind(data), _heif
    if not name:
        formats = "JPEG, PNG, WebP, BMP, TIFF, GIF, PNM, JPEG 2000, HEIC, AVIF, raw"
        raise ImageError(unread.describe(data) or f"not an image in a known format ({formats})")
    try:
        header = read(data)
    except (struct.error, LookupError, ValueError):
        raise ImageError(f"truncated or damaged {name} image") from None
    if min(header.width, header.height) < 1:
        raise ImageError(f"damaged {name} image: its header gives no size")
    return name, header


def _jpeg(data: bytes) -> _Header:
    header = jpeg.read_header(data)
    return _Header(header.width, header.height, header.orientation, jpeg_header=header)


def _png(data: bytes) -> _Header:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise ValueError
    metadata = PngMetadata()
    at = 8
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind != b"IDAT":
            metadata.add(kind, data[at + 8 : at + 8 + length])
        at += 12 + length
    return _Header(width, height, metadata.orientation())


def _webp(data: bytes) -> _Header:
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        raise ValueError
    width = height = flags = 0
    metadata = {b"EXIF": b"", b"XMP ": b""}
    at = 12
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        at += 8
        if kind == b"VP8X":
            flags = data[at]
            width = 1 + int.from_bytes(data[at + 4 : at + 7], "little")
            height = 1 + int.from_bytes(data[at + 7 : at + 10], "little")
        elif kind == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, at + 6))
        elif kind == b"VP8L" and not width:
            (bits,) = struct.unpack_from("<I", data, at + 1)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind in metadata and flags & _WEBP_FLAGS[kind]:
            metadata[kind] = metadata[kind] or data[at : at + length]
        at += length + (length & 1)
    return _Header(width, height, orientation(metadata[b"EXIF"], metadata[b"XMP "]))


def _bmp(data: bytes) -> _Header:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return _Header(width, abs(height))


def _gif(data: bytes) -> _Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return _Header(width, height)


def _netpbm(data: bytes) -> _Header:
    header = netpbm.read_header(data)
    return _Header(header.width, header.height)


def _jpeg2000(data: bytes) -> _Header:
    header = jpeg2000.read_header(data)
    return _Header(header.width, header.height, depth=max(header.depth, 9))


def _heif(data: bytes) -> _Header:
    box = heif.read_header(data)
    if heif.kind(data) == "HEIC":  # libheif turns it itself
        return _Header(box.width, box.height, tile=box.largest)
    return _Header(box.width, box.height, box.orientation, box.largest, box.depth if box.depth > 8 else 16)


def _tiff(data: bytes) -> _Header:
    tags = tiff.first_directory(data)
    if tags.get(tiff.BITS, 1) > 16 or tags.get(tiff.SAMPLE_FORMAT, 1) != 1:
        raise ImageError(
            "TIFF with floating-point, signed or 32-bit samples: save it with 8 or 16 bits a sample"
        )
    # OpenCV's TIFF decoder always applies the tag itself, so only XMP is left.
    turn = 1 if tiff.ORIENTATION in tags else orientation(b"", tiff.xmp(data))
    tile = tags.get(tiff.TILE_WIDTH, 0) * tags.get(tiff.TILE_HEIGHT, 0)
    return _Header(tags[tiff.WIDTH], tags[tiff.HEIGHT], turn, tile)


_FORMATS: tuple[tuple[re.Pattern[bytes], str, Callable[[bytes], _Header]], ...] = (
    (re.compile(rb"\xff\xd8\xff(?!\xf7)"), "JPEG", _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG", _png),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WebP", _webp),
    (re.compile(rb"BM.{13}\0\0\0", re.DOTALL), "BMP", _bmp),  # the zeros (a small header) tell it from text
    (re.compile(rb"GIF8[79]a"), "GIF", _gif),
    (re.compile(rb"II\*\0|MM\0\*"), "TIFF", _tiff),
    (netpbm.MAGIC, "Netpbm", _netpbm),
    (jpeg2000.MAGIC, "JPEG 2000", _jpeg2000),
)
