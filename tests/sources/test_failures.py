"""Which errors of a server affect one image, and which end with exit code 3."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from servers import PHOTO, Handler, Server, rows

from arcage.sources.failures import retry_after

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("path", "code", "status", "error"),
    [
        ("/a.jpg", 0, "ok", ""),
        ("/a.jpg?sig=a%2Fb&x=1", 0, "ok", ""),
        ("/moved/a.jpg", 0, "ok", ""),
        ("/chunked/a.jpg", 0, "ok", ""),
        ("/503x2/a.jpg", 0, "ok", ""),
        ("/429x3/a.jpg", 0, "ok", ""),
        ("/404/a.jpg", 1, "unreadable", "no such file"),
        ("/403/a.jpg", 1, "unreadable", "HTTP 403 Forbidden"),
        ("/410/a.jpg", 1, "unreadable", "HTTP 410 Gone"),
        ("/empty/a.jpg", 1, "unreadable", "empty file"),
        ("/416/a.jpg", 1, "unreadable", "empty file"),
        ("/loop/a.jpg", 1, "unreadable", "too many redirects"),
        (
            "/away/a.jpg",
            1,
            "unreadable",
            "redirects to localhost, which cannot be reached: Connection refused",
        ),
        ("/short/a.jpg", 1, "unreadable", "the transfer was interrupted"),
        ("/202/a.jpg", 1, "unreadable", "HTTP 202 Accepted"),
        ("/302/a.jpg", 1, "unreadable", "HTTP 302 Found"),
        ("/file/a.jpg", 1, "unreadable", "not a valid URL, or a redirect to one"),
        ("/part/a.jpg", 1, "unreadable", "the server gave only a part of the file (bytes 0-49/{size})"),
        ("/end/a.jpg", 1, "unreadable", "the server gave only a part of the file (bytes 9-{end}/{size})"),
        ("/whole/a.jpg", 0, "ok", ""),
        ("/no-http/a.jpg", 3, "unreadable", "the response is not valid HTTP: Bad status line"),
        ("/401/a.jpg", 3, "unreadable", "HTTP 401 Unauthorized"),
        ("/429/a.jpg", 3, "unreadable", "HTTP 429 Too Many Requests"),
        ("/500/a.jpg", 3, "unreadable", "HTTP 500 Internal Server Error"),
        ("/503/a.jpg", 3, "unreadable", "HTTP 503 Service Unavailable"),
        ("/hangup/a.jpg", 3, "unreadable", "the server closed the connection"),
    ],
)
def test_one_image(arcage: Run, server: str, path: str, code: int, status: str, error: str) -> None:
    error = error.format(size=len(PHOTO), end=len(PHOTO) - 1)
    done = arcage("predict", server + path)
    assert rows(done) == [(server + path, status, error)]
    assert done.exit_code == code
    if code == 3:
        assert f"cannot read {server}{path}: {error}; check the address" in done.stderr


def test_control_characters_in_a_server_message_are_removed(arcage: Run, server: str) -> None:
    done = arcage("predict", f"{server}/words/a.jpg")
    assert rows(done)[0][2] == "HTTP 403 a [31m b"


def test_an_untrusted_certificate(arcage: Run, server: str, tmp_path: Path) -> None:
    import ssl

    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")),
        ],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    running = Server(("127.0.0.1", 0), Handler)
    running.socket = context.wrap_socket(running.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    try:
        done = arcage("predict", f"https://localhost:{running.server_port}/a.jpg")
    finally:
        running.shutdown()
        running.server_close()
    assert done.exit_code == 3
    assert "cannot connect to localhost" in done.stderr
    assert "certificate" in rows(done)[0][2]


@pytest.mark.parametrize(
    "value", ["Mon, 01 Jan 0001 00:00:00 -0000", "Fri, 31 Dec 9999 23:59:59 -2359", "x", "1e9", "", "٣" * 400]
)
def test_a_retry_after_that_is_no_time(value: str) -> None:
    class Error(Exception):
        headers: ClassVar = {"Retry-After": value}

    seconds = retry_after(Error())
    assert seconds is None or seconds >= 0
