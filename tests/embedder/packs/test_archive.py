"""Zip files that are damaged, hostile or no pack leave nothing behind."""

from __future__ import annotations

import io
import stat
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packs import PackServer, list_names, make_zip

from arcage.embedder.packs.download import fetch_pack, plan_download
from arcage.errors import ModelError


def symbolic_link() -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("det_500m.onnx")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, b"/etc/passwd"


HOSTILE: dict[str, list[tuple[Any, bytes]]] = {
    "parent": [("../evil.onnx", b"x")],
    "parent inside": [("buffalo_s/../../evil.onnx", b"x")],
    "absolute": [("/tmp/evil.onnx", b"x")],
    "drive": [("C:\\evil.onnx", b"x")],
    "hidden": [(".evil.onnx", b"x")],
    "nested": [("a/b/c.onnx", b"x")],
    "control": [("a\x1b[31m.onnx", b"x")],
    "duplicate": [("a.onnx", b"x"), ("b/a.onnx", b"y")],
    "upper case": [("a.onnx", b"x"), ("A.onnx", b"y")],
    "long": [("a" * 60_000 + ".onnx", b"x")],
    "link": [symbolic_link()],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_zip_writes_nothing(server: PackServer, home: Path, tmp_path: Path, case: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in HOSTILE[case]:
            archive.writestr(name, data)
    server.data = file.getvalue()
    with pytest.raises(ModelError, match="does not belong in a model pack") as caught:
        fetch_pack(plan_download("buffalo_s", server.url))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert list_names(home) == []
    assert list_names(tmp_path) == ["models"]


def test_a_zip_that_unpacks_to_too_much(
    server: PackServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcage.embedder.packs.archive.MAX_UNPACKED", 1 << 20)
    server.data = make_zip({"a.onnx": bytes(1 << 20), "b.onnx": b"x"})
    assert len(server.data) < 1 << 13
    with pytest.raises(ModelError, match="unpacks to more"):
        fetch_pack(plan_download("buffalo_s", server.url))
    # With an understated size, no more than that is unpacked.
    size = (1 << 20).to_bytes(4, "little")
    server.data = make_zip({"a.onnx": bytes(1 << 20)}).replace(size, (1000).to_bytes(4, "little"))
    with pytest.raises(ModelError, match="damaged zip file"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


def test_a_bomb_is_not_unpacked(server: PackServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.packs.archive.MAX_SMALL", 1 << 20)
    monkeypatch.setattr("arcage.embedder.packs.archive.atomic_write", None)
    server.data = make_zip({"a.onnx": bytes(1 << 20), "b.onnx": b"x"})
    with pytest.raises(ModelError, match="unpacks to more than 20 times its size"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({f"{i}.onnx": b"" for i in range(101)}, "more than 100 ONNX files"),
        ({f"{i}.txt": b"" for i in range(40_000)}, "too many members"),
    ],
    ids=["files", "members"],
)
def test_a_zip_with_many_members(
    server: PackServer, home: Path, members: dict[str, bytes], text: str
) -> None:
    server.data = make_zip(members)
    start = time.monotonic()
    with pytest.raises(ModelError, match=text):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert time.monotonic() - start < 2
    assert list_names(home) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_with_a_method_that_takes_memory(server: PackServer, home: Path, method: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.onnx", b"x" * 1000)
    server.data = file.getvalue()
    with pytest.raises(ModelError, match="other than deflate"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


@pytest.mark.parametrize("at", [100, 5000, -10])
def test_a_damaged_zip(server: PackServer, home: Path, at: int) -> None:
    data = bytearray(server.data)
    data[at] ^= 0xFF
    server.data = bytes(data)
    with pytest.raises(ModelError, match=r"zip"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == []


def test_a_zip_without_a_pack(server: PackServer, home: Path, members: dict[str, bytes]) -> None:
    for files in ({}, {"readme.txt": b""}, {"det_500m.onnx": members["det_500m.onnx"]}):
        server.data = make_zip({**files, "notes.txt": b"x"})
        with pytest.raises(ModelError, match="contains no pack that arcage can use"):
            fetch_pack(plan_download("buffalo_s", server.url))
        assert list_names(home) == []
