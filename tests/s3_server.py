"""A local S3 server, moto, whose objects can misbehave. Run as a script, it prints its port.

The folder of an object says how its GET is answered: ``slow/`` sends some bytes and then nothing, ``long/``
announces more bytes than it sends, ``endless/`` does not stop sending, ``silent/`` does not answer. In
``size-9/`` the size of each object is said to be 9. See :func:`main` for the arguments.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Misbehaving:
    """WSGI application around that of moto."""

    def __init__(self, app: Any, most: int) -> None:
        self._app = app
        self._counts = most > 0
        self._left = most
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        folder = [*environ["PATH_INFO"].split("/"), "", ""][2]
        kind, method = folder.partition("-")[0], environ["REQUEST_METHOD"]
        if method == "GET" and folder and self._counts:
            self._count()
        if kind not in {"slow", "long", "endless", "silent", "size"} or method == "PUT":
            return self._app(environ, start)  # type: ignore[no-any-return]
        if kind == "silent":
            time.sleep(5)
        found: list[tuple[str, list[tuple[str, str]]]] = []
        data = b"".join(self._app(environ, lambda status, headers, _=None: found.append((status, headers))))
        ((status, headers),) = found
        size = {"long": len(data) + 1000, "endless": 10**12}.get(kind, len(data))
        if kind == "size" and method == "HEAD":
            size = int(folder.partition("-")[2])
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start(status, [*kept, ("Content-Length", str(size))])
        return _stalling(data) if kind == "slow" else _endless(data) if kind == "endless" else [data]

    def _count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left < 0:
                os._exit(0)


def _stalling(data: bytes) -> Iterator[bytes]:
    yield data[:10]
    time.sleep(5)


def _endless(data: bytes) -> Iterator[bytes]:
    yield data
    while True:
        yield bytes(1 << 20)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        pass


def main() -> None:
    """Serve until standard input is closed. Arguments: port, and the number of objects until it goes down."""
    port, most = [*map(int, sys.argv[1:]), 0, 0][:2]
    app = Misbehaving(DomainDispatcherApplication(create_backend_app), most)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
