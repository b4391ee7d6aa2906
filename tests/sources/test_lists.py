"""Lists of paths: separators, encodings, and files that are not lists."""

from __future__ import annotations

import io
import os
import re
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from trees import touch

from arcage.errors import UsageError
from arcage.sources import lists
from arcage.sources.lists import read_list


def test_read_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("b.jpg\r\n\n  \na b/ü.jpg\nb.jpg\n lead.jpg\ntrail \r\n".encode())
    assert read_list(path) == ["b.jpg", "a b/ü.jpg", "b.jpg", " lead.jpg", "trail"]
    touch(tmp_path, "trail ")
    path.write_bytes(os.fsencode(tmp_path) + b"/trail \ns3://b/a.jpg  \n")
    assert read_list(path) == [f"{tmp_path}/trail ", "s3://b/a.jpg"]
    path.write_bytes(b"\xef\xbb\xbfa.jpg\n")
    assert read_list(str(path)) == ["a.jpg"]
    path.write_bytes(b"")
    assert read_list(path) == []


def test_read_list_separated_by_nul(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"two\nlines.jpg\0a.jpg\0\0 \xe9.jpg\0")
    assert read_list(path) == ["two\nlines.jpg", "a.jpg", " \udce9.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_list_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffFotos/Zoë 日本.jpg\r\n\r\nb.jpg\r\n".encode(encoding))
    assert read_list(path) == ["Fotos/Zoë 日本.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a.jpg\r\n".encode("utf-16-le"), "UTF-16 text without a byte-order mark; save the list as UTF-8"),
        ("照片/日本語/一.jpg\r\n".encode("utf-16-be"), "UTF-16 text without a byte-order mark"),
        ("a.jpg\n".encode("utf-32-le"), "UTF-16 text without a byte-order mark"),
        (b"\xff\xfea", "begins like UTF-16 text"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1", "but an image or a video"),
        (b"PAR1\x15\0\x15", "but a Parquet file"),
        (b"PK\3\4\n\0", "but an archive"),
        (b"%PDF-1.7\n\1", "but a PDF file"),
        (bytes(range(256)) * 4, "but a binary file"),
        (b'{"path": "a.jpg"}\n', "but JSON"),
        (b'["a.jpg", "b.jpg"]', "but JSON"),
        (b'[\n  "a.jpg",\n  "b.jpg"\n]\n', "but JSON"),
        (b"path,face,faces\na.jpg,1,1\n", "but a table, with the columns path, face, faces"),
        (b'"name";"path"\r\n', "but a table"),
        (b"a.jpg\n/\n", "has the entry '/'"),
        (b".\0./a.jpg\0./b.jpg\0", "has the entry '.'"),
        (b"a/..\n", "has the entry 'a/..'"),
        (b"C:\\\r\n", "has the entry 'C:"),
        (b"d:\r\n", "has the entry 'd:'"),
        (b"a.jpg\nfile:///\n", "has the entry 'file:///'"),
        (b"FILE://.\n", "has the entry 'FILE://.'"),
        (b"file:///C:/\n", "has the entry 'file:///C:/'"),
    ],
)
def test_files_that_are_not_lists(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=re.escape(words)):
        read_list(path)


def test_names_that_resemble_other_files(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    names = [
        "PAR1.jpg",
        "BZh/a,b.jpg",
        "path, and more.jpg",
        "{1}.jpg",
        "[1].jpg",
        "C:\\a.jpg",
        "..a",
        "a\x01b c d e f g h i j k.jpg",
    ]
    path.write_text("\n".join([*names, "x" * 99]))
    assert read_list(path)[:-1] == names


def test_read_list_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.jpg\nb.jpg\n")))
    assert read_list("-") == ["a.jpg", "b.jpg"]


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the list of images .*missing\.txt: no such file"):
        read_list(tmp_path / "missing.txt")
    with pytest.raises(UsageError, match="Is a directory"):
        read_list(tmp_path)


def test_an_apostrophe_of_a_csv_cell_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "=a.jpg", "'=b.jpg", "=b.jpg", "'c.jpg")
    (tmp_path / "list").write_text("'=a.jpg\n'=b.jpg\n'c.jpg\n'-missing.jpg\n")
    assert read_list("list") == ["=a.jpg", "'=b.jpg", "'c.jpg", "'-missing.jpg"]


def test_a_list_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_LIST_BYTES", 10_000_000)
    with pytest.raises(UsageError, match=r"/dev/zero is larger than 10,000,000 bytes: split it"):
        lists.read_list("/dev/zero")


@pytest.mark.parametrize("content", [b"\n", b"\0", b"\0\n", b"\r\n", b"\1", b" \n", b"\0x"])
def test_the_memory_of_a_list_is_that_of_its_entries(tmp_path: Path, content: bytes) -> None:
    size = 2_000_000
    (tmp_path / "list.txt").write_bytes(content * (size // len(content)))
    tracemalloc.start()
    try:
        with suppress(UsageError):
            lists.read_list(tmp_path / "list.txt")
        assert tracemalloc.get_traced_memory()[1] < 10 * size
    finally:
        tracemalloc.stop()


def test_a_line_that_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\n" + "x" * 70_000)
    with pytest.raises(UsageError, match="a line of more than 65,536 characters"):
        lists.read_list(tmp_path / "list.txt")
