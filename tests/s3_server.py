"""A local S3 server, moto, whose objects can misbehave. Run as a script, it prints its port.

The folder of an object says how its GET is answered: ``slow/`` sends some bytes and then nothing, ``long/``
announces more bytes than it sends, ``endless/`` does not stop sending, ``500/`` fails. With a number as
argument, the server goes down after as many objects have been read.
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

    def __init__(self, app: Any, most: int | None) -> None:
        self._app = app
        self._left = most
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        folder = environ["PATH_INFO"].split("/")[2:3]
        if environ["REQUEST_METHOD"] != "GET" or not environ["PATH_INFO"].count("/") > 2:
            return self._app(environ, start)  # type: ignore[no-any-return]
        self._count()
        found: list[tuple[str, list[tuple[str, str]]]] = []
        data = b"".join(self._app(environ, lambda status, headers, _=None: found.append((status, headers))))
        status, headers = found[0]
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        size = len(data)
        body: Iterable[bytes] = [data]
        if folder == ["slow"]:
            body = _stalling(data)
        elif folder == ["long"]:
            size += 1000
        elif folder == ["endless"]:
            size = 10**12
            body = _endless(data)
        elif folder == ["500"]:
            data = b"<Error><Code>InternalError</Code><Message>We encountered an error</Message></Error>"
            status, kept = "500 Internal Server Error", [("Content-Type", "application/xml")]
            size, body = len(data), [data]
        start(status, [*kept, ("Content-Length", str(size))])
        return body

    def _count(self) -> None:
        with self._lock:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    os._exit(0)


def _stalling(data: bytes) -> Iterator[bytes]:
    yield data[:10]
    time.sleep(60)


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
    app = Misbehaving(DomainDispatcherApplication(create_backend_app), most or None)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
