"""The file in the body of a request."""

from __future__ import annotations

import socket

import pytest
from fakes import face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import FIELD, FILE, MULTIPART, Server, form, running, zipped  # noqa: E402

from arcage.app.limits import Limits  # noqa: E402

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
    for data, error in ((b"", "empty file"), (b"text", "text is not a supported image format")):
        (row,) = server.predict(form((FILE, data)), Content_Type=MULTIPART).rows
        assert (row["path"], row["status"]) == ("a.jpg", "unreadable")
        assert row["error"].startswith(error)


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
def test_a_body_that_is_not_a_file(
    server: Server, body: bytes, headers: dict[str, str], status: int, error: str
) -> None:
    answer = server.predict(body, **headers)
    assert (answer.status, answer.error) == (status, error)


@pytest.mark.parametrize(
    "kind", ["", "image/jpeg", "application/octet-stream", URLENCODED, "application/json"]
)
def test_a_photo_is_accepted_with_any_content_type(server: Server, photo: bytes, kind: str) -> None:
    assert server.predict(photo, Content_Type=kind).rows[0]["age"] == 30
    (row,) = server.predict(b"\xff\xd8\xff\xe0" + bytes(9), Content_Type=kind).rows
    assert row["status"] == "unreadable"


def test_a_client_that_waits_for_100_continue(tiny: Server) -> None:
    def ask(size: int) -> tuple[bytes, socket.socket]:
        connection = socket.create_connection(("127.0.0.1", tiny.port), 10)
        head = f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(1000), connection

    body = image(face(33))
    response, connection = ask(len(body))
    with connection:
        assert response == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200 OK")
    response, connection = ask(20_001)
    connection.close()
    assert response.startswith(b"HTTP/1.1 413")


def test_a_body_that_is_too_large(tiny: Server) -> None:
    assert "the limit is 20,000 bytes" in tiny.predict(bytes(20_001)).error
    response = tiny("/api/predict", method="POST", Content_Length="99999999999")
    assert response.status == 413
    chunked = tiny("/api/predict", iter([bytes(15_000)] * 2))
    assert chunked.status == 413
    assert tiny.predict(image(face())).status == 200


def test_an_upload_that_stops(fake: None) -> None:
    with running(Limits(upload_seconds=0.2)) as server:
        answer = server("/api/predict", method="POST", Content_Length="100")
        assert answer.status == 408
        assert "0.2 seconds" in answer.error


def test_an_interrupted_upload(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
    assert server.predict(image(face())).status == 200
