"""Small encoded images of many formats."""

from __future__ import annotations

import base64
import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from arcage.images.decoder import decode


def picture(height: int = 24, width: int = 40) -> np.ndarray:
    """Return an RGB image without symmetry: its corners and edges differ."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 97], -1).astype(np.uint8)


def encode(rgb: np.ndarray, suffix: str, *options: int) -> bytes:
    """Encode with OpenCV."""
    pixels = rgb[..., ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb
    done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    assert done
    return data.tobytes()


def jpeg(rgb: np.ndarray, *options: int) -> bytes:
    return encode(rgb, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95, *options)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gif(width: int, height: int, indices: bytes, palette: bytes, transparent: int | None = None) -> bytes:
    """Encode a GIF of up to 128 colours.

    Clear codes keep the LZW table small, so that every code has 8 bits: one byte per pixel.
    """
    codes = b"".join(b"\x80" + indices[at : at + 100] for at in range(0, len(indices), 100)) + b"\x81"
    blocks = [codes[at : at + 255] for at in range(0, len(codes), 255)]
    control = b"" if transparent is None else b"\x21\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    return b"".join(
        (
            b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF6, 0, 0) + palette.ljust(3 * 128, b"\0"),
            control + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x07",
            *(bytes([len(block)]) + block for block in blocks),
            b"\0\x3b",
        )
    )


def assert_rgb(image: Any) -> None:
    assert isinstance(image, np.ndarray)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean absolute difference of two images."""
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second).mean())


STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""By EXIF orientation: how a camera stores an image that is upright after that orientation is applied."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change, remove or insert some bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] = chance.choice((0, 127, 255))
            case 2:
                del changed[at : at + chance.randrange(1, 1 + len(changed) // 4)]
                changed += b"\0"
            case _:
                changed[at:at] = chance.randbytes(chance.randrange(1, 8))
    return bytes(changed)


RED, BLUE = (200, 60, 20), (20, 80, 220)


# Encoded by Pillow 13.
CMYK_JPEG = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoK"
    "CgYICwwLCgwJCgoK/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABcAAAMBAAAAAAAAAAAAAAAAAAAJCgf/xAAUEAEAAAAAAAAAAAAA"
    "AAAAAAAA/9oADgRDAE0AWQBLAAA/AGQF3knn+JL2oLIArQZejfCS9qCyAP/Z"
)
"""16 x 16 pixels, RED on the left and BLUE on the right, converted to CMYK, quality 95."""


needs_gif = pytest.mark.skipif(
    not re.search(r"GIF:\s+YES", cv2.getBuildInformation()),
    reason="this OpenCV reads no GIF (4.12 and later do)",
)


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *extra: bytes) -> bytes:
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
            *extra,
            png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
            png_chunk(b"IEND", b""),
        )
    )


def tiff(tags: dict[int, int], body: bytes = b"", order: str = "<") -> bytes:
    """Return a TIFF of one directory of LONG values and the pixels in one strip."""
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags = tags | {273: start, 279: len(body)}
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    signature = b"II*\0" if order == "<" else b"MM\0*"
    return signature + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4) + body


def exif(orientation: int, order: str = "<") -> bytes:
    """Return an EXIF block with only an orientation."""
    signature = b"II*\0" if order == "<" else b"MM\0*"
    # SHORT values are the first of their four bytes.
    entry = struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    return signature + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def jpeg_with_app1(data: bytes, body: bytes) -> bytes:
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def webp_with_exif(data: bytes, body: bytes, width: int, height: int) -> bytes:
    return webp_with(data, width, height, {b"EXIF": body})


def webp_with(data: bytes, width: int, height: int, metadata: dict[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    flags = 8 * (b"EXIF" in metadata) + 4 * (b"XMP " in metadata)
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    riff = b"WEBP" + chunk(b"VP8X", bytes((flags, 0, 0, 0)) + size) + data[12:]
    riff += b"".join(chunk(kind, body) for kind, body in metadata.items())
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def tiff_with_xmp(tags: dict[int, int], body: bytes, packet: bytes) -> bytes:
    data = tiff(tags | {700: 0}, body)
    at = data.index(struct.pack("<HHI", 700, 4, 1))
    return data[:at] + struct.pack("<HHII", 700, 1, len(packet), len(data)) + data[at + 12 :] + packet


def rotated(size: tuple[int, int]) -> bytes:
    """Return a JPEG of :func:`picture` as a camera with orientation 6 stores it."""
    return jpeg(np.ascontiguousarray(STORED[6](picture(*size))))


def xmp(orientation: int, form: str = "attribute") -> bytes:
    inside = {
        "attribute": f'<rdf:Description tiff:Orientation="{orientation}"/>',
        "quoted otherwise": f"<rdf:Description tiff:Orientation='{orientation}'/>",
        "element": f"<rdf:Description><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>",
    }[form]
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{inside}</x:xmpmeta>'.encode()


XMP = b"http://ns.adobe.com/xap/1.0/\0"


def is_turned(data: bytes) -> bool:
    """Return whether a picture stored as 24 x 40 is decoded as 40 x 24 (width x height)."""
    image = decode(data)
    assert image.shape in {(24, 40, 3), (40, 24, 3)}
    if image.shape == (24, 40, 3):
        assert difference(image, picture()) < 8
    return image.shape == (24, 40, 3)


BIG = picture(96, 160)


def save(rgb: np.ndarray, format_: str, mode: str | None = None, **options: Any) -> bytes:
    """Encode with Pillow."""
    image = pytest.importorskip("PIL.Image").fromarray(rgb)
    if format_ == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, format_, **options)
    return file.getvalue()


def oriented(rgb: np.ndarray, orientation: int, format_: str) -> bytes:
    """Encode with Pillow, with an EXIF orientation."""
    exif = pytest.importorskip("PIL.Image").Exif()
    exif[274] = orientation
    return save(rgb, format_, exif=exif.tobytes(), quality=95)


def dng(preview: bytes, orientation: int = 1, order: str = "<", **tags: int) -> bytes:
    """Return a raw file: a preview of 160 x 96 in the first directory, sensor data of 48 x 32 in another."""
    sensor = np.random.default_rng(0).integers(0, 1023, (32, 48)).astype(order + "u2").tobytes()
    matrix = struct.pack(order + "18i", *(v for i in range(9) for v in (10_000 * (i % 4 == 0), 10_000)))
    blobs = [b"Acme\0\0", b"Acme One\0\0", struct.pack(order + "3H", 8, 8, 8), matrix, sensor, preview]
    first, second, entries = 8, 8 + 2 + 12 * 17 + 4, (17, 13)
    at = second + 2 + 12 * entries[1] + 4
    make, model, bits, colours, samples, jpeg_at = (
        at + sum(len(blob) for blob in blobs[:i]) for i in range(len(blobs))
    )

    def directory(*fields: tuple[int, int, int, Any]) -> bytes:
        body = b""
        for tag, kind, count, value in fields:
            code = {1: "B", 2: "I", 3: "H", 4: "I", 10: "I"}[kind]
            values = value if isinstance(value, tuple) else (value,)
            if isinstance(value, int) and count > 1:  # the offset of the values
                code = "I"
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            body += struct.pack(order + "HHI", tag, kind, count) + packed.ljust(4, b"\0")
        return struct.pack(order + "H", len(fields)) + body + bytes(4)

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    return b"".join(
        (
            head,
            directory(
                *((254, 4, 1, 1), (256, 4, 1, 160), (257, 4, 1, 96), (258, 3, 3, bits), (259, 3, 1, 7)),
                *((262, 3, 1, 6), (271, 2, 5, make), (272, 2, 9, model), (273, 4, 1, jpeg_at)),
                *((274, 3, 1, orientation), (277, 3, 1, 3), (278, 4, 1, 96), (279, 4, 1, len(preview))),
                *((330, 4, 1, second), (50706, 1, 4, (1, 4, 0, 0)), (50708, 2, 9, model)),
                (50721, 10, 9, colours),
            ),
            directory(
                *((254, 4, 1, 0), (256, 4, 1, 48), (257, 4, 1, 32), (258, 3, 1, 16), (259, 3, 1, 1)),
                *((262, 3, 1, 32803), (273, 4, 1, samples), (277, 3, 1, 1), (278, 4, 1, 32)),
                *((279, 4, 1, len(sensor)), (33421, 3, 2, (2, 2)), (33422, 1, 4, (0, 1, 1, 2))),
                (50717, 4, 1, 1023),
            ),
            *blobs,
        )
    )
