from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stores import Broken


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start a local HTTP server and return its URL. Pauses between retries are short."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("fsspec")
    from servers import Handler, Server

    from arcage.sources import servers

    monkeypatch.setattr(servers, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(servers, "_SERVERS", {})
    monkeypatch.setattr(Handler, "asked", Counter())
    monkeypatch.setattr(Handler, "headers_sent", {})
    monkeypatch.setattr(Handler, "files", {})
    running = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> type[Broken]:
    """Register the file system ``broken://``, whose requests fail."""
    fsspec = pytest.importorskip("fsspec")
    from stores import Broken

    fsspec.register_implementation("broken", Broken, clobber=True)
    for name in ("good", "under_way", "most"):
        monkeypatch.setattr(Broken, name, 0)
    return Broken
