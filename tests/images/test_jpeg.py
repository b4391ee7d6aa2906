"""JPEG: colours, and files without an end marker, truncated or followed by other data."""

from __future__ import annotations

import re
import sys

import cv2
import numpy as np
import pytest
from encoded import BLUE, CMYK_JPEG, RED, assert_rgb, difference, exif, jpeg, jpeg_with_app1, picture

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.images.jpeg import is_doubtful, read_header

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_jpeg_is_rgb(options: tuple[int, ...]) -> None:
    smooth = np.zeros((16, 32, 3), np.uint8)
    smooth[:, :16], smooth[:, 16:] = RED, BLUE
    image = decode(jpeg(smooth, *options))
    assert_rgb(image)
    assert difference(image, smooth) < 4


def test_cmyk_jpeg() -> None:
    image = decode(CMYK_JPEG)
    assert_rgb(image)
    assert difference(image[:, :7], np.full((16, 7, 3), RED)) < 4
    assert difference(image[:, 9:], np.full((16, 7, 3), BLUE)) < 4


@pytest.mark.parametrize(
    "options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)]
)
def test_a_jpeg_truncated_anywhere_is_refused(options: tuple[int, ...]) -> None:
    data = jpeg(picture(64, 80), *options)
    decode(data)
    # Zeros follow if a download into a preallocated file stopped.
    for end in [*range(3, len(data) - 10, 41), *range(len(data) - 10, len(data) - 2)]:
        for rest in (
            b"",
            b"\xff",
            bytes(len(data) + 100 - end),
        ):
            with pytest.raises(ImageError, match="truncated or damaged JPEG"):
                decode(data[:end] + rest)


TRAILERS = {
    "none": b"",
    "half a marker": b"\xff",
    "Samsung": b"SEFHe\0\0\0" + b"\x11" * 5000,
    "a video": b"\0\0\0\x18ftypmp42" + np.random.default_rng(5).bytes(20_000),
    "another JPEG": jpeg(picture(8, 8)),
    "padding": bytes(5000),
}


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize(
    "options",
    [
        (),
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    ],
)
def test_a_complete_jpeg_needs_no_end_marker(options: tuple[int, ...], trailer: str) -> None:
    data = jpeg(picture(64, 80), *options)
    np.testing.assert_array_equal(decode(data[:-2] + TRAILERS[trailer]), decode(data))


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    data = jpeg(picture(64, 80), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    assert len(scans) > 5
    for scan in scans[1:]:
        with pytest.raises(ImageError, match="truncated or damaged JPEG"):
            decode(data[:scan])


linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="warnings of libjpeg are read with glibc only"
)


@linux_only
@pytest.mark.parametrize("options", [(), RESTARTS, PROGRESSIVE])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_a_truncated_jpeg_with_a_forged_end_is_refused(options: tuple[int, ...], share: float) -> None:
    data = jpeg(picture(64, 80), *options)
    start = data.index(b"\xff\xda")
    with pytest.raises(ImageError, match=r"^truncated or damaged JPEG image$"):
        decode(data[: start + int(share * (len(data) - start))] + b"\xff\xd9")


@linux_only
@pytest.mark.parametrize("kept", [0, 4])
def test_a_jpeg_without_a_restart_segment_is_refused(kept: int) -> None:
    data = jpeg(picture(64, 80), *RESTARTS)
    start, end = data.index(b"\xff\xd3"), data.index(b"\xff\xd4")
    with pytest.raises(ImageError, match=r"^truncated or damaged JPEG image$"):
        decode(data[: start + kept] + data[end:])


def test_a_progressive_jpeg_with_an_end_but_without_its_last_scans_is_refused() -> None:
    data = jpeg(picture(64, 80), *PROGRESSIVE)
    scans = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    for at in scans[1:]:
        with pytest.raises(ImageError, match=r"^truncated or damaged JPEG image$"):
            decode(data[:at] + b"\xff\xd9")


def test_a_warning_alone_does_not_make_a_jpeg_incomplete() -> None:
    data = jpeg(picture(64, 80))
    # "Warning: unknown JFIF revision number 9.01": the pixels are examined.
    np.testing.assert_array_equal(decode(data.replace(b"JFIF\0\1", b"JFIF\0\x09")), decode(data))
    assert is_doubtful(b"Warning: unknown JFIF revision number 9.01\n")
    assert not is_doubtful(b"libpng warning: iCCP: known incorrect sRGB profile\n")


def test_pixels_that_look_like_padding() -> None:
    data = jpeg(np.full((300, 300, 3), 255, np.uint8), cv2.IMWRITE_JPEG_OPTIMIZE, 1)
    assert data[-20:-3] == bytes(17)
    np.testing.assert_array_equal(decode(data[:-2]), decode(data))
    for cut in (12, 40):
        with pytest.raises(ImageError, match="truncated"):
            decode(data[:-cut])


def test_the_end_of_an_exif_thumbnail_is_not_the_end_of_the_jpeg() -> None:
    data = jpeg_with_app1(jpeg(picture()), b"Exif\0\0" + exif(1) + jpeg(picture(8, 8)))
    decode(data)
    with pytest.raises(ImageError, match="truncated"):
        decode(data[: len(data) * 3 // 4])


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_the_end_of_another_jpeg_is_not_the_end_of_a_truncated_one(options: tuple[int, ...]) -> None:
    data = jpeg(picture(64, 80), *options)
    scan = max(re.split(rb"(\xff\xda)", data), key=len)
    for end in range(data.index(scan) + 20, data.index(scan) + len(scan) - 10, 41):
        with pytest.raises(ImageError, match="truncated or damaged JPEG"):
            decode(data[:end] + jpeg(picture(8, 8)))


def test_bytes_after_a_complete_jpeg_are_ignored() -> None:
    data = jpeg(picture())
    for garbage in (b"\0" * 5000, b"\xff\xd8 a depth map follows" * 30, data[: len(data) // 2]):
        np.testing.assert_array_equal(decode(data + garbage), decode(data))


def test_too_many_segments_or_scans_are_refused_at_once() -> None:
    data = jpeg(picture(64, 80))
    progressive = jpeg(picture(64, 80), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    for many, name in (
        (data[:2] + b"\xff\xe1\0\2" * 10_001 + data[2:], "10,000 segments"),
        (data[:2] + b"\xff\0" * 10_001 + data[2:], "10,000 segments"),
        (data[:-2] + b"\xff\xe1\0\2" * 10_001 + b"\xff\xd8" + data[-2:], "10,000 segments"),
        (progressive[:-2] + scan * 1000 + progressive[-2:], "1,000 scans"),
    ):
        with pytest.raises(ImageError, match=f"^damaged JPEG image: more than {name}$"):
            decode(many)
    fill = data[:2] + b"\xff" * 1_000_000 + b"\xe1\0\2" * 9 + data[2:]
    np.testing.assert_array_equal(decode(fill), decode(data))


def test_the_cost_of_scans_is_estimated() -> None:
    plain = read_header(jpeg(picture(640, 800)))
    progressive = jpeg(picture(640, 800), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = read_header(progressive)
    assert plain.seconds < scans.seconds < 0.2
    assert 3 * 640 * 800 <= plain.memory <= 6 * 640 * 800
    assert scans.memory >= plain.memory + 2 * 640 * 800
    # The refinement of all coefficients of a component, again and again.
    refinement = progressive[progressive.rindex(b"\xff\xda") : -2]
    many = read_header(progressive[:-2] + refinement * 400 + b"\xff\xd9")
    assert many.seconds > 10 * scans.seconds
    # Without an end, it is decoded several times.
    assert read_header(progressive[:-2]).seconds > 10 * scans.seconds
    arithmetic = progressive.replace(b"\xff\xc2", b"\xff\xca")
    assert read_header(arithmetic).seconds > scans.seconds + 0.01


def test_an_exif_block_in_many_segments_is_read_in_part() -> None:
    data = jpeg(picture(8, 8))
    parts = jpeg_with_app1(data, b"Exif\0\0" + exif(6) + b"x" * 60_000)
    segment = parts[2 : len(parts) - len(data) + 2]
    assert decode(data[:2] + segment * 300 + data[2:]).shape == (8, 8, 3)
    assert read_header(data[:2] + segment * 300 + data[2:]).orientation == 6
