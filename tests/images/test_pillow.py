"""Pillow's pictures become upright RGB, as their files do."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from encoded import BIG, assert_rgb, difference, encode, oriented, picture, png_chunk, save

from arcage.errors import ImageError, InputError
from arcage.images.decoder import decode
from arcage.images.limits import DecodeLimits
from arcage.images.pillow import is_pillow, pillow_to_rgb

Image = pytest.importorskip("PIL.Image")

RGB = picture()


def test_recognised_without_importing_pillow() -> None:
    assert is_pillow(Image.new("RGB", (2, 2)))
    assert not is_pillow(RGB)
    text = (
        "import sys; from arcage.images.pillow import is_pillow; from arcage import Predictor\n"
        "assert not is_pillow(3) and 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", text], check=True)


@pytest.mark.parametrize(
    ("mode", "most"),
    [("RGB", 0), ("RGBA", 0), ("RGBX", 0), ("RGBa", 0), ("CMYK", 0), ("YCbCr", 3), ("HSV", 6), ("P", 60)],
)
def test_colour_modes(mode: str, most: int) -> None:
    image = pillow_to_rgb(Image.fromarray(RGB).convert("RGBA" if mode == "RGBa" else "RGB").convert(mode))
    assert_rgb(image)
    assert difference(image, RGB) <= most


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "PA", "I", "I;16", "I;16B", "I;16L"])
def test_grey_modes(mode: str) -> None:
    grey = np.where(np.indices((24, 40)).sum(0) % 3 == 0, 255, 0).astype(np.uint8)
    image = Image.fromarray(grey)
    if mode == "PA":
        image = image.convert("LA")
    image = image.convert("LA").convert(mode) if mode == "La" else image.convert(mode)
    if mode.startswith("I;16"):
        deep = grey.astype(">u2" if mode[-1] == "B" else "<u2") * 257
        image = Image.frombytes(mode, (40, 24), deep.tobytes())
    given = pillow_to_rgb(image)
    assert_rgb(given)
    np.testing.assert_array_equal(given, np.repeat(grey[..., None], 3, 2))


def test_16_bits_as_in_a_file() -> None:
    deep = np.linspace(0, 65535, 12 * 20).astype(np.uint16).reshape(12, 20)
    data = encode(deep, ".png")
    opened = Image.open(io.BytesIO(data))
    assert opened.mode in ("I", "I;16")
    np.testing.assert_array_equal(pillow_to_rgb(opened), decode(data))
    np.testing.assert_array_equal(pillow_to_rgb(Image.fromarray(deep.astype(np.int32))), decode(data))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparent_pixels_become_white(mode: str) -> None:
    alpha = np.full((24, 40), 255, np.uint8)
    alpha[:5] = 0
    image = Image.fromarray(np.dstack([RGB, alpha]))
    if mode == "P":
        image = image.convert("RGB").quantize(16)
        first = image.getpixel((0, 0))
        image.info["transparency"] = first
        hidden = np.asarray(image) == first
    elif mode == "PA":
        image = image.convert("RGB").quantize(16)
        image.putalpha(Image.fromarray(alpha))
        assert image.mode == "PA"
        hidden = alpha == 0
    else:
        image, hidden = image.convert(mode), alpha == 0
    given = pillow_to_rgb(image)
    assert (given[hidden] == 255).all()
    assert not (given[~hidden] == 255).all()


def test_files_with_transparency_give_the_same_picture_either_way() -> None:
    key = encode(RGB, ".png")
    at = key.index(b"IDAT") - 4
    transparent = key[:at] + png_chunk(b"tRNS", RGB[3, 7].astype(">u2").tobytes()) + key[at:]
    np.testing.assert_array_equal(pillow_to_rgb(Image.open(io.BytesIO(transparent))), decode(transparent))
    assert (decode(transparent)[3, 7] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "TIFF", "WEBP", "HEIF"])
def test_the_orientation_is_applied(orientation: int, format_: str) -> None:
    data = oriented(BIG, orientation, format_)
    opened = Image.open(io.BytesIO(data))
    given = pillow_to_rgb(opened)
    assert_rgb(given)
    assert given.shape == decode(data).shape
    assert difference(given, decode(data)) < 3
    # Pictures that Pillow makes of it keep its EXIF data.
    np.testing.assert_array_equal(pillow_to_rgb(opened), given)
    np.testing.assert_array_equal(pillow_to_rgb(Image.open(io.BytesIO(data)).convert("RGB")), given)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    opened = Image.open(io.BytesIO(oriented(BIG, orientation, "JPEG")))
    assert pillow_to_rgb(opened).shape == BIG.shape


def test_damaged_exif_data_is_ignored() -> None:
    data = save(RGB, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    np.testing.assert_array_equal(pillow_to_rgb(Image.open(io.BytesIO(data))), RGB)


def test_a_picture_that_cannot_be_read() -> None:
    data = save(BIG, "JPEG")
    with pytest.raises(ImageError, match=r"Pillow cannot read it: .*truncated"):
        pillow_to_rgb(Image.open(io.BytesIO(data[: len(data) // 2])))
    closed = Image.open(io.BytesIO(data))
    closed.close()
    with pytest.raises(ImageError, match="Pillow cannot read it"):
        pillow_to_rgb(closed)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.new("F", (3, 2)), "mode F has no known range"),
        (Image.fromarray(np.full((2, 3), -1, np.int32)), "values from -1 to -1"),
        (Image.fromarray(np.full((2, 3), 70_000, np.int32)), "values from 70000 to 70000"),
        (Image.new("RGB", (0, 2)), "empty: 0 x 2"),
    ],
)
def test_what_is_wrong(image: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pillow_to_rgb(image)


def test_a_mode_that_pillow_cannot_convert(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(self: Any, mode: str) -> Any:
        raise ValueError("conversion from LAB to RGB not supported")

    monkeypatch.setattr(Image.Image, "convert", convert)  # older versions
    with pytest.raises(
        InputError,
        match=r"mode LAB cannot be converted \(conversion .* not supported\): give one of the mode RGB",
    ):
        pillow_to_rgb(Image.new("LAB", (3, 2)))


@pytest.mark.parametrize("value", [None, -1, "x", (1, 2)])
def test_information_that_makes_no_sense(value: Any) -> None:
    image = Image.new("P", (3, 2))
    image.info["transparency"] = value
    with suppress(InputError):
        assert pillow_to_rgb(image).shape == (2, 3, 3)


def test_a_large_picture_is_refused_before_it_is_read() -> None:
    opened = Image.open(io.BytesIO(save(BIG, "PNG")))
    with pytest.raises(InputError, match="too large"):
        pillow_to_rgb(opened, DecodeLimits(pixels=1000))
    assert getattr(opened, "_im", None) is None


def test_the_given_picture_is_not_changed() -> None:
    image = Image.fromarray(RGB)
    given = pillow_to_rgb(image)
    given[:] = 0
    np.testing.assert_array_equal(np.asarray(image), RGB)
