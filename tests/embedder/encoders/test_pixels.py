"""The pixels that a network expects, as a user names them."""

from __future__ import annotations

import pytest

from arcage.embedder.encoders.pixels import PRESETS, Pixels, parse_pixels
from arcage.errors import UsageError


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    assert parse_pixels(name) == PRESETS[name]
    assert parse_pixels(name, bgr=True).bgr


def test_numbers() -> None:
    assert parse_pixels("127.5/128") == Pixels((127.5,) * 3, (128.0,) * 3)
    assert parse_pixels("1,2,3/4,5,6", bgr=True) == Pixels((1, 2, 3), (4, 5, 6), True)


@pytest.mark.parametrize(
    "text", ["", "imagnet", "1", "1/", "1/0", "-1/2", "nan/1", "1,2/3", "256/1", "1e9/1", "1/2/3", "9999/1"]
)
def test_others_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`scale`"):
        parse_pixels(text)


def test_words() -> None:
    assert str(PRESETS["arcface"]) == "RGB, (0 to 255 - 127.5) / 127.5"
    assert str(PRESETS["unit"]) == "RGB, (0 to 255) / 255"
    assert str(parse_pixels("raw", bgr=True)) == "BGR, 0 to 255"
    assert str(parse_pixels("1,2,3/4")) == "RGB, (0 to 255 - (1, 2, 3)) / 4"
