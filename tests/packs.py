"""Packs on disk with small networks, and a server from which they are downloaded."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import graphs

FILES = {
    "1k3d68.onnx": lambda: graphs.attribute(192, 3309),
    "2d106det.onnx": lambda: graphs.attribute(192, 212),
    "det_10g.onnx": graphs.scrfd,
    "genderage.onnx": graphs.attribute,
    "w600k_r50.onnx": graphs.iresnet,
}
"""Files of a pack like ``buffalo_l``."""
PARTIAL = ".arcage-buffalo_s.zip.part"
"""File that ``buffalo_s`` is downloaded to."""


def write_pack(folder: Path, files: dict[str, Any] = FILES) -> Path:
    folder.mkdir(parents=True)
    for name, make in files.items():
        (folder / name).write_bytes(make().SerializeToString())
    return folder


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def make_zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    server: PackServer

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        self.server.paths.append(self.path)
        self.server.answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, body: bytes, **headers: str | int) -> None:
        """Send ``body``, with its length unless the headers contain another."""
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)


class PackServer(ThreadingHTTPServer):
    """Sends ``data`` as a correct server does, until ``answer`` is replaced."""

    data = b""
    block_on_close = False

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        """The header Range of each request."""
        self.paths: list[str] = []
        self.answer: Callable[[Handler], None] = self.send_correctly
        self.stop = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mirror"

    def handle_error(self, *_: object) -> None:
        pass  # in some tests the client closes the connection

    def send_correctly(self, handler: Handler) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(match[1]) if match else 0
        total = len(self.data)
        if match and start >= total:
            handler.send(416, b"", Content_Range=f"bytes */{total}")
        elif match:
            handler.send(206, self.data[start:], Content_Range=f"bytes {start}-{total - 1}/{total}")
        else:
            handler.send(200, self.data)

    def close_after(self, size: int) -> Callable[[Handler], None]:
        """Return an answer with the right length that closes the connection after ``size`` bytes."""
        return lambda handler: handler.send(200, self.data[:size], Content_Length=len(self.data))
