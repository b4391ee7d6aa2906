"""The endpoint for a zip of photos."""

from __future__ import annotations

import http.client
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeExtractor, face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import FILE, MEMBERS, MULTIPART, Server, form, running, zipped  # noqa: E402

from arcage.app.limits import Limits  # noqa: E402
from arcage.output.rows import COLUMNS  # noqa: E402


def test_a_zip_in_a_form(server: Server) -> None:
    answer = server.batch(form((FILE, zipped(MEMBERS))), Content_Type=MULTIPART)
    assert [(row["path"], row["status"], row["age"]) for row in answer.rows] == ROWS


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


def test_options_of_a_zip(server: Server) -> None:
    data = zipped({"a.jpg": image(face(20), face(40, 0.1, (300, 0, 640, 480))), "b.jpg": b""})
    rows = server.batch(data, "?faces=largest&interval=80&under=30").rows
    assert [(row["age"], row["age_low"]) for row in rows] == [(40, 32), (None, None)]
    assert [list(row)[-1] for row in rows] == ["p_under_30"] * 2
    csv = server.batch(data, "?faces=largest&under=30&pictures=1", Accept="text/csv").body.decode()
    assert csv.splitlines()[0] == ",".join((*COLUMNS, "p_under_30"))
    assert csv.count("\n") == 3


def test_pictures_of_a_zip(server: Server, photo: bytes) -> None:
    rows = server.batch(zipped({"a.jpg": photo, "b.jpg": b"text"}), "?pictures=1").rows
    assert rows[0]["picture"]["width"] == 512
    assert "picture" not in rows[1]


def test_names_that_macos_writes(server: Server) -> None:
    data = zipped({"é.jpg": image(face())})
    raw = bytearray(data)
    for at in (6, raw.rindex(b"PK\1\2") + 8):
        raw[at + 1] &= ~0x08  # without the flag for UTF-8
    assert [row["path"] for row in server.batch(bytes(raw)).rows] == ["é.jpg"]


def test_one_zip_at_a_time_until_it_is_done_or_the_client_disconnects(
    fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.1)
    data = zipped({f"{i:03}.jpg": image(face(i)) for i in range(1, 100)})
    with running(Limits(answer_seconds=2)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", "/api/batch", data)
        response = connection.getresponse()
        assert json.loads(response.readline())["path"] == "001.jpg"
        # Single photos are processed between those of the zip; another zip has to wait.
        assert server.predict(image(face(50))).rows[0]["age"] == 50
        waited = server.batch(zipped({"a.jpg": image(face())}))
        assert waited.status == 503
        assert waited.headers["retry-after"]
        response.close()
        connection.close()
        assert server.batch(zipped({"a.jpg": image(face())})).rows[0]["path"] == "a.jpg"


def test_a_zip_that_takes_too_long_has_a_row_for_each_photo(
    fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeExtractor, "delay", 0.1)
    with running(Limits(zip_seconds=0.25)) as server:
        rows = server.batch(zipped({f"{i:02}.jpg": image(face(30)) for i in range(40)})).rows
    assert [row["path"] for row in rows] == [f"{i:02}.jpg" for i in range(40)]
    assert rows[0]["age"] == 30
    assert rows[-1]["error"] == "skipped: the limit of 0.25 seconds for one request is over"
