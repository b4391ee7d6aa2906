"""Boxes without an end, and too many of them."""

from __future__ import annotations

import struct

import pytest

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.images.isobmff import boxes, child


def test_endless_and_too_many_boxes_are_refused() -> None:
    start = struct.pack(">I4s4sI", 16, b"ftyp", b"heic", 0)
    for body in (struct.pack(">I4s", 8, b"free") * 20_000, struct.pack(">I4s", 4, b"free"), b""):
        with pytest.raises(ImageError, match="damaged HEIC"):
            decode(start + body)


def test_boxes() -> None:
    inner = struct.pack(">I4s", 12, b"free") + bytes(4)
    data = struct.pack(">I4s", 8 + len(inner), b"meta") + inner + struct.pack(">I4s", 0, b"mdat") + bytes(5)
    assert list(boxes(data, 0, len(data))) == [(b"meta", 8, 20), (b"mdat", 28, 33)]
    assert child(data, 8, 20, b"free") == (16, 20)
    with pytest.raises(LookupError):
        child(data, 8, 20, b"iprp")
    with pytest.raises(ValueError):  # noqa: PT011
        list(boxes(data, 0, 15))
