"""Folders of images in fsspec file systems, working and failing."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from fakes import face, image

fsspec = pytest.importorskip("fsspec")

FILES = {
    "b.jpg": image(face(10)),
    "a/z.PNG": image(),
    "a/b/c.jpeg": image(face(20), face(30)),
    "a-b/1.jpg": b"",
    "a/.hidden.jpg": b"x",
    ".git/1.jpg": b"x",
    "notes.txt": b"x",
    "é ü.jpg": b"text",
}
"""Content by path."""
LISTED = ["a/b/c.jpeg", "a/z.PNG", "a-b/1.jpg", "b.jpg", "é ü.jpg"]
"""The files that a search finds, in order."""


def fill(url: str) -> str:
    """Write :data:`FILES` to a folder, and return its URL."""
    system, root = fsspec.core.url_to_fs(url)
    for name, data in FILES.items():
        system.makedirs(f"{root}/{name}".rsplit("/", 1)[0], exist_ok=True)
        system.pipe_file(f"{root}/{name}", data)
    return url


class Broken(fsspec.AbstractFileSystem):  # type: ignore[misc, name-defined]
    """A file system whose requests fail after the first ``good`` ones."""

    protocol = "broken"
    cachable = False
    error: Exception = ConnectionError("no route to host")
    good = 0
    under_way = 0
    most = 0
    lock = threading.Lock()

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        if type(self).good <= 0:
            raise self.error
        return [{"name": f"{path}/{n:03d}.jpg", "type": "file", "size": 9} for n in range(100)]

    def info(self, path: str, **more: Any) -> Any:
        kind = "file" if path.endswith(".jpg") else "directory"
        return {"name": path, "type": kind, "size": 9}

    def cat_file(self, path: str, start: Any = None, end: Any = None, **more: Any) -> bytes:
        kind = type(self)
        with kind.lock:
            kind.good -= 1
            kind.under_way += 1
            kind.most = max(kind.most, kind.under_way)
            if kind.good < 0:
                raise self.error
        time.sleep(0.005)
        with kind.lock:
            kind.under_way -= 1
        return image(face(int(path[-7:-4]) % 90), width=int(path[-7:-4]) + 1)
