"""Zip files: those of model packs, and those that are uploaded to the page."""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np

from arcage.app.zips import photos_in
from arcage.embedder.packs.archive import unpack
from arcage.errors import ArcageError, ImageError
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_LIMIT = 1 << 20
"""Maximum unpacked size of a photo, bytes."""


class Zips:
    """Each zip file is unpacked as a pack and as an upload. What is unpacked is what was packed."""

    name = "zips"

    def prepare(self, folder: Path) -> None:
        self._folder = folder / "pack"
        rng = np.random.default_rng(0)
        # Of members that are neither empty nor alike, a checksum tells each from each.
        self._contents = {
            **{f"{name}.onnx": rng.bytes(700) + bytes(300) for name in ("det", "rec", "age")},
            **{f"{name}.jpg": b"\xff\xd8\xff" + rng.bytes(400) for name in "abc"},
        }
        self._seeds = [self._zip(method) for method in _METHODS]
        self._bomb = _bomb(300 << 20)
        self._seeds.append(self._zip(zipfile.ZIP_DEFLATED, folder="buffalo/", comment=b"made by hand"))

    def _zip(self, method: int, folder: str = "", comment: bytes = b"") -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in self._contents.items():
                archive.writestr(zipfile.ZipInfo(folder + name), data, method)
            archive.comment = comment
        return file.getvalue()

    def case(self, rng: np.random.Generator) -> Case:
        seed = self._seeds[int(rng.integers(len(self._seeds)))]
        kind = int(rng.integers(100))
        if kind < 5:
            return Case(seed)
        if kind < 8:
            return Case(_many_members(int(rng.integers(1, 200_000))), about="many members")
        if kind == 8:
            return Case(self._bomb, about="a bomb")
        return Case(mutate(rng, seed, self._seeds))

    def run(self, case: Case) -> Verdict:
        refused = 0
        try:
            self._check_pack(case.data)
        except ArcageError:
            refused += 1
        try:
            refused += not self._check_upload(case.data)
        except ArcageError:
            refused += 1
        return "refused" if refused == 2 else "answered"

    def _check_pack(self, data: bytes) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for name in unpack(io.BytesIO(data), "http://localhost/pack.zip", self._folder):
            self._check((self._folder / name).read_bytes())
        if {path.parent for path in self._folder.rglob("*")} - {self._folder}:
            raise SilentChange("a file in another folder")

    def _check_upload(self, data: bytes) -> bool:
        """Return whether any photo could be read."""
        count = 0
        for photo in photos_in(data, most=100, bytes_each=_LIMIT, bytes_all=100 * _LIMIT):
            try:
                content = photo.read()
            except ImageError:
                continue
            self._check(content)
            count += 1
        return count > 0

    def _check(self, content: bytes) -> None:
        if content.strip(b"\0") and content not in self._contents.values():
            raise SilentChange(f"a member of {len(content)} bytes that was not packed: {content[:20]!r}")


def _many_members(count: int) -> bytes:
    """Return a zip file of one empty member that is listed many times."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.onnx", b"")
    data = file.getvalue()
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entries = data[start:end] * count
    numbers = struct.pack("<HHII", min(count, 65535), min(count, 65535), len(entries), start)
    return data[:start] + entries + data[end : end + 8] + numbers + data[end + 20 :]


def _bomb(size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.onnx", bytes(size))
        archive.writestr("a.jpg", bytes(size))
    return file.getvalue()
