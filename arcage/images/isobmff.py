"""Boxes of the ISO base media file format (ISO/IEC 14496-12), of which HEIC, AVIF and JPEG 2000 consist."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MAX_BOXES = 10_000
"""Maximum number of boxes that are read. The photo of a phone has a few hundred."""


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box in ``data[start:end]``, and the start and end of its content.

    Raises:
        struct.error, ValueError: a box exceeds the range, or there are too many boxes.
    """
    at = start
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            raise ValueError
        yield name, at + head, at + size
        at += size
    raise ValueError


def child(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int]:
    """Return the start and end of the content of the first box of type ``wanted`` in ``data[start:end]``.

    Raises:
        LookupError: there is no such box.
        struct.error, ValueError: as :func:`boxes`.
    """
    for name, at, stop in boxes(data, start, end):
        if name == wanted:
            return at, stop
    raise LookupError
