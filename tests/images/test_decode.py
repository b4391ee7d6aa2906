"""Decoding: every pixel format to upright RGB, every bad file to an ImageError, no file to a crash."""

from __future__ import annotations

import base64
import os
import random
import re
import struct
import subprocess
import sys
import threading
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from encoded import STORED, assert_rgb, difference, encode, gif, jpeg, mutated, picture, png_chunk

from arcage.errors import ImageError, ImageMemoryError
from arcage.images.decode import MAX_PIXELS, decode, is_out_of_memory
from arcage.images.silence import silence_decoders

RED, BLUE = (200, 60, 20), (20, 80, 220)
needs_gif = pytest.mark.skipif(
    not re.search(r"GIF:\s+YES", cv2.getBuildInformation()),
    reason="this OpenCV reads no GIF (4.12 and later do)",
)

# Pillow 13: 16 x 16 pixels, RED beside BLUE, converted to CMYK, quality 95.
CMYK_JPEG = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoK"
    "CgYICwwLCgwJCgoK/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABcAAAMBAAAAAAAAAAAAAAAAAAAJCgf/xAAUEAEAAAAAAAAAAAAA"
    "AAAAAAAA/9oADgRDAE0AWQBLAAA/AGQF3knn+JL2oLIArQZejfCS9qCyAP/Z"
)


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *extra: bytes) -> bytes:
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
            *extra,
            png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
            png_chunk(b"IEND", b""),
        )
    )


def tiff(tags: dict[int, int], body: bytes = b"", order: str = "<") -> bytes:
    """One directory of LONG values, then the pixels in one strip."""
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags = tags | {273: start, 279: len(body)}
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    signature = b"II*\0" if order == "<" else b"MM\0*"
    return signature + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4) + body


def exif(orientation: int, order: str = "<") -> bytes:
    signature = b"II*\0" if order == "<" else b"MM\0*"
    # SHORT values stand at the left of their four bytes.
    entry = struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    return signature + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def jpeg_with_app1(data: bytes, body: bytes) -> bytes:
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def webp_with_exif(data: bytes, body: bytes, width: int, height: int) -> bytes:
    return webp_with(data, width, height, {b"EXIF": body})


def webp_with(data: bytes, width: int, height: int, metadata: dict[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    flags = 8 * (b"EXIF" in metadata) + 4 * (b"XMP " in metadata)
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    riff = b"WEBP" + chunk(b"VP8X", bytes((flags, 0, 0, 0)) + size) + data[12:]
    riff += b"".join(chunk(kind, body) for kind, body in metadata.items())
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def tiff_with_xmp(tags: dict[int, int], body: bytes, packet: bytes) -> bytes:
    data = tiff(tags | {700: 0}, body)
    at = data.index(struct.pack("<HHI", 700, 4, 1))
    return data[:at] + struct.pack("<HHII", 700, 1, len(packet), len(data)) + data[at + 12 :] + packet


# Formats and pixel kinds


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff"])
def test_lossless_formats_give_the_exact_pixels(suffix: str) -> None:
    options = (cv2.IMWRITE_WEBP_QUALITY, 101) if suffix == ".webp" else ()
    image = decode(encode(picture(), suffix, *options))
    assert_rgb(image)
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_jpeg_is_rgb(options: tuple[int, ...]) -> None:
    smooth = np.zeros((16, 32, 3), np.uint8)
    smooth[:, :16], smooth[:, 16:] = RED, BLUE
    image = decode(jpeg(smooth, *options))
    assert_rgb(image)
    assert difference(image, smooth) < 4


def test_lossy_webp() -> None:
    image = decode(encode(np.full((20, 30, 3), RED, np.uint8), ".webp", cv2.IMWRITE_WEBP_QUALITY, 80))
    assert_rgb(image)
    assert difference(image, np.full((20, 30, 3), RED, np.uint8)) < 6


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


def test_cmyk_jpeg() -> None:
    image = decode(CMYK_JPEG)
    assert_rgb(image)
    assert difference(image[:, :7], np.full((16, 7, 3), RED)) < 4
    assert difference(image[:, 9:], np.full((16, 7, 3), BLUE)) < 4


def test_palette_png_with_and_without_transparency() -> None:
    palette = png_chunk(b"PLTE", bytes((*RED, *BLUE)))
    rows = [bytes((0, 1, 1)), bytes((1, 0, 0))]
    opaque = decode(png(3, 2, 8, 3, rows, palette))
    assert_rgb(opaque)
    assert opaque.tolist() == [[list(RED), list(BLUE), list(BLUE)], [list(BLUE), list(RED), list(RED)]]

    see_through = decode(png(3, 2, 8, 3, rows, palette, png_chunk(b"tRNS", b"\xff\0")))
    assert_rgb(see_through)
    white = [255, 255, 255]
    assert see_through.tolist() == [[list(RED), white, white], [white, list(RED), list(RED)]]


def test_bilevel_png() -> None:
    image = decode(png(8, 1, 1, 0, [b"\xa5"]))
    assert image[0, :, 0].tolist() == [255, 0, 255, 0, 0, 255, 0, 255]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_alpha_is_shown_over_white(depth: type) -> None:
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


@needs_gif
def test_gif() -> None:
    indices = bytes(range(2)) * 300
    image = decode(gif(30, 20, indices, bytes((*RED, *BLUE))))
    assert_rgb(image)
    assert image.shape == (20, 30, 3)
    assert image[0, 0].tolist() == list(RED)
    assert image[19, 29].tolist() == list(BLUE)
    see_through = decode(gif(30, 20, indices, bytes((*RED, *BLUE)), transparent=1))
    assert see_through[0, 0].tolist() == list(RED)
    assert see_through[19, 29].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp", pytest.param(".gif", marks=needs_gif)]
)
def test_one_pixel(suffix: str) -> None:
    dot = np.full((1, 1, 3), 200, np.uint8)
    data = gif(1, 1, b"\0", b"\xc8\xc8\xc8") if suffix == ".gif" else encode(dot, suffix)
    image = decode(data)
    assert_rgb(image)
    assert difference(image, dot) <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_one_pixel_can_be_turned(orientation: int) -> None:
    data = jpeg_with_app1(jpeg(np.full((1, 1, 3), 90, np.uint8)), b"Exif\0\0" + exif(orientation))
    assert decode(data).shape == (1, 1, 3)


def test_each_image_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = cv2.imdecode

    def note(data: np.ndarray, flags: int) -> Any:
        calls.append(flags)
        return original(data, flags)

    monkeypatch.setattr(cv2, "imdecode", note)
    for number, data in enumerate((jpeg(picture()), encode(picture(), ".png"), CMYK_JPEG), start=1):
        decode(data)
        assert len(calls) == number


# Orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_each_format(orientation: int, order: str) -> None:
    upright = picture()
    stored = np.ascontiguousarray(STORED[orientation](upright))
    height, width = stored.shape[:2]
    block = exif(orientation, order)

    from_jpeg = decode(jpeg_with_app1(jpeg(stored), b"Exif\0\0" + block))
    assert_rgb(from_jpeg)
    plain = decode(jpeg(stored))
    np.testing.assert_array_equal(STORED[orientation](from_jpeg), plain)
    assert difference(from_jpeg, upright) < 8

    plain_png = encode(stored, ".png")
    with_exif = plain_png[:33] + png_chunk(b"eXIf", block) + plain_png[33:]
    webp = encode(stored, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 2, 274: orientation, 277: 3, 278: height}
    for data in (
        with_exif,
        webp_with_exif(webp, block, width, height),
        webp_with_exif(webp, b"Exif\0\0" + block, width, height),
        tiff(tags, stored.tobytes(), order),
    ):
        image = decode(data)
        assert_rgb(image)
        np.testing.assert_array_equal(image, upright)


def test_orientation_holds_for_an_image_with_alpha() -> None:
    bgra = np.dstack([picture()[..., ::-1], np.full((24, 40), 255, np.uint8)])
    bgra[:5, :5, 3] = 0
    data = encode(np.rot90(bgra, 1), ".png")
    image = decode(data[:33] + png_chunk(b"eXIf", exif(6)) + data[33:])
    assert_rgb(image)
    assert image[:5, :5].min() == 255
    np.testing.assert_array_equal(image[5:], picture()[5:])


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II",
        b"not exif at all",
        exif(0),
        exif(9),
        exif(6)[:12],
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
    ],
)
def test_a_damaged_exif_block_costs_only_the_orientation(block: bytes) -> None:
    plain = jpeg(picture())
    np.testing.assert_array_equal(decode(jpeg_with_app1(plain, b"Exif\0\0" + block)), decode(plain))


def rotated(size: tuple[int, int]) -> bytes:
    return jpeg(np.ascontiguousarray(STORED[6](picture(*size))))


def xmp(orientation: int, form: str = "attribute") -> bytes:
    inside = {
        "attribute": f'<rdf:Description tiff:Orientation="{orientation}"/>',
        "quoted otherwise": f"<rdf:Description tiff:Orientation='{orientation}'/>",
        "element": f"<rdf:Description><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>",
    }[form]
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{inside}</x:xmpmeta>'.encode()


XMP = b"http://ns.adobe.com/xap/1.0/\0"


def is_turned(data: bytes) -> bool:
    """Whether a picture that is stored 24 wide and 40 high is decoded upright, 40 wide."""
    image = decode(data)
    assert image.shape in {(24, 40, 3), (40, 24, 3)}
    if image.shape == (24, 40, 3):
        assert difference(image, picture()) < 8
    return image.shape == (24, 40, 3)


def test_exif_that_goes_on_in_a_second_segment() -> None:
    stored = rotated((24, 40))
    split = jpeg_with_app1(stored, b"Exif\0\0" + b"\x55" * 30_000)
    assert is_turned(jpeg_with_app1(split, b"Exif\0\0" + exif(6) + bytes(64_000)))
    # The first directory is in the second segment.
    block = b"II*\0" + struct.pack("<I", 60_008) + bytes(60_000) + exif(6)[8:]
    split = jpeg_with_app1(stored, b"Exif\0\0" + block[50_000:])
    assert is_turned(jpeg_with_app1(split, b"Exif\0\0" + block[:50_000]))


@pytest.mark.parametrize(("first", "second", "turned"), [(6, 1, True), (1, 6, False), (6, 6, True)])
def test_of_two_exif_blocks_the_first_counts(first: int, second: int, turned: bool) -> None:
    data = jpeg_with_app1(rotated((24, 40)), b"Exif\0\0" + exif(second))
    assert is_turned(jpeg_with_app1(data, b"Exif\0\0" + exif(first))) == turned


@pytest.mark.parametrize("form", ["attribute", "quoted otherwise", "element"])
def test_an_orientation_only_in_xmp(form: str) -> None:
    stored = np.ascontiguousarray(STORED[6](picture()))
    block = xmp(6, form)
    assert is_turned(jpeg_with_app1(jpeg(stored), XMP + block))
    plain = encode(stored, ".png")
    text = b"XML:com.adobe.xmp\0"
    packed = text + b"\1\0\0\0" + zlib.compress(block)
    for chunk in (png_chunk(b"iTXt", text + b"\0\0\0\0" + block), png_chunk(b"iTXt", packed)):
        assert is_turned(plain[:33] + chunk + plain[33:])
        assert is_turned(plain[:-12] + chunk + plain[-12:])
    webp = encode(stored, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    assert is_turned(webp_with(webp, 24, 40, {b"XMP ": block}))
    tags = {256: 24, 257: 40, 258: 8, 259: 1, 262: 2, 277: 3, 278: 40}
    assert is_turned(tiff_with_xmp(tags, stored.tobytes(), block))


@pytest.mark.parametrize(
    ("in_exif", "in_xmp", "turned"),
    [
        (1, 6, False),
        (6, 1, True),
        (0, 6, False),
        (9, 6, False),
        (None, 6, True),
        (None, 0, False),
        (None, 9, False),
    ],
)
def test_exif_wins_over_xmp(in_exif: int | None, in_xmp: int, turned: bool) -> None:
    block = (
        exif(1).replace(struct.pack("<H", 274), struct.pack("<H", 305)) if in_exif is None else exif(in_exif)
    )
    stored = np.ascontiguousarray(STORED[6](picture()))
    data = jpeg_with_app1(jpeg_with_app1(jpeg(stored), XMP + xmp(in_xmp)), b"Exif\0\0" + block)
    assert is_turned(data) == turned
    plain = encode(stored, ".png")
    text = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(in_xmp))
    assert is_turned(plain[:33] + text + plain[33:-12] + png_chunk(b"eXIf", block) + plain[-12:]) == turned
    webp = encode(stored, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    assert is_turned(webp_with(webp, 24, 40, {b"EXIF": block, b"XMP ": xmp(in_xmp)})) == turned


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"exif", b"Exif\0\0" + exif(6)),
        (b"exif", exif(6, ">")),
        (b"APP1", b"Exif\0\0" + exif(6)),
        (b"APP1", XMP + xmp(6)),
    ],
)
def test_raw_profiles_of_imagemagick(name: bytes, content: bytes, kind: bytes) -> None:
    digits = content.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = b"\n" + name.lower() + f"\n{len(content):8}\n{lines}\n".encode()
    body = b"\0" + zlib.compress(text) if kind == b"zTXt" else text
    chunk = png_chunk(kind, b"Raw profile type " + name + b"\0" + body)
    plain = encode(np.ascontiguousarray(STORED[6](picture())), ".png")
    assert is_turned(plain[:33] + chunk + plain[33:])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "code", "turned"),
    [
        *((1, "Bxxx", False), (2, "Bxxx", False), (3, "Hxx", True), (4, "I", True), (6, "bxxx", True)),
        *((7, "Bxxx", False), (8, "hxx", True), (9, "i", True), (11, "f", True), (99, "I", False)),
    ],
)
def test_types_of_the_orientation(kind: int, code: str, turned: bool, order: str) -> None:
    head = exif(1, order)[:10] + struct.pack(order + "HHI", 274, kind, 1)
    block = head + struct.pack(order + code, 6) + bytes(4)
    assert is_turned(jpeg_with_app1(rotated((24, 40)), b"Exif\0\0" + block)) == turned


def test_a_block_that_is_damaged_behind_its_orientation() -> None:
    many = bytearray(exif(6))
    many[8] = 100  # entries, of which one is there
    for block in (bytes(many), exif(6)[:-4], b"Exif\0\0" + exif(6), b"MM*\0" + exif(6, ">")[4:]):
        assert is_turned(jpeg_with_app1(rotated((24, 40)), b"Exif\0\0" + block))


def test_a_webp_whose_header_knows_of_no_exif() -> None:
    webp = encode(np.ascontiguousarray(STORED[6](picture())), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    data = webp_with(webp, 24, 40, {b"EXIF": exif(6)})
    assert is_turned(data)
    assert not is_turned(data[:20] + b"\0" + data[21:])


# What cannot be read


def test_empty_file() -> None:
    with pytest.raises(ImageError, match=r"^empty file$"):
        decode(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\x03",
        b"RIFF\0\0\0\0WAVE",
        b"\xff\xd8",
    ],
)
def test_files_of_no_known_format(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"known format \(JPEG, PNG, .*, HEIC, AVIF, raw\)"):
        decode(data)


@pytest.mark.parametrize(
    "data", [b"just some text\n" * 20, b"BMW drivers wanted, apply within", b"BM", b"GIF88a"]
)
def test_text_is_called_so(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"^text, which is not read: a list of images is read with"):
        decode(data)


@pytest.mark.parametrize(
    "options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)]
)
def test_truncated_jpeg_is_refused_wherever_it_was_cut(options: tuple[int, ...]) -> None:
    data = jpeg(picture(64, 80), *options)
    decode(data)
    # Zeros: a download that stopped in a preallocated file.
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


def test_bytes_after_a_complete_jpeg_do_not_matter() -> None:
    data = jpeg(picture())
    for garbage in (b"\0" * 5000, b"\xff\xd8 a depth map follows" * 30, data[: len(data) // 2]):
        np.testing.assert_array_equal(decode(data + garbage), decode(data))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff", pytest.param(".gif", marks=needs_gif)])
def test_other_formats_truncated(suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    data = gif(32, 32, bytes(32 * 32), b"abc") if suffix == ".gif" else encode(noise, suffix)
    decode(data)
    for end in (len(data) // 4, len(data) // 2, len(data) - 5):
        with pytest.raises(ImageError, match=r"damaged \w+ image"):
            decode(data[:end])


def test_webp_truncated_behind_its_pixels() -> None:
    data = webp_with_exif(encode(picture(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), exif(1), 40, 24)
    decode(data)
    with pytest.raises(ImageError, match="truncated or damaged WebP"):
        decode(data[:-4])


def test_floating_point_and_signed_tiff_are_refused() -> None:
    with pytest.raises(ImageError, match="8 or 16 bits"):
        decode(encode(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10), ".tiff"))
    signed = {256: 2, 257: 1, 258: 16, 259: 1, 262: 1, 277: 1, 278: 1, 339: 2}
    with pytest.raises(ImageError, match="8 or 16 bits"):
        decode(tiff(signed, bytes(4)))


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_size_is_damaged(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="damaged PNG"):
        decode(png(*size, 8, 0, [b""]))


def test_c_libraries_print_nothing_while_any_thread_decodes(capfd: pytest.CaptureFixture[str]) -> None:
    data = jpeg(picture(64, 80))
    damaged = data[: len(data) * 2 // 3] + b"\xff\xd9"  # "Corrupt JPEG data: premature end of data segment"
    profile = png_chunk(b"iCCP", b"odd\0\0" + zlib.compress(b"no profile"))  # "libpng warning: iCCP: ..."
    odd = png(2, 1, 8, 2, [bytes((10, 20, 30, 40, 50, 60))], profile)

    def work() -> None:
        for _ in range(100):
            assert decode(damaged).shape == (64, 80, 3)
            assert decode(odd).tolist() == [[[10, 20, 30], [40, 50, 60]]]

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err == ""
    # Afterwards they print again.
    if sys.platform == "linux":
        cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR)
        assert "Corrupt JPEG data" in capfd.readouterr().err


def test_other_words_get_through_while_an_image_is_decoded(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_decoders:
        print("a row", file=sys.stderr)
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'a child\\n')"], check=True)
        with silence_decoders:
            os.write(2, b"nested\n")
        with pytest.raises(ZeroDivisionError), silence_decoders:
            raise ZeroDivisionError
    sys.stderr.flush()
    assert sorted(capfd.readouterr().err.splitlines()) == ["a child", "a row", "nested"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_a_process_forked_while_an_image_is_decoded_can_print() -> None:
    script = """
import os, sys
import ctypes
from arcage.images.silence import silence_decoders
libc = ctypes.CDLL(None)
with silence_decoders:
    child = os.fork()
    libc.fputs(b"from C\\n", ctypes.c_void_p.in_dll(libc, "stderr"))
    if not child:
        with silence_decoders:
            pass
        os._exit(0)
    os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stderr == (b"from C\n" if sys.platform == "linux" else b"from C\nfrom C\n")


def test_damaged_files_leave_stderr_and_the_log_level_alone(capfd: pytest.CaptureFixture[str]) -> None:
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    level = logging.getLogLevel()
    for suffix in (".bmp", ".tiff", ".jpg", ".webp", ".png"):
        data = encode(picture(), suffix)
        with pytest.raises(ImageError):
            decode(data[: len(data) // 2])
    assert capfd.readouterr().err == ""
    assert logging.getLogLevel() == level


def test_threads_restore_the_log_level() -> None:
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    level = logging.getLogLevel()
    assert level > 0
    data = jpeg(picture(8, 8))
    threads = [threading.Thread(target=lambda: [decode(data) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logging.getLogLevel() == level


# The pixel limit


def test_the_limit_itself_is_allowed() -> None:
    data = encode(picture(10, 10), ".png")
    assert decode(data, max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ImageError, match="too large: 100 pixels, the limit is 99"):
        decode(data, max_pixels=99)


def bomb(side: int = 20_000) -> bytes:
    """A sound PNG of 400 megapixels in a few KB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    packed = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def test_a_png_bomb_is_refused_at_once_without_memory() -> None:
    data = bomb()
    assert len(data) < 100_000
    # In a process of its own: the peak of this one may be high already, and cv2's memory is not Python's.
    script = """
import resource, sys, time
from arcage.errors import ImageError
from arcage.images.decode import decode
data = sys.stdin.buffer.read()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
try:
    decode(data)
except ImageError as error:
    seconds = time.perf_counter() - start
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, seconds, error, sep="|")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], input=data, capture_output=True, check=True, timeout=60
    )
    kilobytes, seconds, message = done.stdout.decode().strip().split("|")
    assert int(kilobytes) < 5_000
    assert float(seconds) < 0.1
    assert message.startswith("too large: 400,000,000 pixels")


def test_too_little_memory_is_told_apart_from_a_damaged_file() -> None:
    resource = pytest.importorskip("resource", reason="POSIX only")
    data = bomb(9_000)
    # 81 MB as it is stored; the second time, three bytes a pixel do not fit.
    script = """
import resource, sys
from arcage.errors import ImageMemoryError
from arcage.images.decode import decode
data = sys.stdin.buffer.read()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
for room in (50, 150):
    resource.setrlimit(resource.RLIMIT_AS, (used + (room << 20), resource.RLIM_INFINITY))
    try:
        decode(data)
    except ImageMemoryError as error:
        print(error)
"""
    if sys.platform != "linux" or not hasattr(resource, "RLIMIT_AS"):
        pytest.skip("needs a limit of the address space")
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, timeout=60)
    assert done.stderr.decode() == ""
    assert done.stdout.decode() == "not enough memory for 9000 x 9000 pixels\n" * 2


def test_lack_of_memory_is_known_by_all_its_names() -> None:
    without_code = cv2.error("std::bad_alloc")
    with_code = cv2.error("Failed to allocate 1 bytes")
    without_code.code, with_code.code = None, cv2.Error.StsNoMem
    assert all(is_out_of_memory(error) for error in (MemoryError(), without_code, with_code))
    with_code.code = cv2.Error.StsBadArg
    assert not any(is_out_of_memory(error) for error in (ValueError(), with_code, ImageError("bad_alloc")))
    assert issubclass(ImageMemoryError, ImageError)


def oversized() -> dict[str, bytes]:
    side = 40_000
    frame = struct.pack(">BHHB", 8, side, side, 3) + bytes(9)
    start_of_frame = b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame
    extended = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + (side - 1).to_bytes(3, "little") * 2
    lossless = b"WEBPVP8L" + struct.pack("<I", 5) + b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + b"\0"
    lossy = b"WEBPVP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"
    return {
        "jpeg": b"\xff\xd8" + start_of_frame + b"\xff\xda\0\x02" + bytes(20) + b"\xff\xd9",
        "webp": b"RIFF" + struct.pack("<I", len(extended)) + extended,
        "webp lossless": b"RIFF" + struct.pack("<I", len(lossless)) + lossless,
        "webp lossy": b"RIFF" + struct.pack("<I", len(lossy)) + lossy,
        "bmp": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, side, -side, 1, 24) + bytes(24),
        "old bmp": b"BM" + bytes(12) + struct.pack("<IHHHH", 12, side, side, 1, 24) + bytes(24),
        "gif": gif(side, side, b"\0", b"abc"),
        "tiff": tiff({256: side, 257: side}),
        "tiff with a large tile": tiff({256: 10, 257: 10, 322: side, 323: side}),
    }


@pytest.mark.parametrize("kind", sorted(oversized()))
def test_no_format_gets_past_the_limit(kind: str) -> None:
    with pytest.raises(ImageError, match="too large") as caught:
        decode(oversized()[kind])
    pixels = int(re.sub(r"\D", "", str(caught.value).split(" pixels")[0]))
    assert pixels > MAX_PIXELS


# Anything at all


@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", pytest.param(".gif", marks=needs_gif), "exif"]
)
def test_mutations_decode_or_raise_image_error(suffix: str) -> None:
    data = {
        ".gif": lambda: gif(30, 20, bytes(range(100)) * 6, bytes(range(256)), transparent=3),
        "exif": lambda: jpeg_with_app1(jpeg(picture(16, 16)), b"Exif\0\0" + exif(6)),
    }.get(suffix, lambda: encode(picture(16, 16), suffix))()
    chance = random.Random(suffix)
    decoded = refused = 0
    for _ in range(300):
        try:
            image = decode(mutated(data, chance))
        except ImageError:
            refused += 1
        else:
            assert_rgb(image)
            decoded += 1
    assert refused > 10
    assert decoded > 0
