"""NumPy arrays become upright RGB, or say what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from encoded import assert_rgb, picture

from arcage.errors import InputError, UsageError
from arcage.images.arrays import array_to_rgb
from arcage.images.limits import DecodeLimits

RGB = picture()
GREY = RGB[..., 0].copy()


def test_rgb_is_copied() -> None:
    given = RGB.copy()
    image = array_to_rgb(given)
    assert_rgb(image)
    np.testing.assert_array_equal(image, RGB)
    given[:] = 0
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("grey", [GREY, GREY[..., None]], ids=["2 axes", "3 axes"])
def test_grey(grey: Any) -> None:
    image = array_to_rgb(grey)
    assert_rgb(image)
    np.testing.assert_array_equal(image, np.repeat(GREY[..., None], 3, 2))


def test_transparent_pixels_become_white() -> None:
    alpha = np.full((*GREY.shape, 1), 255, np.uint8)
    alpha[:5] = 0
    image = array_to_rgb(np.concatenate([RGB, alpha], axis=2))
    assert_rgb(image)
    assert (image[:5] == 255).all()
    np.testing.assert_array_equal(image[5:], RGB[5:])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_strides_and_read_only_arrays(channels: int) -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (48, 80, channels), np.uint8)
    views = [base[::-1], base[:, ::-2], base[..., ::-1], base.transpose(1, 0, 2), np.asfortranarray(base)]
    for view in views:
        view.flags.writeable = False
        image = array_to_rgb(view)
        assert_rgb(image)
        np.testing.assert_array_equal(image, array_to_rgb(view.copy()))
        assert image.flags.writeable


def test_the_smallest_and_the_most_elongated() -> None:
    for shape in [(1, 1), (1, 5000, 3), (5000, 1, 4)]:
        assert array_to_rgb(np.zeros(shape, np.uint8)).shape == (*shape[:2], 3)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (RGB / 255, r"of float64, not uint8: .*\(255 \* image\)\.round\(\)\.astype\(np\.uint8\)"),
        (RGB.astype(np.float16), "of float16"),
        (RGB.astype(np.uint16), r"of uint16, .*\(image // 257\)"),
        (RGB.astype(">u2"), "image // 257"),
        (RGB.astype(np.int64), r"of int64, .*image\.astype\(np\.uint8\)"),
        (RGB > 3, "of bool, .*255 \\* image"),
        (RGB.astype(object), "of object, not uint8: give uint8 of shape"),
        (np.array("text"), "of <U4"),
        (np.zeros((4, 4), "M8[s]"), r"of datetime64\[s\]"),
        (RGB.transpose(2, 0, 1), r"shape \(3, 24, 40\) is no picture: .*image\.transpose\(1, 2, 0\)"),
        (RGB[None], "`predict_many`"),
        (RGB[..., :2], r"\(24, 40, 2\) is no picture: give uint8 of shape \(height, width, 3\), RGB"),
        (RGB.ravel(), r"image\.tobytes\(\)"),
        (np.zeros((), np.uint8), r"shape \(\)"),
        (RGB[:0], "empty: 40 x 0"),
        (RGB[:, :0], "empty: 0 x 24"),
        (np.zeros((1, 0, 4), np.uint8), "empty"),
    ],
)
def test_what_is_wrong(array: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        array_to_rgb(array)


def test_errors_are_those_of_python_too() -> None:
    for kind in (UsageError, TypeError, ValueError):
        with pytest.raises(kind):
            array_to_rgb(RGB / 255)


def test_too_large_pictures_are_refused_before_they_are_copied() -> None:
    huge = np.broadcast_to(np.zeros(3, np.uint8), (100_000, 100_000, 3))
    with pytest.raises(InputError, match="100000 x 100000 pixels, the limit is 100,000,000"):
        array_to_rgb(huge)
    with pytest.raises(InputError, match="the limit is 959"):
        array_to_rgb(RGB, DecodeLimits(pixels=959))
    assert array_to_rgb(RGB, DecodeLimits(pixels=960)).shape == RGB.shape
