"""Files that are not supported are named, with advice."""

from __future__ import annotations

import csv
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoded import BIG, encode

from arcage.errors import ImageError
from arcage.images.decoder import decode


@pytest.mark.parametrize(
    "data", [b"just some text\n" * 20, b"BMW drivers wanted, apply within", b"BM", b"GIF88a"]
)
def test_text_is_recognised(data: bytes) -> None:
    with pytest.raises(
        ImageError, match=r"^text is not a supported image format: a list of images is read with"
    ):
        decode(data)


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
def test_the_error_names_an_unsupported_format(data: bytes, name: str) -> None:
    with pytest.raises(
        ImageError, match=f"^{name} is not a supported image format: convert it to PNG or JPEG$"
    ):
        decode(data)


def test_the_error_names_a_video() -> None:
    for data in (b"\0\0\0\x18ftypisom" + bytes(30), b"\x1a\x45\xdf\xa3" + bytes(30), b"RIFF\0\1\0\0AVI LIST"):
        with pytest.raises(
            ImageError, match=r"^a video is not a supported image format: end its name in \.mp4"
        ):
            decode(data)


def test_a_folder_of_other_formats_does_not_look_empty(arcage: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.PGM").write_bytes(b"P5 60 40 255\n" + bytes(2400))
    (tmp_path / "b.jp2").write_bytes(encode(BIG, ".jp2"))
    (tmp_path / "c.psd").write_bytes(b"8BPS\0\1" + bytes(20))
    (tmp_path / "d.jxl").write_bytes(b"\xff\x0a" + bytes(20))
    result = arcage("predict", tmp_path)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["status"] for row in rows] == ["ok", "ok", "unreadable", "unreadable"]
    assert rows[2]["error"] == "a Photoshop file is not a supported image format: convert it to PNG or JPEG"
    assert rows[3]["error"] == "JPEG XL is not a supported image format: convert it to PNG or JPEG"
