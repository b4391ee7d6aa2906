"""Netpbm: PBM, PGM, PPM and PAM, plain and binary, up to 16 bits per sample."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from arcage.images.header import ImageHeader
from arcage.types import U8

SIGNATURE = re.compile(rb"P[1-6](?=[\s#])|P7\n")
_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,10})")
_MAX_HEADER = 1 << 16
"""Maximum size of the header with its comments, bytes."""
_COMMENT = re.compile(rb"#[^\r\n]*")


@dataclass(frozen=True, slots=True)
class NetpbmHeader(ImageHeader):
    """The header of a Netpbm image."""

    channels: int = 1
    white: int = 255
    """Value of a white sample."""
    start: int = 0
    """Offset of the samples."""


def read_header(data: bytes) -> NetpbmHeader:
    """Read the header. Raises ValueError or LookupError if the file is damaged or truncated."""
    header = _pam(data) if data.startswith(b"P7") else _pnm(data)
    samples = header.width * header.height * header.channels
    if data[1:2] == b"4":
        min_size = (header.width + 7) // 8 * header.height
    elif data[1:2] in b"123":
        min_size = samples if data[1:2] == b"1" else 2 * samples - 1
    else:
        min_size = samples * (1 + (header.white > 255))
    if not (1 <= header.channels <= 4 and 1 <= header.white <= 65535) or len(data) - header.start < min_size:
        raise ValueError
    return header


def decode(data: bytes, header: NetpbmHeader) -> U8:
    """Decode to grey, RGB or RGBA, shape (height, width[, 3 or 4]), uint8.

    The result may be a view of ``data``.

    Raises:
        ValueError: the file is damaged or truncated.
    """
    width, height, channels, start = header.width, header.height, header.channels, header.start
    white = header.white
    count = width * height * channels
    kind = data[1:2]
    values: Any
    if kind == b"4":
        rows = np.frombuffer(data, np.uint8, (width + 7) // 8 * height, start).reshape(height, -1)
        values = 1 - np.unpackbits(rows, axis=1, count=width)
    elif kind in b"123":
        values = _plain(data[start:], count, bits=kind == b"1")
    elif white > 255:
        values = np.frombuffer(data, ">u2", count, start).astype(np.uint16)
    else:
        values = np.frombuffer(data, np.uint8, count, start)
    if values.dtype == np.uint8:
        scaled = np.rint(np.arange(256) * (255 / white)).clip(0, 255).astype(np.uint8)
        pixels: U8 = values if white == 255 else scaled[values]
    else:
        pixels = cv2.convertScaleAbs(values, alpha=255 / white)  # clips values above white
    if channels == 1:
        return pixels.reshape(height, width)
    pixels = pixels.reshape(height, width, channels)
    # Grey with alpha becomes RGB with alpha.
    return np.ascontiguousarray(pixels[:, :, (0, 0, 0, 1)] if channels == 2 else pixels)


def _pnm(data: bytes) -> NetpbmHeader:
    at = 2
    values = []
    bits = data[1:2] in b"14"
    for _ in range(2 if bits else 3):
        token = _TOKEN.match(data, at, _MAX_HEADER)
        if token is None:
            raise ValueError
        values.append(int(token[1]))
        at = token.end()
    width, height, white = (*values, 1)[:3]
    channels = 3 if data[1:2] in b"36" else 1
    return NetpbmHeader(width, height, channels=channels, white=white, start=at + 1)


def _pam(data: bytes) -> NetpbmHeader:
    end = data.index(b"\nENDHDR\n", 0, 4096)
    lines = (line.split(maxsplit=1) for line in data[:end].split(b"\n")[1:] if not line.startswith(b"#"))
    fields = {line[0]: line[1] for line in lines if len(line) == 2}
    width, height, channels, white = (int(fields[n]) for n in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    start = end + len(b"\nENDHDR\n")
    return NetpbmHeader(width, height, channels=channels, white=white, start=start)


def _plain(text: bytes, count: int, *, bits: bool) -> Any:
    if b"#" in text:
        text = _COMMENT.sub(b"", text)
    if bits:  # without spaces between them
        values = np.frombuffer(bytes(text.translate(None, b" \t\r\n\v\f")[:count]), np.uint8)
        if len(values) < count or not np.isin(values, (ord("0"), ord("1"))).all():
            raise ValueError
        return ord("1") - values
    if not re.fullmatch(rb"[0-9\s]*", text):
        raise ValueError
    values = np.fromstring(text, np.uint16, count, sep=" ")
    if len(values) < count:
        raise ValueError
    return values
