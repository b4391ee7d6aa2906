"""PNG: palettes, bit depths and profiles in text chunks."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from encoded import BLUE, RED, STORED, XMP, assert_rgb, encode, exif, is_turned, picture, png, png_chunk, xmp

from arcage.errors import ImageError, ImageHereError, ImageMemoryError
from arcage.images import png as png_module
from arcage.images.decoder import decode, is_quick
from arcage.images.limits import DecodeLimits


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


def _with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """Insert chunks after the header."""
    return data[:33] + b"".join(chunks) + data[33:]


ANIMATION = (
    png_chunk(b"acTL", struct.pack(">II", 2, 0)),
    png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 40, 24, 0, 0, 1, 10, 0, 0)),
)


def test_the_still_picture_of_an_animation_is_decoded() -> None:
    still = encode(picture(), ".png")
    np.testing.assert_array_equal(decode(_with_chunks(still, *ANIMATION)), picture())
    # Without the control chunk of a first frame, the still picture is no frame.
    np.testing.assert_array_equal(decode(_with_chunks(still, ANIMATION[0])), picture())


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_damaged_animation_is_refused(place: float) -> None:
    data = bytearray(_with_chunks(encode(picture(), ".png"), *ANIMATION))
    start, end = data.index(b"IDAT") + 4, data.index(b"IEND") - 8
    data[start + int(place * (end - start))] ^= 0x55
    with pytest.raises(ImageError, match="damaged PNG image"):
        decode(bytes(data))
    with pytest.raises(ImageError, match="damaged PNG image"):  # without the end of its pixels
        decode(_with_chunks(png(40, 24, 8, 2, [bytes(120)] * 20), *ANIMATION))


def test_many_chunks() -> None:
    data = encode(picture(), ".png")
    texts = (png_chunk(b"tEXt", b"name\0text"), png_chunk(b"zTXt", b"name\0\0" + zlib.compress(b"text")))
    for text in texts:
        np.testing.assert_array_equal(decode(_with_chunks(data, *[text] * 9_000)), picture())
        with pytest.raises(ImageError, match="too many chunks"):
            decode(_with_chunks(data, *[text] * 10_001))
    empty = png_chunk(b"IDAT", b"")
    np.testing.assert_array_equal(decode(_with_chunks(data, *[empty] * 20_000)), picture())
    with pytest.raises(ImageError, match="too many chunks"):
        decode(_with_chunks(data, *[empty] * 1_000_001))


def test_ancillary_chunks_are_removed_if_they_could_take_memory() -> None:
    data = encode(picture(), ".png")
    text = png_chunk(b"zTXt", b"name\0\0" + zlib.compress(b"text"))
    assert png_module.read_header(_with_chunks(data, *[text] * 4)).is_plain
    for chunks in ([text] * 5, [png_chunk(b"tEXt", bytes(2_000_000))], [png_chunk(b"gAMA", b"")] * 99):
        assert not png_module.read_header(_with_chunks(data, *chunks)).is_plain
    # Transparency stays.
    row = bytes((10, 20, 30, 40, 50, 60))
    see_through = png(2, 1, 8, 2, [row], png_chunk(b"tRNS", struct.pack(">HHH", 10, 20, 30)), *[text] * 5)
    assert decode(see_through).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_memory_is_estimated_from_the_header() -> None:
    rows = [bytes(8 * 40)] * 24
    assert png_module.read_header(png(40, 24, 16, 6, rows)).memory == 40 * 24 * (8 + 3)
    assert png_module.read_header(png(40, 24, 8, 0, rows)).memory == 40 * 24 * (1 + 3)
    large = png(10_000, 10_000, 16, 6, [b""])
    with pytest.raises(ImageMemoryError, match=r"1\.1 GB of memory"):
        decode(large)


@pytest.mark.parametrize("size", [(64, 64), (3000, 3000)])
def test_data_that_expand_after_the_last_row_are_not_decompressed_in_this_process(
    size: tuple[int, int],
) -> None:
    packer = zlib.compressobj(9)
    rows = packer.compress(bytes(size[1] * (1 + 3 * size[0]))) + packer.flush(zlib.Z_FULL_FLUSH)
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows + 3000 * megabyte), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert not is_quick(data)
    with pytest.raises(ImageHereError, match="longer than 1 second"):
        decode(data, limits=DecodeLimits(seconds=1))


def test_a_large_compressed_photo_is_decoded_in_this_process() -> None:
    noise = np.random.default_rng(0).integers(0, 64, (1000, 1000, 3), np.uint8)
    data = encode(noise, ".png")
    assert len(data) > 1 << 20
    assert is_quick(data)
    assert png_module.read_header(data).seconds == pytest.approx(1e-8 * (noise.size + len(data)))


@pytest.mark.parametrize("kind", [b"IEND", b"IDAT", b"tEXt"])
def test_the_length_of_a_chunk_takes_no_memory(kind: bytes) -> None:
    data = encode(picture(), ".png")
    text = png_chunk(b"tEXt", b"name\0text")
    data = data[:33] + text + data[33:]
    at = data.index(kind) - 4
    with pytest.raises(ImageError, match=r"^truncated or damaged PNG image$"):
        decode(data[:at] + b"\xe4" + data[at + 1 :])
