"""Decoding: pixels, limits of size and memory, missing packages, and damaged files."""

from __future__ import annotations

import csv
import hashlib
import random
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from encoded import (
    BIG,
    CMYK_JPEG,
    assert_rgb,
    difference,
    dng,
    encode,
    exif,
    gif,
    jpeg,
    jpeg_with_app1,
    mutated,
    needs_gif,
    picture,
    png_chunk,
    save,
    tiff,
)

from arcage.cache import Cache, ShardWriter
from arcage.errors import ImageError, ImageExtraError, ImageHereError, ImageMemoryError
from arcage.images.decoder import decode, is_out_of_memory, is_quick
from arcage.images.limits import DecodeLimits


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff"])
def test_lossless_formats_give_the_exact_pixels(suffix: str) -> None:
    options = (cv2.IMWRITE_WEBP_QUALITY, 101) if suffix == ".webp" else ()
    image = decode(encode(picture(), suffix, *options))
    assert_rgb(image)
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp", pytest.param(".gif", marks=needs_gif)]
)
def test_one_pixel(suffix: str) -> None:
    dot = np.full((1, 1, 3), 200, np.uint8)
    data = gif(1, 1, b"\0", b"\xc8\xc8\xc8") if suffix == ".gif" else encode(dot, suffix)
    image = decode(data)
    assert_rgb(image)
    assert difference(image, dot) <= 3


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


def test_is_quick_tells_what_runs_in_this_process_or_is_refused() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    assert [is_quick(encode(picture, kind)) for kind in (".png", ".jpg", ".webp")] == [True] * 3
    assert not is_quick(encode(picture, ".tiff"))
    assert is_quick(b"text")
    assert is_quick(encode(picture, ".png"), DecodeLimits(pixels=10))


def test_the_limit_itself_is_allowed() -> None:
    data = encode(picture(10, 10), ".png")
    assert decode(data, limits=DecodeLimits(pixels=100)).shape == (10, 10, 3)
    with pytest.raises(ImageError, match="too large: 100 pixels, the limit is 99"):
        decode(data, limits=DecodeLimits(pixels=99))


def bomb(side: int = 20_000) -> bytes:
    """Return a valid PNG of side x side pixels in a few KB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    packed = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def test_a_png_bomb_is_refused_at_once_without_memory() -> None:
    data = bomb()
    assert len(data) < 100_000
    # In a new process, because the peak of this one may already be high, and tracemalloc does not see OpenCV.
    script = """
import resource, sys, time
from arcage.errors import ImageError
from arcage.images.decoder import decode
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


def test_lack_of_memory_is_not_reported_as_damage() -> None:
    resource = pytest.importorskip("resource", reason="POSIX only")
    data = bomb(9_000)
    # The stored samples need 81 MB. With more memory, these fit, but not three bytes per pixel.
    script = """
import resource, sys
from arcage.errors import ImageMemoryError
from arcage.images.decoder import decode
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


def test_is_out_of_memory() -> None:
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
def test_the_size_limit_holds_for_every_format(kind: str) -> None:
    with pytest.raises(ImageError, match="too large") as caught:
        decode(oversized()[kind])
    pixels = int(re.sub(r"\D", "", str(caught.value).split(" pixels")[0]))
    assert pixels > DecodeLimits().pixels


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


def test_the_error_names_a_missing_extra(arcage: Callable[..., Any], tmp_path: Path, no_extras: None) -> None:
    (tmp_path / "a.dng").write_bytes(dng(jpeg(BIG)))
    (tmp_path / "b.heic").write_bytes(save(BIG, "HEIF"))
    result = arcage("predict", tmp_path)
    assert result.exit_code == 0
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["status"] for row in rows] == ["unreadable"] * 2
    assert rows[0]["error"].endswith("raw files need an extra: pip install 'arcage[formats]'")
    assert rows[1]["error"].endswith("HEIC needs an extra: pip install 'arcage[formats]'")


def test_a_missing_extra_is_not_cached(
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
    # The box is that of the JPEG.
    assert np.abs(found.faces[0].box - (177.9, 62.9, 268.5, 175.5)).max() < 4


def test_extras_are_imported_only_for_their_files(no_extras: None) -> None:
    assert_rgb(decode(jpeg(BIG)))
    assert_rgb(decode(encode(BIG, ".tiff")))
    assert issubclass(ImageExtraError, ImageHereError)


def test_the_limit_holds_for_netpbm_and_jpeg_2000() -> None:
    for data in (b"P5 160 96 255\n" + bytes(160 * 96), encode(BIG, ".jp2")):
        with pytest.raises(ImageError, match="too large: 15,360 pixels, the limit is 15,359"):
            decode(data, limits=DecodeLimits(pixels=15_359))


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


def test_the_package_offers_decode_and_loads_it_on_demand() -> None:
    code = (
        "import sys, arcage.images as images\n"
        "assert not {'numpy', 'cv2'} & set(sys.modules)\n"
        "from arcage.images.decoder import decode\n"
        "assert images.decode is decode\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory need Linux")
@pytest.mark.parametrize("suffix", [".avif", ".jp2", ".tiff", ".bmp"])
def test_a_worker_without_memory_does_not_report_damage(suffix: str) -> None:
    height = 3000 if suffix in (".avif", ".jp2") else 9000
    data = encode(np.zeros((height, 4000, 3), np.uint8), suffix)
    with pytest.raises(ImageMemoryError, match=r"more than 50 MB of memory: .*raise `max_memory`"):
        decode(data, limits=DecodeLimits(memory=50_000_000))
    with pytest.raises(ImageError) as caught:
        decode(encode(BIG, suffix)[:-300])
    assert type(caught.value) is ImageError


def test_what_takes_long_is_decoded_in_a_worker_process(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(BIG)
    used: list[str] = []

    def decode_in_cell(job: str, data: bytes, limits: DecodeLimits) -> Any:
        used.append(job)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr("arcage.images.decoder.decode_in_cell", decode_in_cell)
    assert decode(data).shape == BIG.shape
    assert not used
    monkeypatch.setattr("arcage.images.judge._MAX_SECONDS", -1)
    assert decode(data).shape == (1, 1, 3)
    assert used == ["arcage.images.decoder:decode_job"]
