"""HTTP servers: addresses, time limits and objects without an end."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import PHOTO, Handler, rows

pytest.importorskip("aiohttp")
pytest.importorskip("fsspec")

from arcage.errors import ImageError, RemoteError
from arcage.sources import http, remote
from arcage.sources import walk as walk_module
from arcage.sources.walk import walk

Run = Callable[..., Any]


def test_a_signed_url_is_requested_unchanged(arcage: Run, server: str) -> None:
    for path in ("/a%20b.jpg?sig=a%2Fb%3D", "/c.jpg?X-Amz-Credential=k%2F1"):
        assert arcage("predict", server + path).exit_code == 0
        assert Handler.asked[path] == 1
    assert arcage("predict", f"{server}/é ü.jpg").exit_code == 0
    assert Handler.asked["/%C3%A9%20%C3%BC.jpg"] == 1


def test_an_endless_response(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_FILE_BYTES", 100_000)
    with pytest.raises(ImageError, match="too large: the limit is 100,000 bytes"):
        remote.read(f"{server}/endless/a.jpg")
    with pytest.raises(ImageError, match="too large for a server without support for ranges"):
        remote.open_file(f"{server}/endless/a.parquet")


def test_a_malformed_response_times_out(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SILENT_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(RemoteError, match="did not respond in time"):
        remote.read(f"{server}/no-chunk/a.jpg")
    assert time.monotonic() - start < 10


def test_a_server_that_does_not_respond(arcage: Run, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SILENT_SECONDS", 0.2)
    done = arcage("predict", *(f"{server}/stuck/{i}.jpg" for i in range(50)))
    assert done.exit_code == 3
    assert {error for _, _, error in rows(done)} == {"the server did not respond in time"}
    assert len(Handler.asked) < 40


@pytest.mark.parametrize("path", ["drip/a.jpg", "drip-head/a.jpg", "drip/", "drip-head/a/"])
def test_a_server_that_sends_a_byte_at_a_time(
    server: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(http, "PERIOD", 0.2)
    start = time.monotonic()
    with pytest.raises(RemoteError, match="did not respond in time"):
        (remote.list_folder if path.endswith("/") else remote.read)(f"{server}/{path}")
    assert time.monotonic() - start < 5


def test_an_endless_index_page(arcage: Run, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_PAGE_BYTES", 100_000)
    done = arcage("predict", f"{server}/endless/")
    assert rows(done) == [(f"{server}/endless/", "unreadable", "the index page is larger than 100,000 bytes")]


def test_more_bytes_than_were_requested(server: str) -> None:
    with remote.open_file(f"{server}/endless-range/a.parquet") as file:
        tracemalloc.start()
        with pytest.raises(ImageError, match="sent more than was requested"):
            file.read(4)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
        tracemalloc.stop()


def test_a_length_above_the_limit_is_not_read(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_FILE_BYTES", 1000)
    start = time.monotonic()
    with pytest.raises(ImageError, match="too large: the limit is 1,000 bytes"):
        remote.read(f"{server}/drip/a.jpg")
    assert time.monotonic() - start < 1


def test_a_server_that_invents_folders(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "MAX_PAGES", 50)
    sources = list(walk([f"{server}/tree/"]))
    assert sources[-1].error.startswith("more than 50 folders")
    assert sum(Handler.asked.values()) <= 51


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


def test_a_server_with_the_same_page_for_every_address(server: str) -> None:
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
        ("short", 0, {"row group 0 cannot be read: the transfer was interrupted"}),
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


def test_a_body_is_in_memory_once() -> None:
    limit, left = 40_000_000, [1_000_000] * 60

    async def readany() -> bytes:
        return bytes(left.pop())

    async def read() -> tuple[int, bool, int]:
        body, is_whole = await http.read_body(readany, limit)
        # Here, because asyncio formats the result of a task as text.
        return len(body), is_whole, tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        size, is_whole, peak = asyncio.run(read())
    finally:
        tracemalloc.stop()
    assert (size, is_whole) == (limit, False)
    assert peak < 1.5 * limit
    with pytest.raises(ImageError, match="too large"):
        asyncio.run(http.read_body(readany, 5, "too large"))
