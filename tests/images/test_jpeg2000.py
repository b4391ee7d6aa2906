"""JPEG 2000: bare and boxed code streams, and missing tiles."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from encoded import BIG, assert_rgb, encode

from arcage.errors import ImageError
from arcage.images.decoder import decode


def code_stream(boxed: bytes) -> bytes:
    return boxed[boxed.index(b"\xff\x4f\xff\x51") :]


@pytest.mark.parametrize("boxed", [True, False])
def test_jpeg_2000(boxed: bool) -> None:
    lossless = (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)
    grey = encode(BIG[..., 0], ".jp2", *lossless)
    deep = cv2.imencode(".jp2", BIG[..., ::-1].astype(np.uint16) * 257, lossless)[1].tobytes()
    for data, expected in (
        (encode(BIG, ".jp2", *lossless), BIG),
        (grey, np.repeat(BIG[..., :1], 3, 2)),
        (deep, BIG),
    ):
        data = data if boxed else code_stream(data)
        image = decode(data)
        assert_rgb(image)
        np.testing.assert_array_equal(image, expected)
        for end in (30, 100, len(data) // 2, len(data) - 20):
            with pytest.raises(ImageError, match="damaged JPEG 2000 image"):
                decode(data[:end])


def test_a_missing_tile_is_refused() -> None:
    image = pytest.importorskip("PIL.Image").fromarray(BIG)
    file = io.BytesIO()
    image.save(file, "JPEG2000", no_jp2=True, tile_size=(64, 64))
    data = file.getvalue()
    np.testing.assert_array_equal(decode(data), BIG)
    tiles = [at for at in range(len(data)) if data.startswith(b"\xff\x90\0\x0a", at)]
    assert len(tiles) == 6
    for at in tiles:
        with pytest.raises(ImageError, match="truncated or damaged JPEG 2000"):
            decode(data[:at])
        with pytest.raises(ImageError, match="truncated or damaged JPEG 2000"):
            decode(data[:at] + b"\xff\xd9")
