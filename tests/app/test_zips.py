"""Zips: limits, odd members and damage."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zipfile

import pytest
from fakes import face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import MEMBERS, Server, zipped  # noqa: E402

from arcage.app.zips import ZipError, photos_in  # noqa: E402
from arcage.errors import ImageError  # noqa: E402


def test_members_that_are_not_unpacked(tiny: Server) -> None:
    encrypted = bytearray(zipped({"a.jpg": image(face())}))
    for at in (6, encrypted.rindex(b"PK\1\2") + 8):
        encrypted[at] |= 1
    for data, error in [
        (bytes(encrypted), "encrypted"),
        (zipped({"a.jpg": image(face())}, zipfile.ZIP_LZMA), "other than deflate"),
        (zipped({"a.jpg": image(face())}, zipfile.ZIP_BZIP2), "other than deflate"),
        (zipped({"a.jpg": bytes(20_001)}), "too large: 20,001 bytes, the limit is 20,000"),
    ]:
        (row,) = tiny.batch(data).rows
        assert row["status"] == "unreadable"
        assert error in row["error"]


def test_a_member_without_a_name() -> None:
    photo = image(face())
    data = zipped({"a": b"x", "b.jpg": photo})
    at = data.index(b"PK\1\2")
    entry = bytearray(data[at : at + 47])
    entry[28:30] = b"\0\0"  # the length of the name, which becomes the first byte of a comment
    entry[32:34] = b"\1\0"
    (found,) = photos_in(data[:at] + entry + data[at + 47 :], most=9, bytes_each=99_999, bytes_all=99_999)
    assert (found.name, found.read()) == ("b.jpg", photo)


def test_a_member_that_lies_about_its_size() -> None:
    raw = bytearray(zipped({"a.jpg": bytes(100 << 20)}))
    for at in (22, raw.rindex(b"PK\1\2") + 24):
        raw[at : at + 4] = struct.pack("<I", 100)
    (photo,) = photos_in(bytes(raw), most=1, bytes_each=1000, bytes_all=1000)
    tracemalloc.start()
    with pytest.raises(ImageError, match="damaged in the zip"):
        photo.read()
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "status", "error"),
    [
        (b"", 400, "not a zip"),
        (b"PK\3\4 and so on", 400, "not a zip"),
        (zipped({}), 400, "no photo"),
        (zipped({"a.txt": b"text"}), 400, "no photo"),
        (zipped({f"{i}.jpg": b"" for i in range(21)}), 413, "21 photos in this zip, the limit is 20"),
        (zipped({f"{i}.jpg": bytes(20_000) for i in range(4)}), 413, "80,000 bytes, the limit is 60,000"),
        (bytes(100_001), 413, "the limit is 100,000 bytes"),
    ],
)
def test_a_zip_that_is_refused(tiny: Server, data: bytes, status: int, error: str) -> None:
    answer = tiny.batch(data)
    assert answer.status == status
    assert error in answer.error
    assert tiny.batch(zipped({"a.jpg": image(face())})).status == 200


def test_a_zip_with_a_long_list_of_members_is_refused_before_the_list_is_read() -> None:
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    directory = entry * 1_000_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), 0, 0)
    start = time.monotonic()
    with pytest.raises(ZipError, match="too many members"):
        photos_in(directory + end, most=1000, bytes_each=1000, bytes_all=10_000)
    assert time.monotonic() - start < 1


def test_damaged_zips_get_a_response(tiny: Server) -> None:
    whole = zipped(MEMBERS)
    rng = random.Random(0)
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        data = bytes(broken[: rng.choice([len(broken), rng.randrange(len(broken))])])
        answer = tiny.batch(data)
        assert answer.status in (200, 400, 413), answer.body
        if answer.status == 200:
            assert all(row["status"] in ("ok", "no_face", "unreadable") for row in answer.rows)
