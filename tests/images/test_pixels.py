"""Grey, 16-bit and transparent images become RGB."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from encoded import assert_rgb, difference, encode, exif, jpeg, jpeg_with_app1, png

from arcage.images import pixels
from arcage.images.decoder import decode
from arcage.images.pixels import any_to_rgb, bgr_to_rgb


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_grey_becomes_rgb(suffix: str) -> None:
    grey = np.repeat(np.arange(0, 240, 8, dtype=np.uint8)[None], 16, 0)
    image = decode(encode(grey, suffix))
    assert_rgb(image)
    assert difference(image, np.repeat(grey[..., None], 3, 2)) < 2


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled_to_8(suffix: str, channels: int) -> None:
    deep = np.linspace(0, 65535, 12 * 20 * channels).astype(np.uint16).reshape(12, 20, channels)
    image = decode(encode(deep[..., 0] if channels == 1 else deep, suffix))
    assert_rgb(image)
    expected = np.broadcast_to(deep / 257, (12, 20, 3))
    assert np.abs(image - expected).max() <= 1
    assert image.min() == 0
    assert image.max() == 255


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_transparent_pixels_become_white(depth: type) -> None:
    top = np.iinfo(depth).max
    bgra: np.ndarray = np.zeros((4, 3, 4), depth)
    bgra[..., 2] = top
    bgra[0, :, 3], bgra[1, :, 3], bgra[2:, :, 3] = 0, top // 2, top
    image = decode(encode(bgra, ".png"))
    assert_rgb(image)
    assert image[0].tolist() == [[255, 255, 255]] * 3
    assert image[2:].reshape(-1, 3).tolist() == [[255, 0, 0]] * 6
    assert np.abs(image[1].astype(int) - (255, 128, 128)).max() <= 1


def test_alpha_of_webp_and_grey_png() -> None:
    bgra = np.zeros((4, 4, 4), np.uint8)
    bgra[:2, :, 3] = 255
    image = decode(encode(bgra, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101))
    assert image[:2].max() == 0
    assert image[2:].min() == 255
    assert decode(png(2, 1, 8, 4, [bytes((10, 255, 10, 0))])).tolist() == [[[10] * 3, [255] * 3]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_one_pixel(orientation: int) -> None:
    data = jpeg_with_app1(jpeg(np.full((1, 1, 3), 90, np.uint8)), b"Exif\0\0" + exif(orientation))
    assert decode(data).shape == (1, 1, 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_large_pictures_are_converted_by_strips_to_the_same_pixels(
    channels: int, depth: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (37, 50, channels) if channels > 1 else (37, 50)
    image = np.random.default_rng(channels).integers(0, np.iinfo(depth).max, shape, depth, endpoint=True)
    whole = bgr_to_rgb(image), any_to_rgb(image.astype(np.uint8))
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", 170)  # three rows
    np.testing.assert_array_equal(bgr_to_rgb(image), whole[0])
    np.testing.assert_array_equal(any_to_rgb(image.astype(np.uint8)), whole[1])
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", 1)
    np.testing.assert_array_equal(bgr_to_rgb(image), whole[0])


def test_a_picture_with_transparency_takes_little_more_memory_than_its_result() -> None:
    script = """
import resource
import numpy as np
from arcage.images.pixels import bgr_to_rgb
image = np.full((4000, 4000, 4), 40000, np.uint16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bgr_to_rgb(image)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    pytest.importorskip("resource", reason="POSIX only")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert int(done.stdout) < (48_000_000 + 40_000_000) / (1 if sys.platform == "darwin" else 1024)


def test_the_digest_of_pixels() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    expected = hashlib.sha256(b"RGB 4x2\n" + bytes(range(24))).hexdigest()
    assert pixels.pixels_sha256(image) == expected
    assert pixels.pixels_sha256(np.asfortranarray(image)) == expected
    assert pixels.pixels_sha256(image.reshape(4, 2, 3)) != expected
