"""Responses of HTTP servers: to downloads of packs, to requests for images and for index pages."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from arcage.embedder.packs import transfer
from arcage.embedder.packs.transfer import download
from arcage.errors import ModelError
from arcage.sources import http, servers
from arcage.sources.remote import list_folder, read
from tools.fuzz.campaign import Case, Verdict
from tools.fuzz.mutate import mutate

_FILE = transfer.ZIP_MAGIC + bytes(range(256)) * 8
_PAGE = b'<a href="a.jpg">a</a> <a href="d/">d</a> http://127.0.0.1/x/b.jpg'
_TYPES = {b"zip": _FILE, b"jpeg": _FILE, b"html": _PAGE}


class Fetch:
    """Each request of a case gets the same response. A download counts as answered if the file is right."""

    name = "fetch"

    def prepare(self, folder: Path) -> None:
        # Otherwise a server that waits would take most of the time.
        transfer.TIMEOUT = transfer.HEAD_SECONDS = transfer.PERIOD = 0.5
        http.SILENT_SECONDS = http.HEAD_SECONDS = 0.5  # type: ignore[assignment]
        servers.PAUSES = (0.0,)  # type: ignore[assignment]
        self._response = b""
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        threading.Thread(target=self._serve, daemon=True).start()
        self._seeds = [
            response for kind, body in _TYPES.items() for response in _responses(b"text/" + kind, body)
        ]

    def case(self, rng: np.random.Generator) -> Case:
        seed = self._seeds[int(rng.integers(len(self._seeds)))]
        data = seed if rng.integers(20) == 0 else mutate(rng, seed, self._seeds)
        if rng.integers(20) == 0:
            data *= int(rng.integers(2, 300))
        # The first byte says which request is made, and whether the connection is left open.
        return Case(rng.bytes(1) + data)

    def run(self, case: Case) -> Verdict:
        kind, self._response = case.data[0], case.data[1:]
        self._stays_open = kind >= 250
        address = f"http://127.0.0.1:{self._listening.getsockname()[1]}/x/"
        servers.forget_failures()
        if kind % 3 == 0:
            file = io.BytesIO(_FILE[: 100 * (kind % 2)])
            download(address + "a.zip", "", file, lambda *_: None)
            if hashlib.sha256(file.getvalue()).digest() != hashlib.sha256(_FILE).digest():
                raise ModelError("not the expected file")
        elif kind % 3 == 1:
            read(address + "a.jpg")
        else:
            try:
                list_folder(address)
            except FileNotFoundError:
                return "refused"
        return "answered"

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(2)
            while connection.recv(65536):
                connection.sendall(self._response)
                if not self._stays_open:
                    break


def _responses(kind: bytes, body: bytes) -> list[bytes]:
    half = len(body) // 2
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n" % kind
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    chunks = b"%x\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\nX: y\r\n\r\n"
    part = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n"
    empty = b"HTTP/1.1 %s\r\nContent-Length: 0\r\n%s\r\n"
    return [
        head + length + body,
        head + b"\r\n" + body,
        head
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + chunks % (half, body[:half], len(body) - half, body[half:]),
        head + b"Content-Encoding: gzip\r\n" + length + body,
        b"HTTP/1.1 100 Continue\r\n\r\n" + head + length + body,
        part % (0, len(body) - 1, len(body), len(body)) + body,
        part % (100, len(body) - 1, len(body), len(body) - 100) + body[100:],
        empty % (b"302 Found", b"Location: /x/elsewhere\r\n"),
        empty % (b"416 Range Not Satisfiable", b"Content-Range: bytes */100\r\n"),
        empty % (b"503 Slow Down", b"Retry-After: 0\r\n"),
        empty % (b"404 Not Found", b""),
    ]
