"""Where heads are: paths, pinned files, and URLs, which are downloaded once and verified."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import faces

from arcage.errors import ArcageError, HeadsError, RemoteError
from arcage.heads.model import Heads
from arcage.heads.place import HeadsPlace, heads_path, short_name
from arcage.heads.store import load_heads, pack_heads, save_heads

SHA = "0123456789abcdef" * 4
Put = Callable[[bytes], str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloaded heads."""
    monkeypatch.setattr("arcage.heads.place.cache_home", lambda: tmp_path / "user")
    monkeypatch.delenv("ARCAGE_OFFLINE", raising=False)
    return tmp_path / "user" / "heads"


@pytest.fixture
def put() -> Iterator[Put]:
    """Put a file into the memory file system of fsspec, and return its URL."""
    fsspec = pytest.importorskip("fsspec")
    name = uuid.uuid4().hex
    system = fsspec.filesystem("memory")

    def write(data: bytes) -> str:
        system.pipe(f"/{name}/heads.arcage", data)
        return f"memory://{name}/heads.arcage"

    yield write
    if system.exists(f"/{name}"):
        system.rm(f"/{name}", recursive=True)


@pytest.fixture(scope="module")
def packed(fitted: Heads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    save_heads(fitted, folder / "h", "card")
    pack_heads(str(folder / "h"), folder / "mine.arcage")
    return folder / "mine.arcage"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("name", "path", "digest", "remote"),
    [
        ("h", "h", "", False),
        (Path("a/h"), "a/h", "", False),
        ("h#1", "h#1", "", False),
        (f"x.arcage#sha256={SHA.upper()}", "x.arcage", SHA, False),
        (f"https://u:p@h/a/x.arcage?t=1#sha256={SHA}", "https://u:p@h/a/x.arcage?t=1", SHA, True),
        (f"s3://b/x.arcage#sha256={SHA}", "s3://b/x.arcage", SHA, True),
        (f"file:///a/x.arcage#sha256={SHA}", "/a/x.arcage", SHA, False),
        ("file:///a/h", "/a/h", "", False),
    ],
)
def test_parse(name: str | Path, path: str, digest: str, remote: bool) -> None:
    place = HeadsPlace.parse(name)
    assert (place.path, place.sha256, place.is_remote) == (path, digest, remote)
    assert heads_path(name) == (None if remote else Path(path))


def test_names_for_model_cards_have_no_path_and_no_secret() -> None:
    assert short_name(None) == "bundled"
    assert short_name("bundled") == "bundled"
    assert short_name(Path("/home/me/h")) == "h"
    assert short_name(f"https://me:secret@host/a/mine.arcage?token=x#sha256={SHA}") == "mine.arcage"
    assert heads_path(None) is heads_path("bundled") is heads_path("wheel") is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("https://host/heads.arcage", "need their sha256"),
        ("s3://bucket/heads.arcage", "need their sha256"),
        ("https://host/heads.arcage#sha256=", "0 hexadecimal digits, not 64"),
        (f"https://host/heads.arcage#sha256={SHA}0", "65 hexadecimal digits"),
        ("heads.arcage#sha256=12", "2 hexadecimal digits"),
    ],
)
def test_a_url_needs_a_whole_sha256(name: str, words: str) -> None:
    with pytest.raises(HeadsError, match=words):
        heads_path(name)


def test_a_pinned_file_is_verified_before_it_is_opened(packed: Path, tmp_path: Path) -> None:
    digest = sha256(packed.read_bytes())
    assert load_heads(f"{packed}#sha256={digest}").fingerprint == "f" * 16
    with pytest.raises(HeadsError, match=f"has the sha256 {digest}, not {SHA}"):
        load_heads(f"{packed}#sha256={SHA}")
    with pytest.raises(HeadsError, match="only heads in one file"):
        load_heads(f"{packed.parent}#sha256={SHA}")
    with pytest.raises(HeadsError, match="no such file"):
        load_heads(f"{tmp_path}/none.arcage#sha256={SHA}")


def test_a_url_is_downloaded_once(
    packed: Path, cache: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, digest = put(packed.read_bytes()), sha256(packed.read_bytes())
    heads = load_heads(f"{url}#sha256={digest}")
    x = faces(10, 3)[0]
    np.testing.assert_array_equal(heads.predict(x).age, load_heads(packed).predict(x).age)
    assert [path.name for path in cache.iterdir()] == [f"{digest}.arcage"]
    put(b"gone")
    monkeypatch.setenv("ARCAGE_OFFLINE", "1")
    assert load_heads(f"{url}#sha256={digest}").manifest == heads.manifest


def test_a_damaged_copy_is_downloaded_again(packed: Path, cache: Path, put: Put) -> None:
    url, digest = put(packed.read_bytes()), sha256(packed.read_bytes())
    cache.mkdir(parents=True)
    copy = cache / f"{digest}.arcage"
    copy.write_bytes(packed.read_bytes()[:-5])
    load_heads(f"{url}#sha256={digest}")
    assert copy.read_bytes() == packed.read_bytes()


def test_another_file_is_neither_opened_nor_kept(cache: Path, put: Put) -> None:
    url = put(b"PK\x03\x04 something else")
    with pytest.raises(HeadsError, match="nothing was opened or kept"):
        load_heads(f"{url}#sha256={SHA}")
    assert not cache.exists()


def test_a_file_with_the_right_sha256_that_is_no_heads(cache: Path, put: Put) -> None:
    url = put(b"hello")
    with pytest.raises(HeadsError, match=f"the heads in {url} cannot be read"):
        load_heads(f"{url}#sha256={sha256(b'hello')}")


def test_a_missing_file_and_an_offline_machine(
    cache: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put(b"x")
    with pytest.raises(HeadsError, match="no such file; check the address"):
        load_heads(f"{url}.not#sha256={SHA}")
    monkeypatch.setenv("ARCAGE_OFFLINE", "1")
    with pytest.raises(ArcageError, match="ARCAGE_OFFLINE is set"):
        load_heads(f"{url}#sha256={SHA}")


def test_too_large_a_file(cache: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.heads.place.MAX_BYTES", 100)
    with pytest.raises(HeadsError, match="limit is 100 bytes"):
        load_heads(f"{put(bytes(101))}#sha256={SHA}")


def test_no_home_folder(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.heads.place.cache_home", lambda: None)
    with pytest.raises(HeadsError, match="there is no cache folder"):
        load_heads(f"{put(b'x')}#sha256={SHA}")


def test_http(packed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    from arcage.sources import servers

    monkeypatch.setattr(servers, "PAUSES", (0.01,))
    monkeypatch.setattr(servers, "_SERVERS", {})
    data = packed.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/mine.arcage" else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        heads = load_heads(f"{url}/mine.arcage#sha256={sha256(data)}")
        assert heads.fingerprint == "f" * 16
        with pytest.raises(HeadsError, match="check the address"):
            load_heads(f"{url}/other.arcage#sha256={SHA}")
    finally:
        server.shutdown()
        server.server_close()
    assert load_heads(f"{url}/mine.arcage#sha256={sha256(data)}").manifest == heads.manifest
    with pytest.raises(RemoteError):
        load_heads(f"{url}/mine.arcage#sha256={SHA}")
