"""Downloads from a server on this machine that interrupts, stalls and sends wrong data."""

from __future__ import annotations

import ast
import hashlib
import socket
import threading
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from packs import PARTIAL, Handler, PackServer, list_names

import arcage
from arcage.embedder.packs.download import fetch_pack, plan_download
from arcage.embedder.packs.record import DIGESTS_FILE
from arcage.errors import ModelError, OutputError, UsageError

pytestmark = pytest.mark.usefixtures("home")


def test_progress_counts_the_bytes_on_disk(server: PackServer) -> None:
    reported: list[tuple[int, int | None]] = []
    fetch_pack(plan_download("buffalo_s", server.url), lambda here, total: reported.append((here, total)))
    assert [here for here, _ in reported] == sorted({here for here, _ in reported})
    assert reported[-1] == (len(server.data), len(server.data))


def test_a_server_that_sends_no_length(server: PackServer) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(server.data)

    server.answer = answer
    assert (
        fetch_pack(plan_download("buffalo_s", server.url)).archive == hashlib.sha256(server.data).hexdigest()
    )


def test_a_redirect_is_followed(server: PackServer) -> None:
    def answer(handler: Handler) -> None:
        if handler.path.startswith("/mirror"):
            handler.send(302, b"", Location=f"http://127.0.0.1:{server.server_port}/elsewhere?token=1")
        else:
            server.send_correctly(handler)

    server.answer = answer
    fetched = fetch_pack(plan_download("buffalo_s", server.url))
    assert server.paths == ["/mirror/buffalo_s.zip", "/elsewhere?token=1"]
    # The address of the redirect may contain a key, and is not recorded.
    assert "token" not in (fetched.folder / DIGESTS_FILE).read_text("utf-8")


@pytest.mark.parametrize(
    "target", ["http://example.invalid/x.zip", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_a_redirect_to_an_unencrypted_address_is_rejected(
    server: PackServer, target: str, home: Path
) -> None:
    server.answer = lambda handler: handler.send(302, b"", Location=target)
    with pytest.raises((UsageError, ModelError), match=r"not encrypted|HTTP 302"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


def test_a_proxy_is_used(server: PackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    digest = hashlib.sha256(server.data).hexdigest()
    fetch_pack(plan_download("buffalo_s", "http://mirror.invalid/packs", digest.upper()))
    assert server.paths == ["http://mirror.invalid/packs/buffalo_s.zip"]


def test_an_interrupted_download_is_continued(server: PackServer, home: Path) -> None:
    half = len(server.data) // 2
    server.answer = server.close_after(half)
    with pytest.raises(ModelError, match=rf"broke off after {half:,} of .* same command again"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == [PARTIAL]
    assert (home / PARTIAL).read_bytes() == server.data[:half]
    server.answer = server.send_correctly
    fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == [None, f"bytes={half}-"]
    assert list_names(home) == ["buffalo_s"]


def test_a_server_that_stalls(server: PackServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.packs.transfer.TIMEOUT", 0.2)

    def answer(handler: Handler) -> None:
        server.close_after(1000)(handler)
        server.stop.wait(10)

    server.answer = answer
    with pytest.raises(ModelError, match="has sent nothing for"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert (home / PARTIAL).stat().st_size == 1000
    server.answer = server.send_correctly
    fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == [None, "bytes=1000-"]


def test_a_server_that_never_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.packs.transfer.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(ModelError, match="has sent nothing for"):
            fetch_pack(plan_download("buffalo_s", f"http://127.0.0.1:{silent.getsockname()[1]}"))
        port = silent.getsockname()[1]
    with pytest.raises(ModelError, match=r"cannot download.*refused.*HTTPS_PROXY"):
        fetch_pack(plan_download("buffalo_s", f"http://127.0.0.1:{port}"))
    assert list_names(home) == []


def test_a_download_that_is_already_complete(server: PackServer, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PARTIAL).write_bytes(server.data)
    fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == [f"bytes={len(server.data)}-"]
    assert list_names(home) == ["buffalo_s"]


def test_a_longer_file_than_that_of_the_server(server: PackServer, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PARTIAL).write_bytes(server.data + b"more")
    fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == [f"bytes={len(server.data) + 4}-", None]


def test_a_server_that_ignores_range(server: PackServer, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PARTIAL).write_bytes(server.data[:1000])
    server.answer = lambda handler: handler.send(200, server.data)
    assert (
        fetch_pack(plan_download("buffalo_s", server.url)).archive == hashlib.sha256(server.data).hexdigest()
    )
    assert server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("body", [b"<html>log in</html>", b""], ids=["page", "nothing"])
def test_a_web_page_does_not_replace_what_was_downloaded(server: PackServer, home: Path, body: bytes) -> None:
    home.mkdir(parents=True)
    (home / PARTIAL).write_bytes(server.data[:1000])
    server.answer = lambda handler: handler.send(200, body)
    with pytest.raises(ModelError, match=r"something else than a zip file|sent nothing"):
        fetch_pack(plan_download("buffalo_s", server.url))
    server.answer = server.send_correctly
    fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == ["bytes=1000-"] * 2


@pytest.mark.parametrize(
    "content_range", ["bytes 0-9/{total}", "bytes 1001-{last}/{total}", "", "bytes 1000-2/" + "9" * 5000]
)
def test_a_server_that_sends_another_part(server: PackServer, home: Path, content_range: str) -> None:
    home.mkdir(parents=True)
    (home / PARTIAL).write_bytes(server.data[:1000])
    total = len(server.data)
    content_range = content_range.format(total=total, last=total - 1)
    server.answer = lambda handler: handler.send(206, server.data[1000:], Content_Range=content_range)
    with pytest.raises(ModelError, match="another part"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


def test_parts_of_two_files_are_not_a_pack(server: PackServer, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PARTIAL).write_bytes(b"\0" * 1000)
    with pytest.raises(ModelError, match=r"damaged zip file.*fetch it again"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []
    fetch_pack(plan_download("buffalo_s", server.url))


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b"\n", b"PK\x05\x06"], ids=["page", "byte", "empty"]
)
def test_a_file_that_is_not_a_zip_is_removed(server: PackServer, home: Path, body: bytes) -> None:
    server.answer = lambda handler: handler.send(200, body, Content_Type="application/zip")
    with pytest.raises(ModelError, match="something else than a zip file"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


def test_a_length_that_is_too_short(server: PackServer, home: Path) -> None:
    server.answer = lambda handler: handler.send(200, server.data, Content_Length=len(server.data) - 200)
    with pytest.raises(ModelError, match="damaged zip file"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


def test_an_invalid_length_and_an_interruption(server: PackServer, home: Path) -> None:
    server.answer = lambda handler: handler.send(200, server.data[:-200], Content_Length="?")
    with pytest.raises(ModelError, match="damaged zip file"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


def test_a_zip_that_is_too_large(server: PackServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.packs.transfer.MAX_ARCHIVE", 1000)
    for length in (len(server.data), "?"):
        server.answer = lambda handler, length=length: handler.send(200, server.data, Content_Length=length)  # type: ignore[misc]
        with pytest.raises(ModelError, match="larger than 1,000 bytes"):
            fetch_pack(plan_download("buffalo_s", server.url))
        assert list_names(home) == []


def drip(handler: Handler, head: bytes, piece: bytes, *, pause: float) -> None:
    """Send ``head`` at once, then ``piece`` again and again until the client closes the connection."""
    with suppress(OSError):
        handler.wfile.write(head)
        while not handler.server.stop.wait(pause):
            handler.wfile.write(piece)


ZIP = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nPK\x03\x04\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (ZIP, b"1\r\nx\r\n"),
        (ZIP, b"1;"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nPK\x03\x04", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\nPK", b""),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["chunks", "extension", "bytes", "nothing", "header", "continue"],
)
def test_a_server_that_sends_a_byte_at_a_time(
    server: PackServer, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes
) -> None:
    monkeypatch.setattr("arcage.embedder.packs.transfer.PERIOD", 0.3)
    monkeypatch.setattr("arcage.embedder.packs.transfer.HEAD_SECONDS", 0.3)
    server.answer = lambda handler: drip(handler, head, piece, pause=0.02)
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"is too slow: .*kept: run the same command again"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert time.monotonic() - start < 3


def test_a_download_that_takes_too_long_is_continued(
    server: PackServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcage.embedder.packs.transfer.MAX_SECONDS", 0.3)
    monkeypatch.setattr("arcage.embedder.packs.transfer.MIN_RATE", 1)
    start = server.data[:1000]
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(server.data), start)
    server.answer = lambda handler: drip(handler, head, b"", pause=1)
    monkeypatch.setattr("arcage.embedder.packs.transfer.TIMEOUT", 0.4)
    with pytest.raises(ModelError, match="is too slow: not complete after 0 s"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert (home / PARTIAL).read_bytes() == start


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"HTTP/1.1 302 Found\r\nLocation: /mirror/x\r\n\r\n", b"x" * 100_000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nPK\x03\x04", bytes(100_000)),
        (ZIP + b"0\r\n", b"Trailer: x\r\n" * 10_000),
    ],
    ids=["continue", "redirect", "negative", "trailers"],
)
def test_a_server_that_sends_without_an_end(
    server: PackServer, home: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes
) -> None:
    monkeypatch.setattr("arcage.embedder.packs.transfer.MAX_ARCHIVE", 1 << 20)
    server.answer = lambda handler: drip(handler, head, piece, pause=0)
    tracemalloc.start()
    try:
        with pytest.raises(
            ModelError, match=r"without an end|redirects|larger than|something else|damaged|trail"
        ):
            fetch_pack(plan_download("buffalo_s", server.url))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert list_names(home) in ([], [PARTIAL])


@pytest.mark.parametrize("content_range", ["", "bytes */5", "bytes */99999999999999999999"])
def test_a_server_that_always_refuses_the_range(server: PackServer, home: Path, content_range: str) -> None:
    home.mkdir(parents=True)
    (home / PARTIAL).write_bytes(server.data[:1000])
    server.answer = lambda handler: handler.send(416, b"", Content_Range=content_range)
    with pytest.raises(ModelError, match="HTTP 416"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == ["bytes=1000-", None]


@pytest.mark.parametrize("location", ["{}", "/mirror/{}", "http://127.0.0.1:{port}/{}"])
def test_a_server_that_always_redirects(server: PackServer, home: Path, location: str) -> None:
    def answer(handler: Handler) -> None:
        target = location.format(len(server.paths), port=server.server_port)
        handler.send(302, b"x" * 1000, Location=target)

    server.answer = answer
    with pytest.raises(ModelError, match="more than 5 redirects"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert len(server.paths) == 6
    assert list_names(home) == []


@pytest.mark.parametrize("location", ["//[", "http://127.0.0.1:99999999/", "http://\xff\x1b[31m/", "http:"])
def test_a_malformed_redirect(server: PackServer, home: Path, location: str) -> None:
    server.answer = lambda handler: handler.send(302, b"", Location=location)
    with pytest.raises((ModelError, UsageError)) as caught:
        fetch_pack(plan_download("buffalo_s", server.url))
    assert "\x1b" not in str(caught.value)
    assert list_names(home) == []


@pytest.mark.parametrize("code", [401, 403, 404, 416, 429, 500, 503])
def test_a_server_that_refuses(server: PackServer, home: Path, code: int) -> None:
    server.answer = lambda handler: handler.send(code, b"\x1b[31m")
    with pytest.raises(ModelError, match=f"does not provide .*HTTP {code}.*ARCAGE_MIRROR") as caught:
        fetch_pack(plan_download("buffalo_s", server.url))
    assert "\x1b" not in str(caught.value)
    assert list_names(home) == []


def test_a_server_of_another_protocol(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x1b[31mSSH-2.0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ModelError, match="cannot download") as caught:
            fetch_pack(plan_download("buffalo_s", f"http://127.0.0.1:{listening.getsockname()[1]}"))
        thread.join()
    assert "\x1b" not in str(caught.value)
    assert list_names(home) == []


def test_no_other_module_can_download() -> None:
    package = Path(arcage.__file__).parent
    network = {"http", "urllib.request", "requests", "urllib3", "httpx", "aiohttp", "ftplib"}
    found = {}
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = [
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        ]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        if any(name in network or name.split(".")[0] in network for name in names):
            found[path.relative_to(package).as_posix()] = names
    # The modules of sources read images at URLs that the user names.
    assert sorted(found) == ["embedder/packs/transfer.py", "sources/failures.py", "sources/http.py"]


def test_a_full_disk_keeps_what_was_downloaded(server: PackServer, home: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        with pytest.raises(OutputError, match=r"cannot write into .*too large.*kept"):
            fetch_pack(plan_download("buffalo_s", server.url))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (home / PARTIAL).read_bytes() == server.data[:10_000]
    fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == [None, "bytes=10000-"]
