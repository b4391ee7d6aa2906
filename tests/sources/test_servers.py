"""Local HTTP servers, working and broken: which errors become rows, and which end with exit code 3."""

from __future__ import annotations

import csv
import io
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import face, image

from arcage.errors import ImageError, RemoteError
from arcage.sources import remote
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.source import Source
from arcage.sources.suffixes import is_one_image
from arcage.sources.url import url_links, url_name
from arcage.sources.walk import walk

pytest.importorskip("aiohttp")
pytest.importorskip("fsspec")
Run = Callable[..., Any]

PHOTO = image(face(33))


class Handler(BaseHTTPRequestHandler):
    """Does what the path says: /503x2/a.jpg fails twice, /404/a.jpg always, any other path gives a photo."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[Counter[str]] = Counter()
    headers_sent: ClassVar[dict[str, str]] = {}
    files: ClassVar[dict[str, bytes]] = {}

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        head = self.path.split("/")[1]
        status, _, times = head.partition("x")
        if status.isdecimal() and (not times or self.asked[self.path] <= int(times)):
            self.give(b"no", int(status))
        elif head == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif head == "away":
            self.send_response(302)
            self.send_header("Location", "http://localhost:1/a.jpg")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif head == "moved":
            self.send_response(301)
            self.send_header("Location", "/a.jpg")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif head == "short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(PHOTO) + 9))
            self.end_headers()
            self.wfile.write(PHOTO)
            self.close_connection = True
        elif head == "hangup":
            self.close_connection = True
        elif head == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(PHOTO), PHOTO))
        elif head == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"3e8\r\n" + bytes(1000) + b"\r\n")
            self.close_connection = True
        elif head == "no-chunk":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            time.sleep(0.1)
            self.wfile.write(b"no length\r\n")
            self.close_connection = True
        elif head == "no-http":
            self.wfile.write(b"SSH-2.0-OpenSSH\x1b[31m\r\n")
            self.close_connection = True
        elif head == "parts":
            _, _, healthy, trouble, name = self.path.split("/")
            data = self.files[name]
            start, end = self.headers.get("Range", f"bytes=0-{len(data) - 1}")[6:].split("-")
            part = data[int(start) : int(end) + 1]
            if self.asked[self.path] <= int(healthy):
                self.give(part, 206, Content_Range=f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}")
            elif trouble == "short":
                self.send_response(206)
                self.send_header("Content-Length", str(len(part)))
                self.end_headers()
                self.close_connection = True
            else:
                self.give(b"no", int(trouble))
        elif head == "words":
            self.wfile.write(b"HTTP/1.1 403 a\x1b[31m\tb\r\nContent-Length: 0\r\n\r\n")
        elif head == "part":
            self.give(PHOTO[:50], 206, Content_Range=f"bytes 0-49/{len(PHOTO)}")
        elif head == "end":
            size = len(PHOTO)
            self.give(PHOTO[9:], 206, Content_Range=f"bytes 9-{size - 1}/{size}")
        elif head == "whole":
            size = len(PHOTO)
            self.give(PHOTO, 206, Content_Range=f"bytes 0-{size - 1}/{size}")
        elif head == "file":
            self.give(b"", 302, Location="file:///etc/hostname")
        elif head == "empty":
            self.give(b"", 200)
        elif head == "stuck":
            time.sleep(5)
            self.close_connection = True
        else:
            path = self.path.split("?")[0]
            data = self.files.get(path, PHOTO)
            self.give(data, 200, "text/html" if path.endswith("/") else "image/jpeg")

    def give(self, data: bytes, status: int, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", kind)
        for name, value in (self.headers_sent | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server, with short pauses between attempts and without state of earlier servers."""
    monkeypatch.setattr(remote, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(remote, "_SERVERS", {})
    monkeypatch.setattr(Handler, "asked", Counter())
    monkeypatch.setattr(Handler, "headers_sent", {})
    monkeypatch.setattr(Handler, "files", {})
    running = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def rows(done: Any) -> list[tuple[str, str, str]]:
    assert "Traceback" not in done.stderr
    return [(row["path"], row["status"], row["error"]) for row in csv.DictReader(io.StringIO(done.stdout))]


# One image


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
        ("/short/a.jpg", 1, "unreadable", "the transfer broke off"),
        ("/202/a.jpg", 1, "unreadable", "HTTP 202 Accepted"),
        ("/302/a.jpg", 1, "unreadable", "HTTP 302 Found"),
        ("/file/a.jpg", 1, "unreadable", "not a valid URL, or a redirect to one"),
        ("/part/a.jpg", 1, "unreadable", "the server gave only a part of the file (bytes 0-49/{size})"),
        ("/end/a.jpg", 1, "unreadable", "the server gave only a part of the file (bytes 9-{end}/{size})"),
        ("/whole/a.jpg", 0, "ok", ""),
        ("/no-http/a.jpg", 3, "unreadable", "the answer is not valid HTTP: Bad status line"),
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


def test_a_signed_url_is_asked_for_as_it_is(arcage: Run, server: str) -> None:
    for path in ("/a%20b.jpg?sig=a%2Fb%3D", "/c.jpg?X-Amz-Credential=k%2F1"):
        assert arcage("predict", server + path).exit_code == 0
        assert Handler.asked[path] == 1
    assert arcage("predict", f"{server}/é ü.jpg").exit_code == 0
    assert Handler.asked["/%C3%A9%20%C3%BC.jpg"] == 1


def test_the_pause_that_a_server_wants(arcage: Run, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(remote, "time", clock)
    monkeypatch.setattr(Handler, "headers_sent", {"Retry-After": "7"})
    assert arcage("predict", f"{server}/429x1/a.jpg").exit_code == 0
    assert waited == [7.0]
    monkeypatch.setattr(Handler, "headers_sent", {"Retry-After": "3600"})
    done = arcage("predict", f"{server}/503x1/a.jpg")
    assert rows(done)[0][2] == "HTTP 503 Service Unavailable, retry after 3,600 s"
    assert (done.exit_code, waited) == (3, [7.0])


def test_what_a_server_says_is_fit_for_a_terminal(arcage: Run, server: str) -> None:
    done = arcage("predict", f"{server}/words/a.jpg")
    assert rows(done)[0][2] == "HTTP 403 a [31m b"


def test_an_answer_without_end(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_FILE_BYTES", 100_000)
    with pytest.raises(ImageError, match="too large: the limit is 100,000 bytes"):
        remote.read(f"{server}/endless/a.jpg")
    with pytest.raises(ImageError, match="too large for a server without support for ranges"):
        remote.open_file(f"{server}/endless/a.parquet")


def test_an_answer_that_cannot_be_parsed_ends(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SILENT_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(RemoteError, match="does not answer in time"):
        remote.read(f"{server}/no-chunk/a.jpg")
    assert time.monotonic() - start < 10


# Lists


def test_broken_images_among_others_are_rows(arcage: Run, server: str, tmp_path: Path) -> None:
    names = ["404", "403", "short", "loop", "empty", "no-http", "part", "202", "a", "b", "c"]
    (tmp_path / "list.txt").write_text("".join(f"{server}/{name}/x.jpg\n" for name in names))
    done = arcage("predict", "--from-file", tmp_path / "list.txt")
    assert [status for _, status, _ in sorted(rows(done))].count("ok") == 3
    assert len(rows(done)) == 11
    assert done.exit_code == 0


def test_a_dead_server_does_not_cost_the_images_of_others(arcage: Run, server: str, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    lines = [f"{dead}/{i}.jpg\n" for i in range(200)] + [f"{server}/{i}.jpg\n" for i in range(5)]
    (tmp_path / "list.txt").write_text("".join(lines))
    start = time.monotonic()
    done = arcage("predict", "--from-file", tmp_path / "list.txt", "--out", tmp_path / "out.csv")
    assert time.monotonic() - start < 10
    assert done.exit_code == 3
    assert f"cannot read {dead}/" in done.stderr
    assert "cannot connect to 127.0.0.1: Connection refused" in done.stderr
    table = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text("utf-8"))))
    assert Counter(row["status"] for row in table) == {"unreadable": 200, "ok": 5}


def test_a_server_that_fails_again_and_again_is_not_asked_for_each_image(
    arcage: Run, server: str, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("".join(f"{server}/500/{i}.jpg\n" for i in range(300)))
    done = arcage("extract", "--from-file", tmp_path / "list.txt", "--cache", tmp_path / "cache")
    assert done.exit_code == 3
    assert "300 unreadable" in done.stderr
    assert len(Handler.asked) < 40


def test_several_dead_servers_are_named(arcage: Run, server: str) -> None:
    dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    done = arcage("predict", *(f"{one}/a.jpg" for one in dead))
    assert done.exit_code == 3
    assert all(one in done.stderr for one in dead)


def test_a_server_is_asked_again_after_a_while(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{server}/500x12/a.jpg"
    for _ in range(3):
        with pytest.raises(RemoteError, match="HTTP 500"):
            remote.read(url)
    with pytest.raises(RemoteError, match="HTTP 500"):
        remote.read(f"{server}/b.jpg")
    assert (Handler.asked["/500x12/a.jpg"], Handler.asked["/b.jpg"]) == (12, 0)
    later = SimpleNamespace(sleep=time.sleep, monotonic=lambda: time.monotonic() + 61, time=time.time)
    monkeypatch.setattr(remote, "time", later)
    assert remote.read(url) == PHOTO
    # Another run asks at once.
    monkeypatch.setattr(Handler, "asked", Counter())
    for _ in range(3):
        with pytest.raises(RemoteError):
            remote.read(url)
    (source,) = ReadAhead([Source(f"{server}/b.jpg", "b.jpg")])
    assert source.read() == PHOTO


def test_a_certificate_that_nobody_signed(arcage: Run, server: str, tmp_path: Path) -> None:
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


# Servers that do not answer


def test_a_server_that_does_not_answer(arcage: Run, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SILENT_SECONDS", 0.2)
    done = arcage("predict", *(f"{server}/stuck/{i}.jpg" for i in range(50)))
    assert done.exit_code == 3
    assert {error for _, _, error in rows(done)} == {"the server does not answer in time"}
    assert len(Handler.asked) < 40


@pytest.mark.parametrize("command", ["predict", "extract"])
def test_ctrl_c_does_not_wait_for_a_server(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, command: str
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        silent.settimeout(60)
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "list.txt").write_text("".join(f"{place}/{i}.jpg\n" for i in range(40)))
        to = ["--out", tmp_path / "out.csv"] if command == "predict" else ["--cache", tmp_path / "cache"]
        process = start(command, "--from-file", tmp_path / "list.txt", *to)
        connection, _ = silent.accept()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, words = process.communicate(timeout=30)
        connection.close()
    assert time.monotonic() - begun < 5  # seconds, on a busy machine
    assert process.returncode == 130
    assert "Traceback" not in words


def test_the_real_pool_does_not_wait_for_a_stuck_read() -> None:
    from arcage.embedder.extractor import Extractor

    release = threading.Event()

    def stuck() -> bytes:
        release.wait(30)
        return b""

    results = Extractor(device="cpu").stream([(0, lambda: b"text"), (1, stuck)], chunk=1)
    assert next(results)[0] == 0
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 5
    release.set()


# Folders and Parquet files


def test_an_index_page_is_a_folder(arcage: Run, server: str) -> None:
    Handler.files.update(
        {
            "/p/": b'<html><a href="../">up</a><a href="?C=N">sort</a><a href="b%20c.jpg">b</a>'
            b'<a href="/p/a.jpg">a</a><a href="d/">d</a><a href="@eaDir/">e</a><a href="http://x.y/z.jpg">z</a>',
            "/p/d/": b'<a href="e.png">e</a><a href="e.txt">t</a>',
        }
    )
    found = list(walk([f"{server}/p/"]))
    assert [source.path for source in found] == [
        f"{server}/p/a.jpg",
        f"{server}/p/b%20c.jpg",
        f"{server}/p/d/e.png",
    ]
    assert [source.name for source in found] == ["a.jpg", "b c.jpg", "d/e.png"]
    done = arcage("predict", f"{server}/p/")
    assert [status for _, status, _ in rows(done)] == ["ok"] * 3
    Handler.files["/p"] = Handler.files["/p/"]
    assert "end its URL in /" in rows(arcage("predict", f"{server}/p"))[0][2]
    for path, code in (("/404/p/", 1), ("/403/p/", 1), ("/500/p/", 3)):
        done = arcage("predict", server + path)
        assert (len(rows(done)), done.exit_code) == (1, code)


def test_a_server_with_the_same_page_for_every_address_ends(server: str) -> None:
    class Same(dict[str, bytes]):
        def get(self, key: str, default: Any = None) -> bytes:
            return b'<a href="down/">down</a>'

    Handler.files = Same()
    (source,) = walk([f"{server}/"])
    assert source.error == "cannot list folder: too many folders inside folders"


def test_a_parquet_file(arcage: Run, server: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [PHOTO] * 3, "path": ["a", "b", "c"]}), tmp_path / "x.parquet")
    Handler.files["/x.parquet"] = (tmp_path / "x.parquet").read_bytes()
    for url in (f"{server}/x.parquet", f"{server}/x.parquet?sig=1"):
        done = arcage("predict", url)
        assert rows(done) == [(f"{url}#{name}", "ok", "") for name in "abc"]
    for path, code, error in (
        ("/404/x.parquet", 1, "no such file"),
        ("/403/x.parquet", 1, "HTTP 403 Forbidden"),
        ("/500/x.parquet", 3, "HTTP 500 Internal Server Error"),
    ):
        done = arcage("predict", server + path)
        assert [row[2] for row in rows(done)] == [error]
        assert done.exit_code == code


@pytest.mark.parametrize(
    ("trouble", "code", "errors"),
    [
        ("500", 3, {"HTTP 500 Internal Server Error"}),
        ("404", 0, {"row group 0 cannot be read: HTTP 404 Not Found"}),
        ("short", 0, {"row group 0 cannot be read: the transfer broke off"}),
    ],
)
def test_a_server_that_fails_in_the_middle_of_a_parquet_file(
    arcage: Run, server: str, tmp_path: Path, trouble: str, code: int, errors: set[str]
) -> None:
    photos = [PHOTO + b" " * (100_000 + i) for i in range(40)]
    names = [f"{i}.jpg" for i in range(40)]
    table = pa.table({"image": photos, "path": names})
    pq.write_table(table, tmp_path / "x.parquet", compression="none", use_dictionary=False)
    Handler.files["x.parquet"] = (tmp_path / "x.parquet").read_bytes()
    assert [row[1] for row in rows(arcage("predict", f"{server}/parts/999/0/x.parquet"))] == ["ok"] * 40
    asked = Handler.asked["/parts/999/0/x.parquet"]
    url = f"{server}/parts/{asked - 1}/{trouble}/x.parquet"
    done = arcage("predict", url)
    assert [path for path, _, _ in rows(done)] == [f"{url}#{i}.jpg" for i in range(40)]
    assert {error for _, status, error in rows(done) if status != "ok"} == errors
    assert done.exit_code == code


# Names and schemes


def test_names_of_urls() -> None:
    assert url_name("http://h/a%20b.jpg?sig=x.png#f") == "a b.jpg"
    assert url_name("s3://b/a?b#c.jpg") == "a?b#c.jpg"
    assert url_name("zip://d/a.jpg::s3://b/c.zip") == "a.jpg"
    assert url_name("simplecache::http://h/a.jpg?x=1") == "a.jpg"
    assert url_name("http://h/") == "h"
    assert is_one_image("HTTPS://h/a.JPG?sig=1")
    assert not is_one_image("https://h/photos/")
    assert url_links("http://[::1]:80/a.jpg") == ["http://[::1]:80/a.jpg"]
    assert url_links("s3://b/a::b.jpg") == ["s3://b/a::b.jpg"]
    assert url_links("filecache::zip://a.jpg::c.zip") == ["filecache", "zip://a.jpg", "c.zip"]


def test_capitals_in_a_scheme(arcage: Run, server: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    for url in (server.replace("http", "HTTP") + "/a.jpg", f"FILE://{tmp_path}/a.jpg"):
        done = arcage("predict", url)
        assert (rows(done), done.exit_code) == ([(url, "ok", "")], 0)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives(arcage: Run, server: str, tmp_path: Path, kind: str) -> None:
    import tarfile
    import zipfile

    (tmp_path / "in/b").mkdir(parents=True)
    for name in ("a.jpg", "b/c.jpg"):
        (tmp_path / "in" / name).write_bytes(PHOTO)
    place = f"{tmp_path}/p.{kind}"
    with zipfile.ZipFile(place, "w") if kind == "zip" else tarfile.open(place, "w") as archive:
        add = archive.write if isinstance(archive, zipfile.ZipFile) else archive.add
        for name in ("a.jpg", "b/c.jpg"):
            add(tmp_path / "in" / name, name)
    for url, names in (
        (f"{kind}://a.jpg::{place}", ["a.jpg"]),
        (f"{kind.upper()}://b/c.jpg::{place}", ["b/c.jpg"]),
        (f"{kind}://b::{place}", ["b/c.jpg"]),
        (f"{kind}://::{place}", ["a.jpg", "b/c.jpg"]),
    ):
        done = arcage("predict", url)
        scheme = url.split("://")[0]
        assert rows(done) == [(f"{scheme}://{name}::{place}", "ok", "") for name in names], url
    assert rows(arcage("predict", f"{kind}://none.jpg::{place}"))[0][2] == "no such file"
    assert rows(arcage("predict", f"{kind}://a.jpg::{tmp_path}/none.{kind}"))[0][2] == "no such file"


def test_a_damaged_file_in_an_archive_costs_no_other(arcage: Run, server: str, tmp_path: Path) -> None:
    import zipfile

    place = tmp_path / "p.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
            archive.writestr(name, PHOTO)
    data = bytearray(place.read_bytes())
    data[data.index(PHOTO)] ^= 1
    at = -1
    for _ in range(2):  # the flag of an encrypted file
        at = data.index(b"PK\1\2", at + 1)
    data[at + 8] |= 1
    data[data.index(b"b.jpg") - 30 + 6] |= 1
    place.write_bytes(data)
    done = arcage("predict", f"zip://::{place}")
    assert [(status, error) for _, status, error in rows(done)] == [
        ("unreadable", "cannot be read from the archive: Bad CRC-32 for file 'a.jpg'"),
        (
            "unreadable",
            "cannot be read from the archive: File 'b.jpg' is encrypted, password required for extraction",
        ),
        ("ok", ""),
        ("ok", ""),
    ]
    assert done.exit_code == 0


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_damaged_archive_is_a_row(arcage: Run, server: str, tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    (tmp_path / "cut").write_bytes(b"PK\3\4" + bytes(1000) if kind == "zip" else b"x" * 1000)
    for name in ("", "a.jpg"):
        url = f"{kind}://{name}::{tmp_path}/cut"
        ((_, status, error),) = rows(arcage("predict", url))
        assert (status, error.split(":")[0]) == ("unreadable", "the archive cannot be read")
        done = arcage("predict", url, tmp_path / "a.jpg")
        assert sorted(status for _, status, _ in rows(done)) == ["ok", "unreadable"]
        assert done.exit_code == 0
        done = arcage("predict", f"{kind}://{name}::{tmp_path}")
        assert f"{tmp_path} is a folder" in rows(done)[0][2]


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("zip://", 2, "zip://photo.jpg::photos.zip"),
        ("zip://a.jpg", 2, "zip://photo.jpg::photos.zip"),
        ("TAR://a.jpg", 2, "tar://photo.jpg::photos.tar"),
        ("nonsense://a.jpg", 2, "nonsense://"),
        ("simplecache::nonsense://a.jpg", 2, "nonsense://"),
        ("reference://a.jpg", 1, "cannot open"),
        ("http://", 1, "not a valid URL"),
        ("http://127.0.0.1:99999/a.jpg", 1, "not a valid URL"),
        ("http://[::1/a.jpg", 1, "not a valid URL"),
        ("simplecache::http://127.0.0.1:1/a.jpg", 3, "simplecache::http://127.0.0.1:1"),
        ("ftp://127.0.0.1:1/a.jpg", 3, "Connection refused"),
        ("data:image/jpeg;base64,AAAA", 2, "no such file or folder"),
    ],
)
def test_urls_that_cannot_be_opened(arcage: Run, server: str, url: str, code: int, words: str) -> None:
    done = arcage("predict", url)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert os.linesep.join(done.stderr.splitlines()).count("\n") == 0


def test_in_a_list_an_unknown_scheme_is_a_row(arcage: Run, server: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"nonsense://a.jpg\nnonsense://b\n{server}/a.jpg\nzip://a.jpg\n")
    done = arcage("predict", "--from-file", tmp_path / "list.txt")
    assert [status for _, status, _ in rows(done)] == ["ok", "unreadable", "unreadable", "unreadable"]
    assert done.exit_code == 0
