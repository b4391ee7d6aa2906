"""The endpoint for one photo."""

from __future__ import annotations

import json
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
from appserver import FIELD, FILE, MULTIPART, TINY, Server, form, running  # noqa: E402

from arcage.app import api  # noqa: E402
from arcage.app.limits import Limits  # noqa: E402
from arcage.output.rows import COLUMNS  # noqa: E402


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


def test_options_of_a_request(server: Server) -> None:
    photo = image(face(20, 0.9, (0, 0, 10, 10), 0.99), face(40, 0.3, (300, 0, 640, 480), 0.9))
    rows = server.predict(photo).rows
    assert [(row["age"], row["gender"]) for row in rows] == [(20, "female"), (40, "male")]
    (row,) = server("/api/predict?faces=largest&interval=80&under=18&under=60", photo).rows
    assert (row["age"], row["age_low"], row["age_high"]) == (40, 32, 48)
    assert list(row) == [*COLUMNS, "p_under_18", "p_under_60"]
    assert row["p_under_18"] < 0.01 < 0.99 < row["p_under_60"]
    (row,) = server("/api/predict?min_score=0.95&max_width=5&min_confidence=0.95", photo).rows
    assert (row["faces"], row["age"], row["age_low"], row["gender"]) == (1, None, 15, None)
    (row,) = server("/api/predict?under=18", image()).rows
    assert (row["status"], row["p_under_18"]) == ("no_face", None)
    # The next request has the defaults again.
    assert server.predict(photo).rows == rows


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("min_confidance=0.9", "there is no option 'min_confidance': the options are faces, min_score, "),
        ("faces=first", "faces is one of all, largest, center, not 'first'"),
        ("interval=0", "interval is between 1 and 99.6, not 0"),
        # The heads of the fake pipeline lack this measure.
        ("min_familiarity=0.1", "`min_familiarity` needs a measure of familiarity"),
    ],
)
def test_options_that_are_refused(server: Server, query: str, error: str) -> None:
    for path in ("predict", "batch"):
        answer = server(f"/api/{path}?{query}", image(face()))
        assert answer.status == 422
        assert answer.error.startswith(error)


def test_several_photos_in_one_form(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.02)

    def part(name: str, data: bytes) -> tuple[str, bytes]:
        return FILE.replace("a.jpg", name), data

    photos = [image(face(20 + i), face(60 + i)) for i in range(10)]
    parts = [part(f"{i}.jpg", data) for i, data in enumerate(photos)]
    body = form(FIELD, *parts, part("empty.jpg", b""), part("2.jpg", image()), part("", image(face(9))))
    rows = server("/api/predict?under=18", body, Content_Type=MULTIPART).rows
    expected = [(f"{i}.jpg", age + i) for i in range(10) for age in (20, 60)]
    others: list[Any] = [("empty.jpg", None), ("2.jpg", None), ("-", 9)]
    assert [(row["path"], row["age"]) for row in rows] == expected + others
    assert [row["status"] for row in rows[-3:]] == ["unreadable", "no_face", "ok"]
    assert server("/api/predict?under=18&name=b.jpg", body, Content_Type=MULTIPART).rows == rows
    answer = server.batch(body, Content_Type=MULTIPART)
    assert (answer.status, answer.error) == (400, "this form contains 13 files: send one zip per request")


def test_the_photos_of_a_form_have_the_limit_of_one(tiny: Server) -> None:
    def sent(*sizes: int) -> int:
        parts = [(FILE, image(face(30)).ljust(size)) for size in sizes]
        return tiny.predict(form(*parts), Content_Type=MULTIPART).status

    assert TINY.photo_bytes == 20_000
    assert sent(10_000, 10_000) == 200
    assert sent(10_000, 10_001) == 413


def test_many_requests_at_once(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, answers belong to their requests, and what does not fit into the queue is refused."""
    monkeypatch.setattr(FakeExtractor, "delay", 0.02)
    with running() as server, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda i: server.predict(image(face(20 + i))), range(50)))
        assert [answer.rows[0]["age"] for answer in answers] == [20.0 + i for i in range(50)]
    with running(Limits(waiting=5)) as server, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda i: server.predict(image(face(20 + i))), range(50)))
        refused = [answer for answer in answers if answer.status != 200]
        assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(503, "5")}
        assert 3 <= len(answers) - len(refused) < 50
        assert server.predict(image(face(33))).rows[0]["age"] == 33


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
