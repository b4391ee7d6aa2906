"""The endpoint for one photo."""

from __future__ import annotations

import json
import re
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeExtractor, face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server, running  # noqa: E402

from arcage.app import api  # noqa: E402
from arcage.app.limits import Limits  # noqa: E402
from arcage.output.rows import COLUMNS  # noqa: E402

DOCS = (Path(__file__).parents[2] / "docs" / "guide" / "app.md").read_text("utf-8")


def test_the_rows_are_those_of_the_command_line(
    server: Server, arcage: Callable[..., Any], tmp_path: Path
) -> None:
    photo = image(face(30.26, 0.123456, box=(-3.04, 1, 20, 30)), face(70, 0.5))
    (tmp_path / "a.jpg").write_bytes(photo)
    printed = arcage("predict", tmp_path / "a.jpg", "--format", "jsonl").stdout
    expected = [{**json.loads(line), "path": "Ä & b.jpg"} for line in printed.splitlines()]
    assert server("/api/predict?name=%C3%84%20%26%20b.jpg", photo).rows == expected
    assert len(expected) == 2
    assert list(expected[0]) == list(COLUMNS)
    assert server.predict(photo).rows[0]["path"] == "-"


@pytest.mark.parametrize(
    ("photo", "status", "error"),
    [
        (image(), "no_face", None),
        (b"text, for certain", "unreadable", "text is not a supported image format"),
        (b"\xff\xd8\xff\xe0", "unreadable", "truncated or damaged JPEG"),
    ],
)
def test_a_photo_without_a_face_is_a_row(
    server: Server, photo: bytes, status: str, error: str | None
) -> None:
    (row,) = server.predict(photo).rows
    assert row["status"] == status
    assert row["face"] is row["age"] is row["gender"] is None
    assert error is None if row["error"] is None else row["error"].startswith(error)


def test_a_picture_that_is_too_large_is_never_decoded(server: Server) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    (row,) = server.predict(png).rows
    assert row["status"] == "unreadable"
    assert "3,600,000,000 pixels, the limit is 100,000,000" in row["error"]


def test_a_picture_is_returned_on_request(server: Server, photo: bytes) -> None:
    import base64

    from arcage.images.decoder import decode

    (row,) = server("/api/predict?pictures=1", photo).rows
    picture = row["picture"]
    assert (picture["width"], picture["height"]) == (512, 512)
    assert decode(base64.b64decode(picture["jpeg"])).shape == (512, 512, 3)
    assert "picture" not in server.predict(photo).rows[0]
    assert "picture" not in server("/api/predict?pictures=1", b"text").rows[0]


def test_about(server: Server) -> None:
    about = server("/api").json
    assert about["columns"] == list(COLUMNS)
    assert about["limits"]["photo_bytes"] == 64 << 20
    assert about["decimals"]["p_female"] == 4


def test_requests_wait_for_memory(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.2)
    with running(Limits(uploads_bytes=150)) as server, ThreadPoolExecutor(3) as pool:
        answers = pool.map(server.predict, [image(face(age)) for age in (20, 30, 40)])
        assert [answer.rows[0]["age"] for answer in answers] == [20, 30, 40]


def test_photos_that_take_long_do_not_delay_others(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.1)
    slow, quick = image(face(70)), image(face(20))
    monkeypatch.setattr(api, "is_quick", lambda data, limits: data == quick)
    with running() as server, ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(server.predict, slow) for _ in range(40)]
        time.sleep(0.3)
        assert server.predict(quick).rows[0]["age"] == 20
        assert sum(answer.done() for answer in answers) < 20  # all others take at least 2 seconds
        assert [answer.result().rows[0]["age"] for answer in answers] == [70] * 40


def test_the_documented_example_is_the_response(bundled: None, photo: bytes, compiled: Path) -> None:
    shown = re.search(r"```json\n(.*?)\n```", DOCS, re.DOTALL)
    assert shown is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        with running(device="cpu") as server:
            answer = server("/api/predict?name=astronaut.jpg", photo).rows
    for documented, seen in zip(json.loads(shown[1])["rows"], answer, strict=True):
        assert list(documented) == list(seen)
        for name, value in documented.items():
            # Processors with and without bfloat16 differ by some tenths of a year.
            if isinstance(value, float):
                assert seen[name] == pytest.approx(value, rel=0.03, abs=0.03)
            else:
                assert seen[name] == value
