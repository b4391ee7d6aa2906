"""HEIC, AVIF, raw files, animations and pages: the right picture, upright, or a row that says why not."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from encoded import STORED, assert_rgb, difference, encode, gif, jpeg, mutated, picture, png_chunk

from arcage.cache import Cache, ShardWriter
from arcage.errors import ImageError, ImageExtraError, ImageHereError
from arcage.images import heif, raw
from arcage.images.decode import decode
from arcage.images.multi_frame import is_multi_frame
from arcage.sources.walk import walk

BIG = picture(96, 160)


def save(rgb: np.ndarray, format_: str, mode: str | None = None, **options: Any) -> bytes:
    """Encode with Pillow."""
    image = pytest.importorskip("PIL.Image").fromarray(rgb)
    if format_ == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, format_, **options)
    return file.getvalue()


def oriented(rgb: np.ndarray, orientation: int, format_: str) -> bytes:
    exif = pytest.importorskip("PIL.Image").Exif()
    exif[274] = orientation
    return save(rgb, format_, exif=exif.tobytes(), quality=95)


def dng(preview: bytes, orientation: int = 1, order: str = "<", **tags: int) -> bytes:
    """A raw file: a preview of 160 x 96 in the first directory, 48 x 32 samples of a sensor in another."""
    sensor = np.random.default_rng(0).integers(0, 1023, (32, 48)).astype(order + "u2").tobytes()
    matrix = struct.pack(order + "18i", *(v for i in range(9) for v in (10_000 * (i % 4 == 0), 10_000)))
    blobs = [b"Acme\0\0", b"Acme One\0\0", struct.pack(order + "3H", 8, 8, 8), matrix, sensor, preview]
    first, second, entries = 8, 8 + 2 + 12 * 17 + 4, (17, 13)
    at = second + 2 + 12 * entries[1] + 4
    make, model, bits, colours, samples, jpeg_at = (
        at + sum(len(blob) for blob in blobs[:i]) for i in range(len(blobs))
    )

    def directory(*fields: tuple[int, int, int, Any]) -> bytes:
        body = b""
        for tag, kind, count, value in fields:
            code = {1: "B", 2: "I", 3: "H", 4: "I", 10: "I"}[kind]
            values = value if isinstance(value, tuple) else (value,)
            if isinstance(value, int) and count > 1:  # the place of the values
                code = "I"
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            body += struct.pack(order + "HHI", tag, kind, count) + packed.ljust(4, b"\0")
        return struct.pack(order + "H", len(fields)) + body + bytes(4)

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    return b"".join(
        (
            head,
            directory(
                *((254, 4, 1, 1), (256, 4, 1, 160), (257, 4, 1, 96), (258, 3, 3, bits), (259, 3, 1, 7)),
                *((262, 3, 1, 6), (271, 2, 5, make), (272, 2, 9, model), (273, 4, 1, jpeg_at)),
                *((274, 3, 1, orientation), (277, 3, 1, 3), (278, 4, 1, 96), (279, 4, 1, len(preview))),
                *((330, 4, 1, second), (50706, 1, 4, (1, 4, 0, 0)), (50708, 2, 9, model)),
                (50721, 10, 9, colours),
            ),
            directory(
                *((254, 4, 1, 0), (256, 4, 1, 48), (257, 4, 1, 32), (258, 3, 1, 16), (259, 3, 1, 1)),
                *((262, 3, 1, 32803), (273, 4, 1, samples), (277, 3, 1, 1), (278, 4, 1, 32)),
                *((279, 4, 1, len(sensor)), (33421, 3, 2, (2, 2)), (33422, 1, 4, (0, 1, 1, 2))),
                (50717, 4, 1, 1023),
            ),
            *blobs,
        )
    )


@pytest.fixture
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pi_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, name, None)


# HEIC and AVIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_the_boxes_turn_the_picture_once(format_: str, orientation: int) -> None:
    if format_ == "HEIF":
        pytest.importorskip("pi_heif")
    stored = np.ascontiguousarray(STORED[orientation](BIG))
    data = oriented(stored, orientation, format_)
    image = decode(data)
    assert_rgb(image)
    assert difference(image, BIG) < 4
    header = heif.read_header(data)
    assert (header.orientation, header.width, header.height) == (orientation, *stored.shape[1::-1])


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_colours_grey_and_alpha(format_: str) -> None:
    if format_ == "HEIF":
        pytest.importorskip("pi_heif")
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, :32], halves[:, 32:] = (200, 60, 20), (20, 80, 220)
    assert difference(decode(save(halves, format_, quality=95)), halves) < 3
    grey = np.repeat(BIG[..., :1], 3, 2)
    assert difference(decode(save(BIG[..., 0], format_, quality=95)), grey) < 3
    alpha = np.dstack([halves, np.full((64, 64), 255, np.uint8)])
    alpha[:32, :, 3] = 0
    image = decode(save(alpha, format_, quality=95))
    assert image[:28].min() > 250
    assert difference(image[36:], halves[36:]) < 3


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_is_scaled(bits: int) -> None:
    deep = BIG[..., ::-1].astype(np.uint16) << (bits - 8)
    options = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100]
    data = cv2.imencode(".avif", deep, options)[1].tobytes()
    assert heif.read_header(data).depth == bits
    assert difference(decode(data), BIG) < 3


def test_deep_heic_is_scaled() -> None:
    pytest.importorskip("pi_heif")
    pillow_heif = pytest.importorskip("pillow_heif")
    deep = (BIG.astype(np.uint16) * 257).tobytes()
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (160, 96), deep).save(file, quality=95)
    assert difference(decode(file.getvalue()), BIG) < 4


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_size_is_known_before_decoding(format_: str, no_extras: None) -> None:
    data = save(BIG, format_)
    with pytest.raises(ImageError, match="too large: 15,360 pixels, the limit is 15,359"):
        decode(data, max_pixels=15_359)
    # A box that lies about the primary picture is found by the largest of them.
    at = data.index(b"ispe") + 8
    huge = data[:at] + struct.pack(">II", 60_000, 60_000) + data[at + 8 :]
    with pytest.raises(ImageError, match="too large: 3,600,000,000 pixels"):
        decode(huge)


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_cut_and_mutated_boxes_are_refused_or_decoded(format_: str) -> None:
    if format_ == "HEIF":
        pytest.importorskip("pi_heif")
    data = save(BIG, format_)
    for end in (13, 40, 120, len(data) // 2, len(data) - 5):
        with pytest.raises(ImageError, match=r"damaged (HEIC|AVIF) image"):
            decode(data[:end])
    chance = random.Random(format_)
    refused = 0
    for _ in range(200):
        try:
            assert_rgb(decode(mutated(data, chance)))
        except ImageError:
            refused += 1
    assert refused > 10


def test_boxes_without_end_and_without_number_are_refused() -> None:
    start = struct.pack(">I4s4sI", 16, b"ftyp", b"heic", 0)
    for body in (struct.pack(">I4s", 8, b"free") * 20_000, struct.pack(">I4s", 4, b"free"), b""):
        with pytest.raises(ImageError, match="damaged HEIC"):
            decode(start + body)


# Raw files


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_preview_of_a_raw_file(orientation: int, order: str) -> None:
    pytest.importorskip("rawpy")
    stored = np.ascontiguousarray(STORED[orientation](BIG))
    image = decode(dng(jpeg(stored), orientation, order))
    assert_rgb(image)
    assert difference(image, BIG) < 4


def test_a_preview_that_is_turned_by_its_own_exif_is_not_turned_twice() -> None:
    pytest.importorskip("rawpy")
    stored = np.ascontiguousarray(STORED[6](BIG))
    assert difference(decode(dng(oriented(stored, 6, "JPEG"), 6)), BIG) < 4


def test_the_limit_holds_for_a_preview() -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(ImageError, match="too large: 15,360 pixels"):
        decode(dng(jpeg(BIG)), max_pixels=15_000)


def test_damaged_raw_files_are_refused() -> None:
    pytest.importorskip("rawpy")
    data = dng(jpeg(BIG))
    decode(data)  # leaves its preview in memory, where the next one's missing end may be taken from
    with pytest.raises(ImageError, match="damaged raw file: its preview is cut off"):
        decode(data[:-200])
    with pytest.raises(ImageError, match="damaged TIFF image"):
        decode(data[:300])
    with pytest.raises(ImageError, match="raw file"):
        decode(b"FUJIFILMCCD-RAW 0201" + bytes(300))
    chance = random.Random(1)
    refused = 0
    for _ in range(200):
        try:
            assert_rgb(decode(mutated(data, chance)))
        except ImageError:
            refused += 1
    assert refused > 10


def test_raw_files_are_told_from_tiff_by_their_content() -> None:
    assert raw.is_raw(dng(jpeg(BIG)))
    assert raw.is_raw(b"II*\0\x10\0\0\0CR\x02\0")
    assert raw.is_raw(b"\0\0\0\x18ftypcrx \0\0\0\1")
    assert raw.is_raw(b"IIU\0\x08\0\0\0")
    for data in (encode(BIG, ".tiff"), jpeg(BIG), encode(BIG, ".png"), b"", b"II*\0"):
        assert not raw.is_raw(data)


# TIFF


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_cmyk_tiff(compression: str | None) -> None:
    assert difference(decode(save(BIG, "TIFF", "CMYK", compression=compression)), BIG) < 4


def test_the_first_page_of_a_tiff() -> None:
    image = pytest.importorskip("PIL.Image").fromarray(BIG[::-1].copy())
    data = save(BIG, "TIFF", save_all=True, append_images=[image])
    np.testing.assert_array_equal(decode(data), BIG)
    assert is_multi_frame(data)
    assert not is_multi_frame(save(BIG, "TIFF"))


# Animations


@pytest.mark.parametrize(
    ("format_", "options"),
    [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {"quality": 95})],
)
def test_the_first_picture_of_an_animation(format_: str, options: dict[str, Any]) -> None:
    image = pytest.importorskip("PIL.Image").fromarray(BIG[:, ::-1].copy())
    data = save(BIG, format_, save_all=True, append_images=[image], duration=100, **options)
    assert difference(decode(data), BIG) < 12  # a GIF has 256 colours
    assert is_multi_frame(data)
    assert not is_multi_frame(save(BIG, format_, **options))


def test_damaged_animations_count_as_one_picture() -> None:
    sound = gif(30, 20, bytes(600), b"abc")
    assert not is_multi_frame(sound)
    two = sound[:-1] + sound[sound.index(b"\x2c") :]
    assert is_multi_frame(two)
    still = (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", bytes(13)) + png_chunk(b"acTL", struct.pack(">II", 1, 0))
    )
    for data in (
        b"",
        b"GIF89a",
        two[:50],
        two[: len(sound) - 1],
        still,
        still[:20],
        b"II*\0\xff\xff\xff\xff",
    ):
        assert not is_multi_frame(data)


def test_it_is_said_that_only_the_first_picture_was_read(arcage: Callable[..., Any], tmp_path: Path) -> None:
    sound = gif(30, 20, bytes(600), b"abc")
    (tmp_path / "a.gif").write_bytes(sound[:-1] + sound[sound.index(b"\x2c") :])
    (tmp_path / "b.gif").write_bytes(sound)
    cache = tmp_path / "cache"
    for _ in range(2):  # the second time out of the cache
        result = arcage("predict", tmp_path / "a.gif", tmp_path / "b.gif", "--cache", cache)
        assert (
            "an image has more than one picture (an animation or pages): the first was read" in result.stderr
        )
        assert len(result.stdout.splitlines()) == 3
    assert "more than one" not in arcage("predict", tmp_path / "b.gif").stderr
    assert "more than one" in arcage("extract", tmp_path / "a.gif", "--cache", tmp_path / "new").stderr


# Without the extra


def test_without_the_extra_the_row_names_it(
    arcage: Callable[..., Any], tmp_path: Path, no_extras: None
) -> None:
    (tmp_path / "a.dng").write_bytes(dng(jpeg(BIG)))
    (tmp_path / "b.heic").write_bytes(save(BIG, "HEIF"))
    result = arcage("predict", tmp_path)
    assert result.exit_code == 0
    rows = result.stdout.splitlines()[1:]
    assert [row.rsplit(",", 2)[1] for row in rows] == ["unreadable"] * 2
    assert rows[0].endswith("raw files need an extra: pip install 'arcage[formats]'")
    assert rows[1].endswith("HEIC needs an extra: pip install 'arcage[formats]'")


def test_a_missing_extra_is_not_kept_in_a_cache(
    extractor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray
) -> None:
    pytest.importorskip("pi_heif")
    data = save(astronaut, "HEIF", quality=90)
    sha256 = hashlib.sha256(data).hexdigest()
    cache = Cache(tmp_path, extractor.fingerprint, dimension=extractor.dimension)
    with monkeypatch.context() as patch, ShardWriter(cache) as writer:
        patch.setitem(sys.modules, "pi_heif", None)
        image = extractor.extract(data)
        assert (image.status, image.sha256) == ("unreadable", "")
        assert "arcage[formats]" in image.error
        assert not writer.add(image)
    assert sha256 not in cache
    with ShardWriter(cache) as writer:
        writer.add(extractor.extract(data))
    found = cache.get(sha256)
    assert found is not None
    assert (found.status, len(found.faces)) == ("ok", 1)
    # The face is where it is in the JPEG.
    assert np.abs(found.faces[0].box - (177.9, 62.9, 268.5, 175.5)).max() < 4


def test_extras_are_imported_only_for_their_files(no_extras: None) -> None:
    assert_rgb(decode(jpeg(BIG)))
    assert_rgb(decode(encode(BIG, ".tiff")))
    assert issubclass(ImageExtraError, ImageHereError)


def test_folders_are_searched_for_them(tmp_path: Path) -> None:
    names = ["a.heic", "b.HEIF", "c.avif", "d.DNG", "e.cr2", "f.NEF", "g.arw", "h.cr3", "i.apng", "j.hif"]
    for name in (*names, "k.mp4", "l.txt"):
        (tmp_path / name).touch()
    assert [source.name for source in walk([tmp_path])] == names


# Netpbm and JPEG 2000


GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        b"P5 3 2 255\n" + GREY.tobytes(),
        b"P5\n# made by hand\n3 # columns\n2\n#\n5\n" + bytes(range(6)),
        b"P5\n3 2\n65535\n" + (GREY.astype(">u2") * 257).tobytes(),
        b"P2\n3 2\n5\n0 1 2\n3 4 5\n",
        b"P2 3 2 1000 0 200\n400 # half\n600 800 1000",
        b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" + GREY.tobytes(),
        b"P7\n# a comment\nDEPTH 1\nHEIGHT 2\nWIDTH 3\nMAXVAL 5\nENDHDR\n" + bytes(range(6)),
        b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 2\nMAXVAL 255\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n"
        + np.dstack([GREY, np.full_like(GREY, 255)]).tobytes(),
    ],
)
def test_grey_netpbm(data: bytes) -> None:
    image = decode(data)
    assert_rgb(image)
    assert image.tolist() == np.repeat(GREY[..., None], 3, 2).tolist()
    if data[:2] != b"P2":
        with pytest.raises(ImageError, match="truncated or damaged Netpbm image"):
            decode(data[:-1])


@pytest.mark.parametrize(
    "data",
    [
        b"P4\n# bits\n10 2\n\xa5\x40\x5a\x80",
        b"P1\n10 2\n1010010101\n01011010 1 0",
        b"P1 10 2 1 0 1 0 0 1 0 1 0 1 0101101010",
    ],
)
def test_bitmaps_of_netpbm(data: bytes) -> None:
    black = [[1, 0, 1, 0, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 1, 0, 1, 0, 1, 0]]
    assert decode(data).tolist() == [[[255 * (1 - bit)] * 3 for bit in row] for row in black]
    with pytest.raises(ImageError, match="truncated or damaged Netpbm image"):
        decode(data[:-1])


def test_colours_and_alpha_of_netpbm() -> None:
    np.testing.assert_array_equal(decode(b"P6 160 96 255\n" + BIG.tobytes()), BIG)
    np.testing.assert_array_equal(decode(b"P6 160 96 65535\n" + (BIG.astype(">u2") * 257).tobytes()), BIG)
    text = " ".join(str(value) for value in BIG.ravel()).encode()
    np.testing.assert_array_equal(decode(b"P3 160 96 255\n" + text), BIG)
    alpha = np.dstack([BIG, np.full((96, 160), 255, np.uint8)])
    alpha[:9, :, 3] = 0
    head = b"P7\nWIDTH 160\nHEIGHT 96\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
    image = decode(head + alpha.tobytes())
    assert image[:9].min() == 255
    np.testing.assert_array_equal(image[9:], BIG[9:])
    np.testing.assert_array_equal(decode(encode(BIG, ".ppm")), BIG)


@pytest.mark.parametrize(
    "data",
    [
        b"P5 3 2\n",
        b"P5 3 x 255\n" + bytes(6),
        b"P5 3 2 0\n" + bytes(6),
        b"P5 3 2 70000\n" + bytes(12),
        b"P5 0 2 255\n",
        b"P2 3 2 255\n0 1 2 3 4",
        b"P2 3 2 255\n0 1 2 3 4 x",
        b"P1 3 2 010 012",
        b"P7\nWIDTH 3\nENDHDR\n",
        b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 5\nMAXVAL 255\nENDHDR\n" + bytes(30),
        b"P7\nWIDTH 3\n",
    ],
)
def test_damaged_netpbm_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="damaged Netpbm image"):
        decode(data)


def test_the_limit_holds_for_netpbm_and_jpeg_2000() -> None:
    for data in (b"P5 160 96 255\n" + bytes(160 * 96), encode(BIG, ".jp2")):
        with pytest.raises(ImageError, match="too large: 15,360 pixels, the limit is 15,359"):
            decode(data, max_pixels=15_359)


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


def test_jpeg_2000_without_one_of_its_tiles_is_refused() -> None:
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


@pytest.mark.parametrize("name", ["ppm", "pgm", "jp2"])
def test_mutations_of_netpbm_and_jpeg_2000(name: str) -> None:
    data = encode(BIG[:64, :64, 0] if name == "pgm" else BIG[:64, :64], f".{name}")
    chance = random.Random(name)
    refused = 0
    for _ in range(300):
        try:
            assert_rgb(decode(mutated(data, chance)))
        except ImageError:
            refused += 1
    assert refused > 10


# Formats that are not read


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"8BPS\0\1" + bytes(20), "a Photoshop file"),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "JPEG XL"),
        (b"\xff\xd8\xff\xf7" + bytes(20), "JPEG-LS"),
        (b"II+\0\x08\0\0\0" + bytes(20), "BigTIFF"),
        (b"v/1\x01\2\0\0\0" + bytes(20), "OpenEXR"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n" + bytes(4), "Radiance HDR"),
        (b"PF\n1 1\n-1.0\n" + bytes(12), "PFM"),
        (b"\x59\xa6\x6a\x95" + bytes(28), "Sun raster"),
        (b"\0\0\1\0\1\0\x10\x10" + bytes(20), "a Windows icon"),
        (b"icns\0\0\1\0" + bytes(20), "an Apple icon"),
        (b"gimp xcf file\0" + bytes(20), "a GIMP file"),
        (b"\x0a\5\1\x08" + bytes(124), "PCX"),
        (b"qoif\0\0\0\1\0\0\0\1\3\0" + bytes(20), "QOI"),
        (b"\0\0\2" + bytes(9) + struct.pack("<HH", 4, 3) + b"\x18\0" + bytes(36), "TGA"),
        (b"\0\1\1\0\0\0\1\x18" + bytes(4) + struct.pack("<HH", 4, 3) + b"\x08\x20" + bytes(36), "TGA"),
        (bytes(128) + b"DICM" + bytes(20), "DICOM"),
    ],
)
def test_the_error_names_a_format_that_is_not_read(data: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=f"^{name}, which is not read: convert it to PNG or JPEG$"):
        decode(data)


def test_a_video_in_the_place_of_an_image_is_named() -> None:
    for data in (b"\0\0\0\x18ftypisom" + bytes(30), b"\x1a\x45\xdf\xa3" + bytes(30), b"RIFF\0\1\0\0AVI LIST"):
        with pytest.raises(ImageError, match=r"^a video, which is not read: end its name in \.mp4"):
            decode(data)


def test_a_folder_of_other_formats_does_not_look_empty(arcage: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.PGM").write_bytes(b"P5 60 40 255\n" + bytes(2400))
    (tmp_path / "b.jp2").write_bytes(encode(BIG, ".jp2"))
    (tmp_path / "c.psd").write_bytes(b"8BPS\0\1" + bytes(20))
    (tmp_path / "d.jxl").write_bytes(b"\xff\x0a" + bytes(20))
    result = arcage("predict", tmp_path)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["status"] for row in rows] == ["ok", "ok", "unreadable", "unreadable"]
    assert rows[2]["error"] == "a Photoshop file, which is not read: convert it to PNG or JPEG"
    assert rows[3]["error"] == "JPEG XL, which is not read: convert it to PNG or JPEG"
