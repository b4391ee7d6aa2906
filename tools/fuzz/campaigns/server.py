"""Requests to the page of ``arcage app``."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
import time
import zipfile
import zlib
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from arcage.app.limits import Limits
from arcage.images.limits import DecodeLimits
from arcage.output.rows import row_without_face
from arcage.output.selection import Selection
from arcage.types import Prediction
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

_LIMITS = Limits(
    photo_bytes=20_000, zip_bytes=50_000, header_seconds=0.4, upload_seconds=0.4, answer_seconds=2
)
_PHOTO = bytes(range(256)) * 8
_WAIT = 4.0
"""Seconds in which the server has to answer or close the connection."""


class Server:
    """Valid and damaged requests, whole, in pieces or several on one connection.

    After each, an ordinary request has to be answered at once. Nothing is decoded: the row of a photo has its
    checksum.
    """

    name = "server"

    def prepare(self, folder: Path) -> None:
        self._errors = _Errors()
        logging.getLogger().addHandler(self._errors)
        listener = socket.create_server(("127.0.0.1", 0))
        self._port = listener.getsockname()[1]
        server = _make_server()
        logging.getLogger("uvicorn.error").addHandler(self._errors)
        threading.Thread(target=server.run, args=([listener],), daemon=True).start()
        self._seeds = _seeds()

    def case(self, rng: np.random.Generator) -> Case:
        """Return a request. The truth is where it is cut into pieces, and a text in the answer."""
        number = int(rng.integers(len(self._seeds)))
        seed = self._seeds[number]
        cuts = sorted(rng.integers(1, len(seed), int(rng.integers(0, 4))).tolist())
        if rng.integers(20) == 0:
            return Case(
                seed, about=f"request {number}", truth=(cuts, _checksum(_PHOTO) if number < 8 else "")
            )
        head, blank, body = seed.partition(b"\r\n\r\n")
        if rng.integers(2):
            data = mutate(rng, head, self._seeds) + blank + body
        elif rng.integers(2):
            data = head + blank + mutate(rng, body, self._seeds)
        else:
            data = mutate(rng, seed, self._seeds)
        return Case(data, about=f"damaged request {number}", truth=(cuts, ""))

    def run(self, case: Case) -> Verdict:
        cuts, expected = case.truth
        answer = self._ask(case.data, cuts, quiet=0.5 if expected else 0.02)
        if expected not in answer:
            raise SilentChange(f"{expected} is not in {answer!r:.500}")
        photo = case.data[-1000:]
        request = f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n"
        started = time.monotonic()
        if _checksum(photo) not in self._ask(request.encode() + photo, []):
            raise SilentChange("the next request has a wrong answer")
        if time.monotonic() - started > 2:
            raise RuntimeError("the next request waited")
        if self._errors.texts:
            raise RuntimeError(self._errors.texts.pop())
        return "answered" if answer.startswith("HTTP/1.1 200") else "refused"

    def _ask(self, data: bytes, cuts: list[int], quiet: float = 0.02) -> str:
        """Send a request in pieces, and return what arrives, until there is nothing for some seconds."""
        received = b""
        end = time.monotonic() + _WAIT
        with socket.create_connection(("127.0.0.1", self._port), _WAIT) as connection:
            try:
                for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
                    connection.sendall(data[start:stop])
                    time.sleep(0.001 if cuts else 0)
                while part := connection.recv(1 << 16):
                    received += part
                    connection.settimeout(quiet)  # a connection that is kept for the next request
            except TimeoutError:
                if not received:
                    raise RuntimeError("the server neither answers nor closes the connection") from None
            except OSError:  # the server has closed the connection
                pass
        if time.monotonic() > end:
            raise RuntimeError(f"the connection was open for more than {_WAIT} s")
        return received.decode("latin-1")


class _Errors(logging.Handler):
    """Keeps what is logged: nothing may be."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record))


class _Checksums:
    """Stands in for :class:`arcage.Predictor`."""

    limits = DecodeLimits()

    def with_selection(self, selection: Selection) -> _Checksums:
        return self

    def stream(self, sources: Iterable[Any]) -> Generator[tuple[Any, list[Prediction]]]:
        for source in sources:
            yield source, [row_without_face(source.path, source.error or _checksum(source.read()))]


def _checksum(data: bytes) -> str:
    return f"checksum {zlib.crc32(data):08x}"


def _make_server() -> Any:
    from arcage.app.readiness import Readiness
    from arcage.app.server import make_app
    from arcage.app.service import Service

    predictor: Any = _Checksums()
    readiness = Readiness(loaded=True)
    return Service(make_app(predictor, {"localhost"}, (), _LIMITS, readiness), _LIMITS, readiness)


def _seeds() -> list[bytes]:
    """Return requests; the first ones are answered with the checksum of the photo."""

    def request(line: str, body: bytes = b"", *headers: str) -> bytes:
        head = [f"{line} HTTP/1.1", "Host: localhost", *headers]
        if not any(header.startswith("Transfer-Encoding") for header in headers) and body:
            head.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*head, "", ""]).encode() + body

    form = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n%b\r\n--XX--\r\n'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.jpg", "b/\u00fc.png", "notes.txt"):
            archive.writestr(zipfile.ZipInfo(name), _PHOTO)
    chunks = b"".join(b"%x\r\n%b\r\n" % (256, _PHOTO[at : at + 256]) for at in range(0, len(_PHOTO), 256))
    part = form.removesuffix(b"--XX--\r\n")
    options = "?faces=largest&min_score=0.5&interval=80&under=18&under=21&max_width=9&pictures=0"
    photo, batch = "POST /api/predict?name=%C3%A4.jpg", "POST /api/batch?pictures=1"
    return [
        request(photo, _PHOTO),
        request(photo, form % _PHOTO, "Content-Type: multipart/form-data; boundary=XX"),
        request(photo, chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked"),
        request(batch, file.getvalue()),
        request(batch, file.getvalue(), "Accept: text/csv", "Origin: http://localhost"),
        request("GET /api") + request(photo, _PHOTO, "Connection: close"),
        request(f"POST /api/predict{options}", _PHOTO),
        request(
            "POST /api/predict", part % b"1" + form % _PHOTO, "Content-Type: multipart/form-data; boundary=XX"
        ),
        request("GET /healthz") + request("GET /openapi.json"),
        request(photo, bytes(30_000)),
        request("GET /", b"", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        request("GET /page.js") * 5,
        request(photo, _PHOTO, "Expect: 100-continue"),
        json.dumps({"not": "http"}).encode() + b"\r\n\r\n",
    ]
