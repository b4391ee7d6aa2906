"""`arcage models fetch` and `verify` against a server on this machine that cuts, stalls and lies."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import graphs
import pytest

import arcage.embedder.packs.download
from arcage.embedder.packs.download import MEGABYTES, RELEASE, fetch, offer
from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.insightface import insightface_home
from arcage.embedder.packs.inventory import verify_models
from arcage.embedder.packs.record import LOCK
from arcage.errors import ModelError, OutputError, UsageError

Run = Callable[..., Any]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range"))
        self.server.paths.append(self.path)
        self.server.answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def give(self, status: int, body: bytes, **headers: str | int) -> None:
        """Answer with ``body``, and with its length unless the headers say another."""
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Gives ``data`` as a good server does, until ``answer`` is replaced."""

    data = b""
    block_on_close = False

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.paths: list[str] = []
        self.answer: Callable[[Handler], None] = self.well
        self.stop = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mirror"

    def handle_error(self, *_: object) -> None:
        pass  # the client hung up, as some tests have it

    def well(self, handler: Handler) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(match[1]) if match else 0
        total = len(self.data)
        if match and start >= total:
            handler.give(416, b"", Content_Range=f"bytes */{total}")
        elif match:
            handler.give(206, self.data[start:], Content_Range=f"bytes {start}-{total - 1}/{total}")
        else:
            handler.give(200, self.data)

    def cut(self, at: int) -> Callable[[Handler], None]:
        """The right length, and then the connection closed after ``at`` bytes."""
        return lambda handler: handler.give(200, self.data[:at], Content_Length=len(self.data))


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    """Of a pack like ``buffalo_s``."""
    made = {
        "2d106det.onnx": graphs.attribute(192, 212),
        "det_500m.onnx": graphs.scrfd(),
        "w600k_mbf.onnx": graphs.mobilefacenet(),
    }
    return {name: model.SerializeToString() for name, model in made.items()}


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.fixture
def server(members: dict[str, bytes]) -> Iterator[Server]:
    with Server() as made:
        made.data = packed(members)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.stop.set()
        made.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packs go: empty, and no proxy and no setting of the user's in the way."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name.startswith("ARCAGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    folder = insightface_home()
    assert folder is not None
    return folder


def left(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


PART = ".arcage-buffalo_s.zip.part"


# What comes


def test_a_pack_is_downloaded_recorded_and_used(
    server: Server, home: Path, members: dict[str, bytes], arcage: Run
) -> None:
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url)
    assert done.exit_code == 0, done.stderr
    assert server.paths == ["/mirror/buffalo_s.zip"]
    assert left(home) == ["buffalo_s"]
    folder = home / "buffalo_s"
    assert left(folder) == sorted([*members, LOCK])
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    archive = hashlib.sha256(server.data).hexdigest()
    assert json.loads((folder / LOCK).read_text("utf-8")) == {
        "archive": {"url": f"{server.url}/buffalo_s.zip", "sha256": archive},
        "files": digests,
    }
    for name, digest in {"buffalo_s.zip": archive, **digests}.items():
        assert f"{digest}  {name}" in done.stderr
    pack = find_pack("buffalo_s")
    assert [model.file for model in pack.models] == ["det_500m.onnx", "w600k_mbf.onnx"]
    states = {found.file: found.state for found in verify_models("buffalo_s")}
    assert states == dict.fromkeys(members, "right")

    again = arcage("models", "fetch", "buffalo_s", "--mirror", server.url)
    assert again.exit_code == 0
    assert "here already" in again.stderr
    assert len(server.asked) == 1


def test_the_zip_file_of_a_download_that_was_killed_at_its_end(
    server: Server, home: Path, arcage: Run
) -> None:
    fetch(offer("buffalo_s", server.url))
    part = home / PART
    part.write_bytes(b"PK")
    done = arcage("models", "fetch", "buffalo_s")
    assert done.exit_code == 0
    assert "here already" in done.stderr
    assert not part.exists()


def test_the_folder_within_the_zip_of_antelopev2_is_left_out(server: Server, home: Path) -> None:
    server.data = packed(
        {
            "antelopev2/scrfd_10g_bnkps.onnx": graphs.scrfd().SerializeToString(),
            "antelopev2/glintr100.onnx": graphs.iresnet().SerializeToString(),
            "antelopev2/readme.txt": b"not a model",
        }
    )
    fetched = fetch(offer("antelopev2", server.url))
    assert left(fetched.folder) == ["glintr100.onnx", "scrfd_10g_bnkps.onnx", LOCK]
    assert find_pack("antelopev2").folder == fetched.folder


def test_progress_is_told_how_much_is_here(server: Server) -> None:
    told: list[tuple[int, int | None]] = []
    fetch(offer("buffalo_s", server.url), lambda here, total: told.append((here, total)))
    assert [here for here, _ in told] == sorted({here for here, _ in told})
    assert told[-1] == (len(server.data), len(server.data))


def test_a_server_that_says_no_length(server: Server) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(server.data)

    server.answer = answer
    assert fetch(offer("buffalo_s", server.url)).archive == hashlib.sha256(server.data).hexdigest()


def test_a_redirect_is_followed(server: Server) -> None:
    def answer(handler: Handler) -> None:
        if handler.path.startswith("/mirror"):
            handler.give(302, b"", Location=f"http://127.0.0.1:{server.server_port}/elsewhere?token=1")
        else:
            server.well(handler)

    server.answer = answer
    fetched = fetch(offer("buffalo_s", server.url))
    assert server.paths == ["/mirror/buffalo_s.zip", "/elsewhere?token=1"]
    # The address it led to may hold a key, and is not kept.
    assert "token" not in (fetched.folder / LOCK).read_text("utf-8")


@pytest.mark.parametrize(
    "target", ["http://example.invalid/x.zip", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_a_redirect_to_what_is_not_encrypted_is_refused(server: Server, target: str, home: Path) -> None:
    server.answer = lambda handler: handler.give(302, b"", Location=target)
    with pytest.raises((UsageError, ModelError), match=r"not encrypted|HTTP 302"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []


def test_a_proxy_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    digest = hashlib.sha256(server.data).hexdigest()
    fetch(offer("buffalo_s", "http://mirror.invalid/packs", digest.upper()))
    assert server.paths == ["http://mirror.invalid/packs/buffalo_s.zip"]


# What breaks


def test_a_download_that_broke_goes_on(server: Server, home: Path) -> None:
    half = len(server.data) // 2
    server.answer = server.cut(half)
    with pytest.raises(ModelError, match=rf"broke off after {half:,} of .* same command again"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == [PART]
    assert (home / PART).read_bytes() == server.data[:half]
    server.answer = server.well
    fetch(offer("buffalo_s", server.url))
    assert server.asked == [None, f"bytes={half}-"]
    assert left(home) == ["buffalo_s"]


def test_a_server_that_stalls(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcage.embedder.packs.download, "TIMEOUT", 0.2)

    def answer(handler: Handler) -> None:
        server.cut(1000)(handler)
        server.stop.wait(10)

    server.answer = answer
    with pytest.raises(ModelError, match="has sent nothing for"):
        fetch(offer("buffalo_s", server.url))
    assert (home / PART).stat().st_size == 1000
    server.answer = server.well
    fetch(offer("buffalo_s", server.url))
    assert server.asked == [None, "bytes=1000-"]


def test_a_server_that_never_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcage.embedder.packs.download, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(ModelError, match="has sent nothing for"):
            fetch(offer("buffalo_s", f"http://127.0.0.1:{silent.getsockname()[1]}"))
        port = silent.getsockname()[1]
    with pytest.raises(ModelError, match=r"cannot download.*refused.*HTTPS_PROXY"):
        fetch(offer("buffalo_s", f"http://127.0.0.1:{port}"))
    assert left(home) == []


def test_a_download_of_which_all_is_here(server: Server, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PART).write_bytes(server.data)
    fetch(offer("buffalo_s", server.url))
    assert server.asked == [f"bytes={len(server.data)}-"]
    assert left(home) == ["buffalo_s"]


def test_more_is_here_than_the_server_has(server: Server, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PART).write_bytes(server.data + b"more")
    fetch(offer("buffalo_s", server.url))
    assert server.asked == [f"bytes={len(server.data) + 4}-", None]


def test_a_server_that_ignores_range(server: Server, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PART).write_bytes(server.data[:1000])
    server.answer = lambda handler: handler.give(200, server.data)
    assert fetch(offer("buffalo_s", server.url)).archive == hashlib.sha256(server.data).hexdigest()
    assert server.asked == ["bytes=1000-"]


@pytest.mark.parametrize("body", [b"<html>log in</html>", b""], ids=["page", "nothing"])
def test_a_page_in_between_costs_nothing(server: Server, home: Path, body: bytes) -> None:
    home.mkdir(parents=True)
    (home / PART).write_bytes(server.data[:1000])
    server.answer = lambda handler: handler.give(200, body)
    with pytest.raises(ModelError, match=r"something else than a zip file|sent nothing"):
        fetch(offer("buffalo_s", server.url))
    server.answer = server.well
    fetch(offer("buffalo_s", server.url))
    assert server.asked == ["bytes=1000-"] * 2


@pytest.mark.parametrize(
    "said", ["bytes 0-9/{total}", "bytes 1001-{last}/{total}", "", "bytes 1000-2/" + "9" * 5000]
)
def test_a_server_that_sends_another_part(server: Server, home: Path, said: str) -> None:
    home.mkdir(parents=True)
    (home / PART).write_bytes(server.data[:1000])
    total = len(server.data)
    said = said.format(total=total, last=total - 1)
    server.answer = lambda handler: handler.give(206, server.data[1000:], Content_Range=said)
    with pytest.raises(ModelError, match="another part"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []


def test_parts_of_two_files_are_no_pack(server: Server, home: Path) -> None:
    home.mkdir(parents=True)
    (home / PART).write_bytes(b"\0" * 1000)
    with pytest.raises(ModelError, match=r"damaged zip file.*fetch it again"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []
    fetch(offer("buffalo_s", server.url))


def test_two_at_once(server: Server, home: Path) -> None:
    pytest.importorskip("fcntl")
    began, go_on = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        began.set()
        go_on.wait(10)
        server.well(handler)

    server.answer = answer
    first = threading.Thread(target=fetch, args=(offer("buffalo_s", server.url),))
    first.start()
    assert began.wait(10)
    with pytest.raises(ModelError, match="another arcage"):
        fetch(offer("buffalo_s", server.url))
    go_on.set()
    first.join()
    assert left(home) == ["buffalo_s"]


def test_a_process_that_is_killed_leaves_what_it_got(server: Server, home: Path) -> None:
    began = threading.Event()

    def answer(handler: Handler) -> None:
        server.cut(len(server.data) - 100)(handler)
        began.set()
        server.stop.wait(10)

    server.answer = answer
    code = (
        "import sys; from arcage.embedder.packs.download import fetch, offer; "
        "fetch(offer('buffalo_s', sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, "-c", code, server.url], env=environment)
    assert began.wait(60)
    process.kill()
    process.wait()
    server.answer = server.well
    fetch(offer("buffalo_s", server.url))
    assert left(home) == ["buffalo_s"]


# What lies


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b"\n", b"PK\x05\x06"], ids=["page", "byte", "empty"]
)
def test_what_is_no_zip_is_not_kept(server: Server, home: Path, body: bytes) -> None:
    server.answer = lambda handler: handler.give(200, body, Content_Type="application/zip")
    with pytest.raises(ModelError, match="something else than a zip file"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []


def test_a_length_that_is_too_short(server: Server, home: Path) -> None:
    server.answer = lambda handler: handler.give(200, server.data, Content_Length=len(server.data) - 200)
    with pytest.raises(ModelError, match="damaged zip file"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []


def test_no_length_and_a_cut(server: Server, home: Path) -> None:
    server.answer = lambda handler: handler.give(200, server.data[:-200], Content_Length="?")
    with pytest.raises(ModelError, match="damaged zip file"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []


def test_too_large(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcage.embedder.packs.download, "MAX_ARCHIVE", 1000)
    for length in (len(server.data), "?"):
        server.answer = lambda handler, length=length: handler.give(200, server.data, Content_Length=length)  # type: ignore[misc]
        with pytest.raises(ModelError, match="larger than 1,000 bytes"):
            fetch(offer("buffalo_s", server.url))
        assert left(home) == []


def test_another_sha256_than_was_asked_for(server: Server, home: Path, arcage: Run) -> None:
    wrong = "0" * 64
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url, "--sha256", wrong)
    assert done.exit_code == 3
    assert hashlib.sha256(server.data).hexdigest() in done.stderr
    assert left(home) == []


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 503])
def test_a_server_that_refuses(server: Server, home: Path, code: int) -> None:
    server.answer = lambda handler: handler.give(code, b"\x1b[31m")
    with pytest.raises(ModelError, match=f"HTTP {code}.*ARCAGE_MIRROR") as caught:
        fetch(offer("buffalo_s", server.url))
    assert "\x1b" not in str(caught.value)
    assert left(home) == []


def test_a_server_that_speaks_no_http(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x1b[31mSSH-2.0\r\n\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(ModelError, match="cannot download") as caught:
            fetch(offer("buffalo_s", f"http://127.0.0.1:{listening.getsockname()[1]}"))
        thread.join()
    assert "\x1b" not in str(caught.value)
    assert left(home) == []


def link() -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("det_500m.onnx")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, b"/etc/passwd"


HOSTILE: dict[str, list[tuple[Any, bytes]]] = {
    "up": [("../evil.onnx", b"x")],
    "up within": [("buffalo_s/../../evil.onnx", b"x")],
    "root": [("/tmp/evil.onnx", b"x")],
    "drive": [("C:\\evil.onnx", b"x")],
    "hidden": [(".evil.onnx", b"x")],
    "deep": [("a/b/c.onnx", b"x")],
    "control": [("a\x1b[31m.onnx", b"x")],
    "twice": [("a.onnx", b"x"), ("b/a.onnx", b"y")],
    "link": [link()],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_zip_writes_nothing(server: Server, home: Path, tmp_path: Path, case: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in HOSTILE[case]:
            archive.writestr(name, data)
    server.data = file.getvalue()
    with pytest.raises(ModelError, match="has no place in a pack") as caught:
        fetch(offer("buffalo_s", server.url))
    assert "\x1b" not in str(caught.value)
    assert left(home) == []
    assert left(tmp_path) == ["models"]


def test_a_zip_that_unpacks_to_too_much(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcage.embedder.packs.download, "MAX_UNPACKED", 1 << 20)
    server.data = packed({"a.onnx": bytes(1 << 20), "b.onnx": b"x"})
    assert len(server.data) < 1 << 13
    with pytest.raises(ModelError, match="unpacks to more"):
        fetch(offer("buffalo_s", server.url))
    # A size that is understated does not help: no more than that is unpacked.
    right = (1 << 20).to_bytes(4, "little")
    server.data = packed({"a.onnx": bytes(1 << 20)}).replace(right, (1000).to_bytes(4, "little"))
    with pytest.raises(ModelError, match="damaged zip file"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []


@pytest.mark.parametrize("at", [100, 5000, -10])
def test_a_damaged_zip(server: Server, home: Path, at: int) -> None:
    data = bytearray(server.data)
    data[at] ^= 0xFF
    server.data = bytes(data)
    with pytest.raises(ModelError, match=r"zip"):
        fetch(offer("buffalo_s", server.url))
    assert left(home) == []


def test_a_zip_that_is_no_pack(server: Server, home: Path, members: dict[str, bytes]) -> None:
    for files in ({}, {"readme.txt": b""}, {"det_500m.onnx": members["det_500m.onnx"]}):
        server.data = packed({**files, "notes.txt": b"x"})
        with pytest.raises(ModelError, match="no pack that arcage can use"):
            fetch(offer("buffalo_s", server.url))
        assert left(home) == []


# What is asked first


def test_the_licence_and_the_size_come_before_the_download(server: Server, home: Path, arcage: Run) -> None:
    command = ("models", "fetch", "buffalo_s", "--mirror", server.url)
    for answer, code in ((b"n\n", 1), (b"\n", 1), (b"", 2)):
        done = arcage(*command, stdin=answer)
        assert done.exit_code == code
        assert "about 128 MB" in done.stderr
        assert "non-commercial research only" in done.stderr
        assert f"{server.url}/buffalo_s.zip" in done.stderr
    assert server.asked == []
    assert left(home) == []
    assert arcage(*command, stdin=b"y\n").exit_code == 0
    assert left(home) == ["buffalo_s"]


@pytest.mark.parametrize("value", ["1", "yes"])
def test_offline(
    server: Server, home: Path, arcage: Run, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ARCAGE_OFFLINE", value)
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url)
    assert done.exit_code == 3
    assert "ARCAGE_OFFLINE is set" in done.stderr
    assert server.asked == []
    assert left(home) == []
    monkeypatch.setenv("ARCAGE_OFFLINE", "0")
    assert arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url).exit_code == 0


def test_a_mirror_from_the_environment(
    server: Server, home: Path, arcage: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCAGE_MIRROR", server.url + "/")
    assert arcage("models", "fetch", "buffalo_s", "--yes").exit_code == 0
    assert server.paths == ["/mirror/buffalo_s.zip"]


@pytest.mark.parametrize(
    "mirror",
    [
        "example.org/packs",
        "ftp://example.org",
        "file:///packs",
        "https://",
        "https://me:secret@example.org",
        "https://example.org/?key=secret",
        "https://example.org/a b",
        "https://[::1",
        "https://example.org/\n",
    ],
)
def test_what_is_no_mirror(mirror: str) -> None:
    with pytest.raises(UsageError, match="a mirror is the address") as caught:
        offer("buffalo_s", mirror)
    assert "secret" not in str(caught.value)


def test_a_mirror_that_is_not_encrypted_needs_a_digest() -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        offer("buffalo_s", "http://example.org")
    assert offer("buffalo_s", "http://example.org", "0" * 64).url == "http://example.org/buffalo_s.zip"


def test_usage(home: Path) -> None:
    with pytest.raises(UsageError, match="buffalo_sc"):
        offer("../buffalo_s")
    for digest in ("abc", "g" * 64, "0" * 65):
        with pytest.raises(UsageError, match="64 hexadecimal digits"):
            offer("buffalo_s", "", digest)
    assert offer("buffalo_l").url == f"{RELEASE}/buffalo_l.zip"


def test_without_onnx_nothing_is_downloaded(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="pip install"):
        fetch(offer("buffalo_s", server.url))
    assert server.asked == []


def test_a_folder_that_cannot_be_written(
    server: Server, arcage: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "file"))
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url)
    assert done.exit_code == 3
    assert "cannot write into" in done.stderr
    assert server.asked == []


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
    # The sources read images at URLs that the user names.
    assert sorted(found) == ["embedder/packs/download.py", "sources/failures.py", "sources/http.py"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["models", "list"], 0),
        (["models", "verify"], 0),
        (["models", "fetch", "buffalo_s"], 2),
        (["doctor"], 0),
    ],
    ids=["list", "verify", "fetch, not agreed", "doctor"],
)
def test_these_open_no_connection(bundled: None, compiled: Path, command: list[str], code: int) -> None:
    text = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
from arcage.cli import main
main()
"""
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "XDG_CACHE_HOME": str(compiled)}
    done = subprocess.run(
        [sys.executable, "-c", text, *command],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "socket." not in done.stderr


def test_a_full_disk_keeps_what_came(server: Server, home: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        with pytest.raises(OutputError, match=r"cannot write into .*too large.*kept"):
            fetch(offer("buffalo_s", server.url))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (home / PART).read_bytes() == server.data[:10_000]
    fetch(offer("buffalo_s", server.url))
    assert server.asked == [None, "bytes=10000-"]


@pytest.mark.oracle
def test_insightface_looks_in_the_same_place() -> None:
    storage = pytest.importorskip("insightface.utils.storage", exc_type=ImportError)
    for name in MEGABYTES:
        assert offer(name).url == storage.model_zoo_download_url(f"{name}.zip")


# verify


@pytest.fixture
def fetched(server: Server, home: Path) -> Path:
    return fetch(offer("buffalo_s", server.url)).folder


def test_a_file_that_changed_is_found_and_not_loaded(fetched: Path, arcage: Run) -> None:
    path = fetched / "2d106det.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = arcage("models", "verify", "buffalo_s")
    assert done.exit_code == 3
    assert re.search(r"^damaged +buffalo_s .* 2d106det\.onnx$", done.stdout, re.MULTILINE)
    assert f"remove {fetched} and run `arcage models fetch buffalo_s`" in done.stderr
    with pytest.raises(ModelError, match="not what was fetched"):
        find_pack("buffalo_s")
    assert arcage("models", "fetch", "buffalo_s", "--yes").exit_code == 3


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (lambda folder: (folder / "det_500m.onnx").unlink(), "missing"),
        (lambda folder: (folder / "extra.onnx").write_bytes(b"x"), "foreign"),
        (lambda folder: (folder / LOCK).write_bytes(b"{"), "damaged"),
        (lambda folder: (folder / LOCK).write_bytes(b'{"files": 1}'), "damaged"),
    ],
)
def test_other_harm(fetched: Path, harm: Callable[[Path], object], state: str) -> None:
    harm(fetched)
    (bad,) = [found for found in verify_models("buffalo_s") if found.state != "right"]
    assert bad.state == state
    assert bad.remedy
    with pytest.raises(ModelError):
        find_pack("buffalo_s")


def test_verify_everything(
    fetched: Path, home: Path, arcage: Run, bundled: None, members: dict[str, bytes]
) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "w600k_mbf.onnx").write_bytes(members["w600k_mbf.onnx"])
    done = arcage("models", "verify", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert {(one["pack"], one["state"]) for one in found} == {
        ("compact", "right"),
        ("buffalo_s", "right"),
        ("mine", "unrecorded"),
    }
    assert {one["sha256"] for one in found if one["pack"] == "mine"} == {
        hashlib.sha256(members["w600k_mbf.onnx"]).hexdigest()
    }
    assert {line.split()[1] for line in arcage("models", "verify", "compact").stdout.splitlines()} == {
        "compact"
    }
    assert arcage("models", "verify", "nothing").exit_code == 2


def test_verify_the_bundled_pack(
    bundled: None, arcage: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arcage.embedder.packs.record import BUNDLED

    broken = tmp_path / "bundled"
    broken.mkdir()
    for path in BUNDLED.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[: 1 << 20])
    monkeypatch.setattr("arcage.embedder.packs.record.BUNDLED", broken)
    done = arcage("models", "verify", "compact")
    assert done.exit_code == 3
    assert sum(line.startswith("damaged") for line in done.stdout.splitlines()) == 2
    assert "pip install --force-reinstall --no-deps arcage" in done.stderr
    (broken / "pack.json").unlink()
    assert arcage("models", "verify").exit_code == 3


def test_what_can_be_fetched_is_listed(fetched: Path, arcage: Run, bundled: None) -> None:
    done = arcage("models", "list")
    assert "buffalo_l (289 MB)" in done.stderr
    assert "non-commercial research only" in done.stderr
    assert "buffalo_s (" not in done.stderr
