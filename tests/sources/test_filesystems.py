"""Schemes, archives and packages that are missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import PHOTO, rows

pytest.importorskip("fsspec")
Run = Callable[..., Any]

Run = Callable[..., Any]


def test_schemes_are_case_insensitive(arcage: Run, server: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    for url in (server.replace("http", "HTTP") + "/a.jpg", f"FILE://{tmp_path}/a.jpg"):
        done = arcage("predict", url)
        assert (rows(done), done.exit_code) == ([(url, "ok", "")], 0)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives(arcage: Run, server: str, tmp_path: Path, kind: str) -> None:
    import tarfile
    import zipfile

    (tmp_path / "in/b").mkdir(parents=True)
    for name in ("a.jpg", "b/c.jpg"):
        (tmp_path / "in" / name).write_bytes(PHOTO)
    place = f"{tmp_path}/p.{kind}"
    with zipfile.ZipFile(place, "w") if kind == "zip" else tarfile.open(place, "w") as archive:
        add = archive.write if isinstance(archive, zipfile.ZipFile) else archive.add
        for name in ("a.jpg", "b/c.jpg"):
            add(tmp_path / "in" / name, name)
    for url, names in (
        (f"{kind}://a.jpg::{place}", ["a.jpg"]),
        (f"{kind.upper()}://b/c.jpg::{place}", ["b/c.jpg"]),
        (f"{kind}://b::{place}", ["b/c.jpg"]),
        (f"{kind}://::{place}", ["a.jpg", "b/c.jpg"]),
    ):
        done = arcage("predict", url)
        scheme = url.split("://")[0]
        assert rows(done) == [(f"{scheme}://{name}::{place}", "ok", "") for name in names], url
    assert rows(arcage("predict", f"{kind}://none.jpg::{place}"))[0][2] == "no such file"
    assert rows(arcage("predict", f"{kind}://a.jpg::{tmp_path}/none.{kind}"))[0][2] == "no such file"


def test_a_damaged_member_does_not_affect_others(arcage: Run, server: str, tmp_path: Path) -> None:
    import zipfile

    place = tmp_path / "p.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
            archive.writestr(name, PHOTO)
    data = bytearray(place.read_bytes())
    data[data.index(PHOTO)] ^= 1
    at = -1
    for _ in range(2):  # set the flag of an encrypted file
        at = data.index(b"PK\1\2", at + 1)
    data[at + 8] |= 1
    data[data.index(b"b.jpg") - 30 + 6] |= 1
    place.write_bytes(data)
    done = arcage("predict", f"zip://::{place}")
    assert [(status, error) for _, status, error in rows(done)] == [
        ("unreadable", "cannot be read from the archive: Bad CRC-32 for file 'a.jpg'"),
        (
            "unreadable",
            "cannot be read from the archive: File 'b.jpg' is encrypted, password required for extraction",
        ),
        ("ok", ""),
        ("ok", ""),
    ]
    assert done.exit_code == 0


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_damaged_archive_is_a_row(arcage: Run, server: str, tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    (tmp_path / "cut").write_bytes(b"PK\3\4" + bytes(1000) if kind == "zip" else b"x" * 1000)
    for name in ("", "a.jpg"):
        url = f"{kind}://{name}::{tmp_path}/cut"
        ((_, status, error),) = rows(arcage("predict", url))
        assert (status, error.split(":")[0]) == ("unreadable", "the archive cannot be read")
        done = arcage("predict", url, tmp_path / "a.jpg")
        assert sorted(status for _, status, _ in rows(done)) == ["ok", "unreadable"]
        assert done.exit_code == 0
        done = arcage("predict", f"{kind}://{name}::{tmp_path}")
        assert f"{tmp_path} is a folder" in rows(done)[0][2]


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("zip://", 2, "zip://photo.jpg::photos.zip"),
        ("zip://a.jpg", 2, "zip://photo.jpg::photos.zip"),
        ("TAR://a.jpg", 2, "tar://photo.jpg::photos.tar"),
        ("nonsense://a.jpg", 2, "nonsense://"),
        ("simplecache::nonsense://a.jpg", 2, "nonsense://"),
        ("reference://a.jpg", 1, "cannot open"),
        ("http://", 1, "not a valid URL"),
        ("http://127.0.0.1:99999/a.jpg", 1, "not a valid URL"),
        ("http://[::1/a.jpg", 1, "not a valid URL"),
        ("simplecache::http://127.0.0.1:1/a.jpg", 3, "simplecache::http://127.0.0.1:1"),
        ("ftp://127.0.0.1:1/a.jpg", 3, "Connection refused"),
        ("data:image/jpeg;base64,AAAA", 2, "no such file or folder"),
    ],
)
def test_urls_that_cannot_be_opened(arcage: Run, server: str, url: str, code: int, words: str) -> None:
    done = arcage("predict", url)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert os.linesep.join(done.stderr.splitlines()).count("\n") == 0


def test_a_long_chain(arcage: Run) -> None:
    done = arcage("predict", "zip://a.jpg::" + "zip::" * 3000 + "a.zip")
    assert done.exit_code == 2
    assert "more than 10 links in a chain" in done.stderr
    assert len(done.stderr) < 1000


def test_in_a_list_an_unknown_scheme_is_a_row(arcage: Run, server: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"nonsense://a.jpg\nnonsense://b\n{server}/a.jpg\nzip://a.jpg\n")
    done = arcage("predict", "--from-file", tmp_path / "list.txt")
    assert [status for _, status, _ in rows(done)] == ["ok", "unreadable", "unreadable", "unreadable"]
    assert done.exit_code == 0


def test_missing_packages(arcage: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for command in (("predict", "s3://bucket/a.jpg"), ("predict", "s3://bucket/folder")):
        done = arcage(*command)
        assert done.exit_code == 3
        assert "s3fs" in done.stderr
        assert "pip install 'arcage[remote]'" in done.stderr
    monkeypatch.setitem(sys.modules, "fsspec", None)
    done = arcage("predict", "memory://a.jpg")
    assert done.exit_code == 3
    assert "pip install 'arcage[remote]'" in done.stderr


def test_an_unknown_scheme(arcage: Run) -> None:
    done = arcage("predict", "nonsense://bucket/folder")
    assert done.exit_code == 2
    assert "nonsense://" in done.stderr
