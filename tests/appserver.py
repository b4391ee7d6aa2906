"""The page's HTTP endpoint on a real server, with the fake pipeline."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from fakes import face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from arcage.app.guard import host_name  # noqa: E402
from arcage.app.limits import Limits  # noqa: E402
from arcage.app.openapi import openapi  # noqa: E402
from arcage.app.readiness import Readiness  # noqa: E402
from arcage.app.server import make_app  # noqa: E402
from arcage.app.service import Service  # noqa: E402
from arcage.predictor import Predictor  # noqa: E402


class _Asyncio:
    """asyncio for Uvicorn, which sleeps for 0.1 s twice before a server ends."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


uvicorn.server.asyncio = _Asyncio()

DESCRIBED = openapi(Limits())
TINY = Limits(photo_bytes=20_000, zip_bytes=100_000, zip_photos=20, unpacked_bytes=60_000)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.body
        if self.headers["content-type"].startswith("application/json"):
            return self.json["rows"]  # type: ignore[no-any-return]
        return [json.loads(line) for line in self.body.decode().splitlines()]

    @property
    def error(self) -> str:
        assert self.status >= 400
        assert set(self.json) == {"error"}
        return str(self.json["error"])


class Server:
    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, path: str, body: Any = None, *, method: str | None = None, timeout: float = 30, **headers: str
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, received, response.read())
            _check_described(method or ("GET" if body is None else "POST"), path, answer)
            return answer
        finally:
            connection.close()

    def predict(self, photo: bytes, **headers: str) -> Answer:
        return self("/api/predict", photo, **headers)

    def batch(self, zipped: bytes, query: str = "", **headers: str) -> Answer:
        return self(f"/api/batch{query}", zipped, **headers)


def _check_described(method: str, path: str, answer: Answer) -> None:
    """Check that ``/openapi.json`` describes the status, the kind of content and the error."""
    operation = DESCRIBED["paths"].get(path.partition("?")[0], {}).get(method.lower())
    if operation is None:
        assert answer.status in (200, 404, 405) or answer.error
        return
    response = operation["responses"][str(answer.status)]
    if reference := response.get("$ref"):
        response = DESCRIBED["components"]["responses"][reference.rpartition("/")[2]]
    assert answer.headers["content-type"].partition(";")[0] in response["content"]
    assert answer.status < 400 or answer.error
    assert (answer.status == 503) == ("retry-after" in answer.headers)


@contextmanager
def running(
    limits: Limits | None = None, *, allowed: Iterable[str] = (), **arguments: Any
) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    names = map(host_name, allowed)
    limits = limits or Limits()
    readiness = Readiness(loaded=True)
    app = make_app(Predictor(**arguments), {"localhost", "Nas"}, names, limits, readiness)
    server = Service(app, limits, readiness)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield Server(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return file.getvalue()


def form(*parts: tuple[str, bytes], boundary: str = "XX", end: str = "--XX--\r\n") -> bytes:
    """Return a form; each part has headers and content."""
    return (
        b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts)
        + end.encode()
    )


MULTIPART = "multipart/form-data; boundary=XX"
FILE = 'Content-Disposition: form-data; name="file"; filename="a.jpg"'
FIELD = ('Content-Disposition: form-data; name="user"', b"me")

MEMBERS = {
    "b/2.jpg": image(face(20)),
    "b/10 <img src=x onerror=alert(1)>.JPG": image(face(30), face(40)),
    "a.png": image(),
    "../../etc/passwd.jpg": b"text",
    "notes.txt": b"text",
    ".hidden.jpg": image(face(1)),
    "b/.x/3.jpg": image(face(2)),
    "__MACOSX/b/2.jpg": b"a resource fork",
    "b/": b"",
}
