"""A local HTTP server that fails in many ways."""

from __future__ import annotations

import csv
import io
import socket
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from fakes import face, image

PHOTO = image(face(33))


class Handler(BaseHTTPRequestHandler):
    """Respond as the path says: /503x2/a.jpg fails twice, /404/a.jpg always; other paths return a photo."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[Counter[str]] = Counter()
    headers_sent: ClassVar[dict[str, str]] = {}
    files: ClassVar[dict[str, bytes]] = {}

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        head = self.path.split("/")[1]
        status, _, times = head.partition("x")
        if status.isdecimal() and (not times or self.asked[self.path] <= int(times)):
            self.give(b"no", int(status))
        elif head == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif head == "away":
            self.send_response(302)
            self.send_header("Location", "http://localhost:1/a.jpg")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif head == "moved":
            self.send_response(301)
            self.send_header("Location", "/a.jpg")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif head == "short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(PHOTO) + 9))
            self.end_headers()
            self.wfile.write(PHOTO)
            self.close_connection = True
        elif head == "hangup":
            self.close_connection = True
        elif head == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(PHOTO), PHOTO))
        elif head == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"3e8\r\n" + bytes(1000) + b"\r\n")
            self.close_connection = True
        elif head in ("drip", "drip-head"):
            with suppress(OSError):
                if head == "drip":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                else:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                for _ in range(300):
                    time.sleep(0.02)
                    self.wfile.write(b"x")
            self.close_connection = True
        elif head == "endless-range":
            wanted = self.headers.get("Range", "")
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Range" if wanted else "X", "bytes 0-0/100000000")
            if wanted != "bytes=0-0" and wanted:
                self.end_headers()
                with suppress(OSError):
                    while True:
                        self.wfile.write(bytes(100_000))
            else:
                self.send_header("Content-Length", "1" if wanted else "100000000")
                self.end_headers()
                self.wfile.write(b"P")
            self.close_connection = True
        elif head == "tree":
            self.give(b'<a href="1/">1</a><a href="2/">2</a>', 200, "text/html")
        elif head == "no-chunk":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            time.sleep(0.1)
            self.wfile.write(b"no length\r\n")
            self.close_connection = True
        elif head == "no-http":
            self.wfile.write(b"SSH-2.0-OpenSSH\x1b[31m\r\n")
            self.close_connection = True
        elif head == "parts":
            _, _, healthy, trouble, name = self.path.split("/")
            data = self.files[name]
            start, end = self.headers.get("Range", f"bytes=0-{len(data) - 1}")[6:].split("-")
            part = data[int(start) : int(end) + 1]
            if self.asked[self.path] <= int(healthy):
                self.give(part, 206, Content_Range=f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}")
            elif trouble == "short":
                self.send_response(206)
                self.send_header("Content-Length", str(len(part)))
                self.end_headers()
                self.close_connection = True
            else:
                self.give(b"no", int(trouble))
        elif head == "words":
            self.wfile.write(b"HTTP/1.1 403 a\x1b[31m\tb\r\nContent-Length: 0\r\n\r\n")
        elif head == "part":
            self.give(PHOTO[:50], 206, Content_Range=f"bytes 0-49/{len(PHOTO)}")
        elif head == "end":
            size = len(PHOTO)
            self.give(PHOTO[9:], 206, Content_Range=f"bytes 9-{size - 1}/{size}")
        elif head == "whole":
            size = len(PHOTO)
            self.give(PHOTO, 206, Content_Range=f"bytes 0-{size - 1}/{size}")
        elif head == "file":
            self.give(b"", 302, Location="file:///etc/hostname")
        elif head == "empty":
            self.give(b"", 200)
        elif head == "stuck":
            time.sleep(5)
            self.close_connection = True
        else:
            path = self.path.split("?")[0]
            data = self.files.get(path, PHOTO)
            self.give(data, 200, "text/html" if path.endswith("/") else "image/jpeg")

    def give(self, data: bytes, status: int, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", kind)
        for name, value in (self.headers_sent | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


def free_port() -> int:
    """Return a port on which no server listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def rows(done: Any) -> list[tuple[str, str, str]]:
    """Return path, status and error of the rows that ``predict`` printed as CSV."""
    assert "Traceback" not in done.stderr
    return [(row["path"], row["status"], row["error"]) for row in csv.DictReader(io.StringIO(done.stdout))]
