"""The page's HTTP endpoint on a real server, with the fake pipeline: answers, limits, and who may ask."""

from __future__ import annotations

import errno
import http.client
import io
import json
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fakes import FakeExtractor, face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")

from arcage.app.forms import FormError, only_file  # noqa: E402
from arcage.app.guard import host_name  # noqa: E402
from arcage.app.server import Limits, make_app  # noqa: E402
from arcage.app.zips import ZipError, photos_in  # noqa: E402
from arcage.errors import DeviceError, ImageError  # noqa: E402
from arcage.images.decode import MAX_PIXELS  # noqa: E402
from arcage.output.rows import COLUMNS  # noqa: E402
from arcage.predictor import Predictor  # noqa: E402

PAGE = Path(__file__).parents[2] / "arcage" / "app"
DOCS = (Path(__file__).parents[2] / "docs" / "app.md").read_text("utf-8")
TINY = Limits(photo_bytes=20_000, zip_bytes=100_000, zip_photos=20, unpacked_bytes=60_000)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.body
        if self.headers["content-type"].startswith("application/json"):
            return self.json["rows"]  # type: ignore[no-any-return]
        return [json.loads(line) for line in self.body.decode().splitlines()]

    @property
    def error(self) -> str:
        assert self.status >= 400
        assert set(self.json) == {"error"}
        return str(self.json["error"])


class Server:
    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, path: str, body: Any = None, *, method: str | None = None, timeout: float = 30, **headers: str
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        finally:
            connection.close()

    def predict(self, photo: bytes, **headers: str) -> Answer:
        return self("/api/predict", photo, **headers)

    def batch(self, zipped: bytes, query: str = "", **headers: str) -> Answer:
        return self(f"/api/batch{query}", zipped, **headers)


@contextmanager
def running(
    limits: Limits | None = None, *, allowed: Iterable[str] = (), **arguments: Any
) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    names = map(host_name, allowed)
    app = make_app(Predictor(**arguments), {"localhost", "Nas"}, names, limits)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield Server(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def server(fake: None) -> Iterator[Server]:
    with running() as asked:
        yield asked


@pytest.fixture
def behind_a_proxy(fake: None) -> Iterator[Server]:
    names = ["nas.fritz.box", "Faces.example.org.", "arcage", "192.168.1.7", "fd00::5", "münchen.example"]
    with running(allowed=[*names, "*.example.net"]) as asked:
        yield asked


@pytest.fixture
def tiny(fake: None) -> Iterator[Server]:
    with running(TINY) as asked:
        yield asked


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return file.getvalue()


# Answers


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
        (b"text, for certain", "unreadable", "text, which is not read"),
        (b"\xff\xd8\xff\xe0", "unreadable", "truncated or damaged JPEG"),
    ],
)
def test_a_photo_without_an_answer_is_a_row(
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


def test_a_picture_comes_back_where_it_is_asked_for(server: Server, photo: bytes) -> None:
    import base64

    from arcage.images.decode import decode

    (row,) = server("/api/predict?pictures=1", photo).rows
    picture = row["picture"]
    assert (picture["width"], picture["height"]) == (512, 512)
    assert decode(base64.b64decode(picture["jpeg"])).shape == (512, 512, 3)
    assert "picture" not in server.predict(photo).rows[0]
    assert "picture" not in server("/api/predict?pictures=1", b"text").rows[0]


def test_ten_at_once_are_all_answered_right(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.05)
    photos = [image(*[face(20 + 5 * i, 0.1 * i)] * (1 + i % 3)) for i in range(10)]
    gate = threading.Barrier(10)

    def ask(i: int) -> list[dict[str, Any]]:
        gate.wait()
        return server(f"/api/predict?name={i}", photos[i]).rows

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    for i, rows in enumerate(answers):
        assert [(row["path"], row["age"]) for row in rows] == [(str(i), 20.0 + 5 * i)] * (1 + i % 3)


def test_ten_at_once_on_the_real_networks(bundled: None, photo: bytes, compiled: Path) -> None:
    import cv2
    import numpy as np

    from arcage.images.decode import decode

    pixels = cv2.cvtColor(decode(photo), cv2.COLOR_RGB2BGR)
    pictures = [pixels, pixels[:, ::-1], np.hstack([pixels, pixels]), pixels[:60], pixels[40:300, 100:350]]
    photos = [cv2.imencode(".png", picture)[1].tobytes() for picture in pictures] * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        alone = [Predictor(device="cpu").predict(photo) for photo in photos[:5]] * 2
        with running(device="cpu") as server, ThreadPoolExecutor(10) as pool:
            together = list(pool.map(lambda photo: server.predict(photo).rows, photos))
    assert [len(rows) for rows in alone[:3]] == [1, 1, 2]
    for rows, expected in zip(together, alone, strict=True):
        for row, prediction in zip(rows, expected, strict=True):
            assert row["status"] == prediction.status
            assert row["gender"] == prediction.gender
            if prediction.age is not None:
                assert row["age"] == pytest.approx(prediction.age, abs=0.1)
                assert row["x1"] == pytest.approx(prediction.x1, abs=0.1)


def test_about(server: Server) -> None:
    about = server("/api").json
    assert about["columns"] == list(COLUMNS)
    assert about["limits"]["photo_bytes"] == 64 << 20
    assert about["decimals"]["p_female"] == 4


# Forms, and what is no photo


def form(*parts: tuple[str, bytes], boundary: str = "XX", end: str = "--XX--\r\n") -> bytes:
    """A form of parts, each its headers and its content."""
    return (
        b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts)
        + end.encode()
    )


MULTIPART = "multipart/form-data; boundary=XX"
FILE = 'Content-Disposition: form-data; name="file"; filename="a.jpg"'
FIELD = ('Content-Disposition: form-data; name="user"', b"me")
TEXT = (
    "send the bytes of one photo as the body (curl --data-binary @photo.jpg) or in a form "
    "(curl -F file=@photo.jpg)"
)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (form((FILE, image(face(33)))), "a.jpg"),
        (form((f"{FILE}\r\nContent-Type: image/jpeg", image(face(33)))), "a.jpg"),
        (form((FILE.lower(), image(face(33)))), "a.jpg"),
        (form(FIELD, (FILE, image(face(33))), FIELD), "a.jpg"),
        (b"ignored\r\n" + form((FILE, image(face(33)))) + b"ignored\r\n", "a.jpg"),
        (form((FILE, image(face(33))), end="--XX--"), "a.jpg"),
        (form((FILE, image(face(33)))).replace(b"--XX\r\n", b"--XX \t\r\n"), "a.jpg"),
        (form((FILE.replace("a.jpg", "ä & b.jpg"), image(face(33)))), "ä & b.jpg"),
        (form((FILE.replace("a.jpg", '\\"q\\".jpg'), image(face(33)))), '"q".jpg'),
        (form((FILE.replace('filename="a.jpg"', "filename*=UTF-8''%C3%A4.jpg"), image(face(33)))), "ä.jpg"),
        # A part that is not text and has no file name, as some clients send it.
        (form(("Content-Disposition: form-data; name=x\r\nContent-Type: image/png", image(face(33)))), "-"),
    ],
)
def test_a_photo_in_a_form(server: Server, body: bytes, name: str) -> None:
    (row,) = server.predict(body, Content_Type=MULTIPART).rows
    assert (row["path"], row["age"]) == (name, 33)
    (row,) = server("/api/predict?name=b.jpg", body, Content_Type=MULTIPART).rows
    assert (row["path"], row["age"]) == ("b.jpg", 33)


def test_bytes_in_a_form_arrive_as_they_are() -> None:
    for data in (
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n--XXY",
        b"\r\n--XX-",
        b"\n--XX\n",
        bytes(range(256)) * 99,
    ):
        assert only_file(form((FILE, data)), MULTIPART) == ("a.jpg", data)
    with pytest.raises(FormError, match="truncated"):
        only_file(form((FILE, b"data"), end=""), MULTIPART)


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (form(FIELD), MULTIPART, "this form contains no file: curl needs an @ before the file name"),
        (form((FILE.replace("filename", "nickname"), b"photo.jpg")), MULTIPART, "this form contains no file"),
        (form(), MULTIPART, "this form contains no file"),
        (form((FILE.replace("a.jpg", ""), b"")), MULTIPART, "this form contains no file"),
        (
            form((FILE, b"1"), (FILE, b"2")),
            MULTIPART,
            "this form contains 2 files: send one per request, or all as a zip",
        ),
        (form(*[FIELD] * 101), MULTIPART, "this form has more than 100 fields"),
        (b"\r\n--XX" * 3000, MULTIPART, "this form has more than 100 fields"),
        (form((FILE, b"1"), end=""), MULTIPART, "this form is truncated"),
        (form((FILE, b"1"), boundary="YY"), MULTIPART, "this form contains no file"),
        (b"", MULTIPART, "this form is truncated"),
        (form((f"{FILE}\r\nContent-Transfer-Encoding: base64", b"AAAA")), MULTIPART, "encoded as text"),
        (form((FILE, b"1")), "multipart/form-data", "the Content-Type of this form has no boundary"),
    ],
)
def test_a_form_that_is_refused(tiny: Server, body: bytes, kind: str, error: str) -> None:
    for path in ("/api/predict", "/api/batch"):
        answer = tiny(path, body, Content_Type=kind)
        assert answer.status == 400
        assert answer.error.startswith(error) or error in answer.error


def test_a_form_has_the_limits_of_its_file(tiny: Server) -> None:
    def padded(size: int) -> bytes:
        return image(face(33)).ljust(size)

    assert tiny.predict(form((FILE, padded(20_000))), Content_Type=MULTIPART).rows[0]["age"] == 33
    for body in (form((FILE, padded(20_001))), form((FILE, padded(200_000)))):
        answer = tiny.predict(body, Content_Type=MULTIPART)
        assert (answer.status, answer.error) == (413, "too large: the limit is 20,000 bytes")
    chunked = tiny("/api/predict", iter([bytes(50_000)] * 2), Content_Type=MULTIPART)
    assert (chunked.status, chunked.error) == (413, "too large: the limit is 20,000 bytes")


def test_a_photo_in_a_form_that_cannot_be_read_is_a_row(server: Server) -> None:
    for data, error in ((b"", "empty file"), (b"text", "text, which is not read")):
        (row,) = server.predict(form((FILE, data)), Content_Type=MULTIPART).rows
        assert (row["path"], row["status"]) == ("a.jpg", "unreadable")
        assert row["error"].startswith(error)


def test_a_zip_in_a_form(server: Server) -> None:
    answer = server.batch(form((FILE, zipped(MEMBERS))), Content_Type=MULTIPART)
    assert [(row["path"], row["status"], row["age"]) for row in answer.rows] == ROWS


def test_damaged_forms_are_read_or_refused() -> None:
    whole = form(FIELD, (FILE, bytes(range(256))))
    rng = random.Random(0)
    refused = 0
    for _ in range(1000):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            broken[rng.randrange(len(broken))] = rng.choice(b"\r\n\"';=*\\%- \0\xff")
        try:
            name, data = only_file(bytes(broken), MULTIPART)
        except FormError:
            refused += 1
        else:
            assert len(name) + len(data) < len(whole)
            json.dumps(name, ensure_ascii=False).encode()
    assert 0 < refused < 1000


URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (
            b'{"image": "/9j/4AAQ"}',
            {"Content_Type": "application/json"},
            415,
            f"the body is text (application/json), not a photo: {TEXT}",
        ),
        (
            b"file=photo.jpg",
            {"Content_Type": URLENCODED},
            415,
            f"the body is text ({URLENCODED}), not a photo: {TEXT}",
        ),
        (
            "ä".encode() * 999,
            {"Content_Type": "text/plain; charset=utf-8"},
            415,
            f"the body is text (text/plain), not a photo: {TEXT}",
        ),
        (
            b"/9j/4AAQSkZJRg" * 99,
            {"Content_Type": "text/plain"},
            415,
            f"the body is text (text/plain), not a photo: {TEXT}",
        ),
        (b"data:image/jpeg;base64,/9j/4AAQ", {}, 415, f"the body is text (a data URL), not a photo: {TEXT}"),
        (b"", {}, 400, f"the body is empty: {TEXT}"),
        (b"", {"Content_Type": URLENCODED}, 400, f"the body is empty: {TEXT}"),
        (
            zipped({"a.jpg": b""}),
            {"Content_Type": "application/zip"},
            415,
            "this is a zip: send it to /api/batch",
        ),
        (
            b"\x1f\x8b",
            {"Content_Encoding": "gzip"},
            415,
            "the body is compressed (gzip): send it uncompressed",
        ),
    ],
)
def test_a_body_that_is_no_file(
    server: Server, body: bytes, headers: dict[str, str], status: int, error: str
) -> None:
    answer = server.predict(body, **headers)
    assert (answer.status, answer.error) == (status, error)


@pytest.mark.parametrize(
    "kind", ["", "image/jpeg", "application/octet-stream", URLENCODED, "application/json"]
)
def test_a_photo_is_answered_whatever_its_type_says(server: Server, photo: bytes, kind: str) -> None:
    assert server.predict(photo, Content_Type=kind).rows[0]["age"] == 30
    (row,) = server.predict(b"\xff\xd8\xff\xe0" + bytes(9), Content_Type=kind).rows
    assert row["status"] == "unreadable"


def test_a_client_that_waits_until_the_body_is_wanted(tiny: Server) -> None:
    def ask(size: int) -> tuple[bytes, socket.socket]:
        connection = socket.create_connection(("127.0.0.1", tiny.port), 10)
        head = f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(1000), connection

    body = image(face(33))
    told, connection = ask(len(body))
    with connection:
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200 OK")
    told, connection = ask(20_001)
    connection.close()
    assert told.startswith(b"HTTP/1.1 413")


# Zips


MEMBERS = {
    "b/2.jpg": image(face(20)),
    "b/10 <img src=x onerror=alert(1)>.JPG": image(face(30), face(40)),
    "a.png": image(),
    "../../etc/passwd.jpg": b"text",
    "notes.txt": b"text",
    ".hidden.jpg": image(face(1)),
    "b/.x/3.jpg": image(face(2)),
    "__MACOSX/b/2.jpg": b"a resource fork",
    "b/": b"",
}
ROWS = [
    ("a.png", "no_face", None),
    ("b/10 <img src=x onerror=alert(1)>.JPG", "ok", 30.0),
    ("b/10 <img src=x onerror=alert(1)>.JPG", "ok", 40.0),
    ("b/2.jpg", "ok", 20.0),
]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip(server: Server, method: int) -> None:
    answer = server.batch(zipped(MEMBERS, method))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [(row["path"], row["status"], row["age"]) for row in answer.rows] == ROWS
    assert list(answer.rows[0]) == list(COLUMNS)


def test_a_zip_as_csv_is_what_the_command_line_writes(
    server: Server, arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {'b/a "quoted", =1+1.jpg': image(face(20)), "b/ü.jpg": image(face(30)), "c.jpg": b""}
    for name, data in members.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    answer = server.batch(zipped(members), Accept="text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.body.decode() == arcage("predict", "b", "c.jpg", "--format", "csv").stdout


def test_pictures_of_a_zip(server: Server, photo: bytes) -> None:
    rows = server.batch(zipped({"a.jpg": photo, "b.jpg": b"text"}), "?pictures=1").rows
    assert rows[0]["picture"]["width"] == 512
    assert "picture" not in rows[1]


def test_names_that_macos_writes(server: Server) -> None:
    data = zipped({"é.jpg": image(face())})
    raw = bytearray(data)
    for at in (6, raw.rindex(b"PK\1\2") + 8):
        raw[at + 1] &= ~0x08  # no longer said to be UTF-8
    assert [row["path"] for row in server.batch(bytes(raw)).rows] == ["é.jpg"]


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


def test_damaged_zips_are_answered(tiny: Server) -> None:
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


def test_one_zip_at_a_time_and_its_place_is_free_when_nobody_listens(
    fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.1)
    data = zipped({f"{i:03}.jpg": image(face(i)) for i in range(1, 100)})
    with running(Limits(answer_seconds=2)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", "/api/batch", data)
        response = connection.getresponse()
        assert json.loads(response.readline())["path"] == "001.jpg"
        # Photos go in between the zip's; another zip has to wait.
        assert server.predict(image(face(50))).rows[0]["age"] == 50
        waited = server.batch(zipped({"a.jpg": image(face())}))
        assert waited.status == 503
        assert waited.headers["retry-after"]
        response.close()
        connection.close()
        assert server.batch(zipped({"a.jpg": image(face())})).rows[0]["path"] == "a.jpg"


# Limits


def test_a_body_that_is_too_large(tiny: Server) -> None:
    assert "the limit is 20,000 bytes" in tiny.predict(bytes(20_001)).error
    told = tiny("/api/predict", method="POST", Content_Length="99999999999")
    assert told.status == 413
    chunked = tiny("/api/predict", iter([bytes(15_000)] * 2))
    assert chunked.status == 413
    assert tiny.predict(image(face())).status == 200


def test_an_upload_that_stops(fake: None) -> None:
    with running(Limits(upload_seconds=0.2)) as server:
        answer = server("/api/predict", method="POST", Content_Length="100")
        assert answer.status == 408
        assert "0.2 seconds" in answer.error


def test_an_upload_that_breaks_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
    assert server.predict(image(face())).status == 200


def test_an_answer_that_takes_too_long(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.6)
    with running(Limits(answer_seconds=0.2)) as server:
        answer = server.predict(image(face()))
        assert answer.status == 503
        assert answer.headers["retry-after"]
        assert "try again" in answer.error
        rows = server.batch(zipped({"a.jpg": image(face())})).rows
        assert rows[0]["error"] == "no answer within 0.2 seconds"


def test_a_zip_that_takes_too_long_still_has_all_its_rows(
    fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.1)
    with running(Limits(zip_seconds=0.25)) as server:
        rows = server.batch(zipped({f"{i:02}.jpg": image(face(30)) for i in range(40)})).rows
    assert [row["path"] for row in rows] == [f"{i:02}.jpg" for i in range(40)]
    assert rows[0]["age"] == 30
    assert rows[-1]["error"] == "not looked at: all 0.25 seconds for one zip were over"


def test_those_who_wait_are_not_read(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.2)
    with running(Limits(photos_at_once=1)) as server, ThreadPoolExecutor(3) as pool:
        answers = pool.map(server.predict, [image(face(age)) for age in (20, 30, 40)])
        assert [answer.rows[0]["age"] for answer in answers] == [20, 30, 40]


def test_what_stands_in_the_way_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> Callable[[str], None]:
        def raised(sha256: str) -> None:
            raise error

        return staticmethod(raised)  # type: ignore[return-value]

    monkeypatch.setattr(FakeExtractor, "computed", fail(DeviceError("the device is gone: plug it in")))
    answer = server.predict(image(face()))
    assert (answer.status, answer.error) == (500, "the device is gone: plug it in")
    monkeypatch.setattr(FakeExtractor, "computed", fail(ZeroDivisionError("inside")))
    answer = server.predict(image(face()))
    assert answer.status == 500
    assert "inside" not in answer.error


# Who may ask


REFUSED_HOSTS = {
    "evil.example": "evil.example",
    "Evil.Example.:7860": "evil.example",
    "localhost.evil.example": "localhost.evil.example",
    "127.0.0.1.evil.example": "127.0.0.1.evil.example",
    "nas.evil.example": "nas.evil.example",
    "2130706433": "2130706433",
}


@pytest.mark.parametrize("host", REFUSED_HOSTS)
def test_a_name_that_is_not_ours(server: Server, host: str) -> None:
    for path in ("/", "/api"):
        answer = server(path, Host=host)
        assert answer.status == 421
        assert answer.error == (
            f"{REFUSED_HOSTS[host]} is not a known name of this server: open it by its IP address, or start "
            f"it with `arcage app --allow-host {REFUSED_HOSTS[host]}`"
        )


@pytest.mark.parametrize(
    "host",
    ["", "[::1", "@", "x@localhost", "localhost/", "localhost:7860:1", "[localhost]", "a b", "localhost.."],
)
def test_a_host_header_without_a_name(server: Server, host: str) -> None:
    answer = server("/", Host=host)
    assert answer.status == 421
    if host != "localhost..":
        assert answer.error == "the Host header is not a host name: open the address that arcage app printed"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:1", "localhost.", "localhost.:7860", "localhost:", "nas", "NAS:7860"),
        *("127.0.0.1:99", "127.0.0.1.", "192.168.1.7", "[::1]", "[::1]:7860", "[0:0:0:0:0:0:0:1]:7860"),
    ],
)
def test_names_and_addresses_that_are(server: Server, host: str) -> None:
    assert server("/api", Host=host).status == 200


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1"}, 200),
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1:80", "Sec_Fetch_Site": "same-origin"}, 200),
        ("127.0.0.1:443", {"Origin": "https://127.0.0.1"}, 200),
        ("LOCALHOST:7860", {"Origin": "http://localhost:7860"}, 200),
        ("[::1]:7860", {"Origin": "http://[::1]:7860"}, 200),
        # Another server on this machine.
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1:81"}, 403),
        ("127.0.0.1", {"Origin": "http://127.0.0.1:7860"}, 403),
        ("127.0.0.1:7860", {"Origin": "http://localhost:7860"}, 403),
        ("localhost:7860", {"Origin": "http://localhost:8888"}, 403),
        ("nas:7860", {"Origin": "http://nas:8080"}, 403),
        ("127.0.0.1:80", {"Origin": "http://evil.example"}, 403),
        ("127.0.0.1:80", {"Origin": "http://127.0.0.1@evil.example"}, 403),
        ("127.0.0.1:80", {"Origin": "null"}, 403),
        ("127.0.0.1:80", {"Origin": ""}, 403),
        ("127.0.0.1:80", {"Origin": "file://"}, 403),
        ("127.0.0.1:80", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("127.0.0.1:80", {"Sec_Fetch_Site": "same-site"}, 403),
        # Forwarding headers of a client are ignored.
        ("127.0.0.1", {"Origin": "http://evil.example", "X_Forwarded_Host": "evil.example"}, 403),
        ("evil.example", {"Origin": "http://evil.example", "X_Forwarded_Host": "127.0.0.1"}, 421),
        ("evil.example", {"Origin": "http://127.0.0.1", "Forwarded": "host=127.0.0.1"}, 421),
    ],
)
def test_pages_of_other_sites_may_not_ask(
    server: Server, host: str, headers: dict[str, str], status: int
) -> None:
    assert server.predict(image(face()), Host=host, **headers).status == status


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        # By a name in the network.
        ("nas.fritz.box:7860", {}, 200),
        ("NAS.fritz.box.:7860", {"Origin": "http://nas.fritz.box:7860"}, 200),
        # Behind a proxy that passes its name, changes it, or passes another port.
        ("faces.example.org", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "same-origin"}, 200),
        ("127.0.0.1:7860", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "same-origin"}, 200),
        ("localhost:7860", {"Origin": "https://Faces.Example.org:8443"}, 200),
        ("faces.example.org:80", {"Origin": "https://faces.example.org:8443"}, 200),
        (
            "arcage:7860",
            {"Origin": "https://faces.example.org", "X_Forwarded_Host": "faces.example.org"},
            200,
        ),
        ("127.0.0.1:7860", {"Origin": "https://192.168.1.7:8443"}, 200),
        ("127.0.0.1:7860", {"Origin": "https://[fd00:0::5]"}, 200),
        ("a.b.example.net", {"Origin": "https://c.example.net"}, 200),
        ("xn--mnchen-3ya.example", {}, 200),
        # Nothing else is allowed.
        ("example.org", {}, 421),
        ("evil.faces.example.org", {}, 421),
        ("faces.example.org.evil.example", {}, 421),
        ("evilexample.net", {}, 421),
        ("example.net", {}, 421),
        ("127.0.0.1:7860", {"Origin": "https://evil.example"}, 403),
        ("faces.example.org", {"Origin": "https://evil.example"}, 403),
        ("faces.example.org", {"Origin": "https://faces.example.org.evil.example"}, 403),
        ("faces.example.org", {"Origin": "https://example.net"}, 403),
        ("faces.example.org", {"Origin": "null"}, 403),
        ("127.0.0.1:7860", {"Origin": "https://192.168.1.8"}, 403),
        ("127.0.0.1:7860", {"Origin": "http://localhost:8888"}, 403),
        ("faces.example.org", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "cross-site"}, 403),
        ("faces.example.org", {"Origin": "https://faces.example.org", "Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_names_that_are_allowed(
    behind_a_proxy: Server, host: str, headers: dict[str, str], status: int
) -> None:
    assert behind_a_proxy.predict(image(face()), Host=host, **headers).status == status


def test_a_refusal_names_the_option(server: Server) -> None:
    answer = server.predict(image(face()), Host="127.0.0.1:7860", Origin="https://faces.example.org:8443")
    assert answer.status == 403
    assert answer.error == (
        "a page at https://faces.example.org:8443 may not send anything to 127.0.0.1:7860; if a proxy serves "
        "arcage at faces.example.org, start it with `arcage app --allow-host faces.example.org`"
    )


def test_a_refused_body_is_received_so_that_a_proxy_passes_the_refusal_on(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(
            b"POST /api/predict HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n"
        )
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1000)
        connection.settimeout(10)
        connection.sendall(bytes(1000))
        assert connection.recv(1000).startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("https://faces.example.org/", "is more than a host name: give faces.example.org"),
        ("faces.example.org:443", "is more than a host name: give faces.example.org"),
        ("faces.example.org/faces", "is more than a host name: give faces.example.org"),
        ("*", "is too wide"),
        ("*.com", "is too wide"),
        ("*.127.0.0.1", "is too wide"),
        ("", "is not a host name"),
        (".", "is not a host name"),
        ("a b", "is not a host name"),
        ("faces.*.org", "is not a host name"),
        ("*.*.org", "is too wide"),
    ],
)
def test_a_name_that_cannot_be_allowed(arcage: Callable[..., Any], name: str, words: str) -> None:
    done = arcage("app", "--port", 0, "--allow-host", "nas", "--allow-host", name)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"arcage: --allow-host {name} {words}")
    assert done.stdout == ""


def test_headers(server: Server) -> None:
    for path, kind in [("/", "text/html"), ("/page.js", "text/javascript"), ("/api", "application/json")]:
        answer = server(path)
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/page.html/../server.py", "GET", 404),
        ("/api/predict", "GET", 405),
        ("/api/batch", "GET", 405),
        ("/", "POST", 405),
    ],
)
def test_what_there_is_not(server: Server, path: str, method: str, status: int) -> None:
    answer = server(path, method=method)
    assert answer.status == status
    assert answer.error


def test_the_page_names_no_other_host() -> None:
    for name in ("page.html", "page.css", "page.js"):
        text = (PAGE / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.", text), name
    script = (PAGE / "page.js").read_text("utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
        assert word not in script


# The command


def test_the_command(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("app", "--port", 0)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)", url)[1])  # type: ignore[index]
        assert Server(port).predict(image(face(33))).rows[0]["age"] == 33
        taken = start("app", "--port", port)
        _, words = taken.communicate(timeout=30)
        assert taken.returncode == 3
        assert words.startswith(f"arcage: cannot listen on 127.0.0.1, port {port}: Address already in use")
        assert "--port" in words
    finally:
        process.send_signal(signal.SIGINT)
        out, words = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert words == "open this address in a browser; Ctrl-C ends it\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_request_that_hangs_does_not_hold_up_the_end(
    start: Callable[..., subprocess.Popen[str]], name: str
) -> None:
    process = start("app", "--port", 0)
    assert process.stdout is not None
    assert process.stderr is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    process.stderr.readline()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        assert Server(port)("/api").status == 200
        started = time.monotonic()
        process.send_signal(getattr(signal, name))
        out, words = process.communicate(timeout=30)
    assert time.monotonic() - started < 4  # one second for the request, and time to end on a busy machine
    assert (out, words) == ("", "")
    assert process.returncode in (0, 130, -signal.SIGTERM)


def test_others_are_let_in_with_a_warning(start: Callable[..., subprocess.Popen[str]]) -> None:
    names = ("--allow-host", "nas.fritz.box", "--allow-host", "faces.example.org")
    process = start("app", "--host", "0.0.0.0", "--port", 0, *names)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        server = Server(int(url.rpartition(":")[2]))
        assert server("/api", Host=socket.gethostname()).status == 200
        assert server("/api", Host="evil.example").status == 421
        assert server("/api", Host="nas.fritz.box").status == 200
        origin = {"Host": "127.0.0.1:7860", "Origin": "https://faces.example.org"}
        assert server.predict(image(face(33)), **origin).rows[0]["age"] == 33
    finally:
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=30)
    assert "there is no password" in words
    assert f"or as {socket.gethostname()}; --allow-host NAME adds another name\n" in words


@pytest.mark.parametrize("host", ["not-a-name.invalid", "1.2.3.4.5", "a" * 300])
def test_a_host_that_is_none(arcage: Callable[..., Any], host: str) -> None:
    done = arcage("app", "--host", host, "--port", 0)
    assert done.exit_code == 2
    assert f"--host {host} is not an address of this machine" in done.stderr


def test_an_address_of_another_machine(arcage: Callable[..., Any]) -> None:
    done = arcage("app", "--host", "192.0.2.1", "--port", 0)
    assert done.exit_code == 3
    assert done.stderr == (
        "arcage: cannot listen on 192.0.2.1, port 0: Cannot assign requested address; choose an address of "
        "this machine with --host\n"
    )


def test_a_port_that_needs_rights(arcage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    done = arcage("app", "--port", 80)
    assert done.exit_code == 3
    assert done.stderr == (
        "arcage: cannot listen on 127.0.0.1, port 80: Permission denied; choose a port of 1024 or above with "
        "--port\n"
    )


def test_what_stands_in_the_way_is_told_before_the_page_opens(arcage: Callable[..., Any]) -> None:
    assert arcage("app", "--port", 0, "--device", "cuda").exit_code == 3
    assert arcage("app", "--port", 0, "--heads", "nowhere").exit_code == 2


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_the_extra_is_missing(
    arcage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("arcage.app.server")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    done = arcage("app", "--port", 0)
    assert done.exit_code == 3
    assert "pip install 'arcage[app]'" in done.stderr
    assert done.stdout == ""


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv[1:] = ['app', '--help']\nfrom arcage.cli import main\ntry:\n    main()\n"
        "finally:\n    print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--host" in done.stdout
    assert not {"numpy", "cv2", "openvino", "starlette", "uvicorn", "anyio"} & set(done.stderr.split())


# Its documentation


def test_the_example_is_what_the_server_answers(bundled: None, photo: bytes, compiled: Path) -> None:
    shown = re.search(r"```json\n(.*?)\n```", DOCS, re.DOTALL)
    assert shown is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        with running(device="cpu") as server:
            answer = server("/api/predict?name=astronaut.jpg", photo).rows
    for told, seen in zip(json.loads(shown[1])["rows"], answer, strict=True):
        assert list(told) == list(seen)
        for name, value in told.items():
            # Processors with and without bfloat16 differ by some tenths of a year.
            assert seen[name] == (pytest.approx(value, rel=0.03) if isinstance(value, float) else value)


def test_the_limits_are_told() -> None:
    values = {
        name: value.replace(",", "")
        for name, value in re.findall(r"^\|[^|]*\| `(\w+)` \| ([^|]*?) \|", DOCS, re.MULTILINE)
    }
    units = {"MiB": 1 << 20, "GiB": 1 << 30, "million": 1_000_000, "s": 1, "": 1}
    told = {}
    for name, value in values.items():
        number, _, unit = value.partition(" ")
        told[name] = int(number) * units[unit]
    assert told == {"pixels": MAX_PIXELS, **asdict(Limits())}
