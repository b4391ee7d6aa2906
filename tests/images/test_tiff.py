"""TIFF: colours, sample types and pages."""

from __future__ import annotations

import numpy as np
import pytest
from encoded import BIG, difference, encode, save, tiff

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.images.multi_frame import is_multi_frame


def test_floating_point_and_signed_tiff_are_refused() -> None:
    with pytest.raises(ImageError, match="8 or 16 bits"):
        decode(encode(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10), ".tiff"))
    signed = {256: 2, 257: 1, 258: 16, 259: 1, 262: 1, 277: 1, 278: 1, 339: 2}
    with pytest.raises(ImageError, match="8 or 16 bits"):
        decode(tiff(signed, bytes(4)))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_cmyk_tiff(compression: str | None) -> None:
    assert difference(decode(save(BIG, "TIFF", "CMYK", compression=compression)), BIG) < 4


def test_the_first_page_of_a_tiff() -> None:
    image = pytest.importorskip("PIL.Image").fromarray(BIG[::-1].copy())
    data = save(BIG, "TIFF", save_all=True, append_images=[image])
    np.testing.assert_array_equal(decode(data), BIG)
    assert is_multi_frame(data)
    assert not is_multi_frame(save(BIG, "TIFF"))
