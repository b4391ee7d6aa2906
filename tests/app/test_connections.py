"""Slow, idle and hostile connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from fakes import face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server, running  # noqa: E402

from arcage.app import connections  # noqa: E402
from arcage.app.limits import Limits  # noqa: E402

POST = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\n"
LARGE = POST + b"Content-Length: 60000000\r\n\r\n"


@contextmanager
def _open(server: Server, data: bytes, number: int = 1) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = []
        for _ in range(number):
            sockets.append(
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            )
            sockets[-1].sendall(data)
        yield sockets


def _read(connection: socket.socket) -> bytes:
    """Return what arrives until the server closes the connection."""
    data = b""
    while part := connection.recv(1 << 16):
        data += part
    return data


def _send_until_closed(connection: socket.socket, data: bytes, most: int) -> None:
    for _ in range(most):
        try:
            connection.sendall(data)
        except OSError:
            return
        time.sleep(0.01)
    raise AssertionError("the server does not close the connection")


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1000))
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.mark.parametrize("data", [b"", POST, b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"])
def test_a_request_that_stays_incomplete(fake: None, data: bytes) -> None:
    with running(Limits(header_seconds=0.4)) as server, _open(server, data) as (connection,):
        started = time.monotonic()
        answers = _read(connection)
        assert 0.2 < time.monotonic() - started < 5
        assert answers.startswith(b"HTTP/1.1 200") == data.startswith(b"GET")
        assert (b"HTTP/1.1 408" in answers) == (data == POST)
        assert (b"no complete request within 0.4 seconds" in answers) == (data == POST)


@pytest.mark.parametrize("data", [b"", POST, LARGE, POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"])
def test_unfinished_requests_keep_nobody_out(
    fake: None, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(connections, "_YOUNG_SECONDS", 0.1)
    with running(Limits(connections=10)) as server, _open(server, data, 30) as sockets:
        assert server.predict(image(face(33))).rows[0]["age"] == 33
        assert server("/api").status == 200
        assert sum(map(_is_open, sockets)) <= 10


def test_the_slowest_upload_makes_room(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_YOUNG_SECONDS", 0.1)
    monkeypatch.setattr(connections, "_HEAD_START", 1)
    with running(Limits(connections=3)) as server, _open(server, LARGE, 3) as sockets:
        for connection in sockets[:2]:
            connection.sendall(bytes(50_000))
        time.sleep(0.3)
        assert server("/api").status == 200
        assert list(map(_is_open, sockets)) == [True, True, False]


def test_the_connection_is_closed_after_a_refused_upload(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LINGER_SECONDS", 0.3)
    large = POST + b"Content-Length: 99999999\r\n\r\n"
    for data in (large, large.replace(b"/api/predict", b"/nowhere")):
        with _open(server, data) as (connection,):
            # What the client still sends does not prevent that it reads the answer.
            connection.sendall(bytes(1 << 20))
            answer = _read(connection)
            assert answer.split()[1] in (b"413", b"404")
            assert answer.count(b"HTTP/1.1") == 1
            assert b"connection: close" in answer.lower()
            _send_until_closed(connection, bytes(1 << 20), 10_000)


def test_a_client_that_does_not_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PATIENCE_SECONDS", 0.5)
    request = b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with _open(server, b"") as (connection,):
        connection.settimeout(1)
        _send_until_closed(connection, request * 100, 1000)
    assert server("/api").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000,
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nnot a number\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(server: Server, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with _open(server, data) as (connection,):
        answer = _read(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'{"error": "this is not a valid request' in answer
    assert server("/api").status == 200
    assert not caplog.records


def test_a_body_of_many_small_chunks_is_refused(server: Server) -> None:
    photo = image(face(33))
    chunked = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with _open(server, chunked + b"".join(b"1\r\n%c\r\n" % byte for byte in photo) + b"0\r\n\r\n") as (few,):
        assert b'"age":33.0' in _read(few)
    started = time.process_time()
    with _open(server, chunked) as (many,):
        many.sendall(b"1\r\nx\r\n" * 200_000)
        assert b"the chunks of the body are too small" in _read(many)
        assert time.process_time() - started < 2


def test_an_upgrade_is_an_ordinary_request(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert server("/api", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13").status == 200
    assert capfd.readouterr() == ("", "")
