"""Encodings of label files."""

from __future__ import annotations

from pathlib import Path

import pytest

from arcage.data.encodings import UTF_8, marked_encoding, may_be_windows_1252

TEXT = "path,age\né.jpg,30\nß/a.jpg,40\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    for codec in {encoding, f"{encoding}-be"} if encoding in ("utf-16", "utf-32") else {encoding}:
        mark = "\ufeff" if codec.endswith("-be") else ""
        path.write_bytes((mark + TEXT).encode(codec))
        assert path.read_text(encoding=marked_encoding(path)) == TEXT
    path.write_bytes(b"")
    assert marked_encoding(path) == UTF_8


@pytest.mark.parametrize(
    ("data", "may_be"),
    [
        (TEXT.encode("cp1252"), True),
        (b"caf\xe9", True),
        # A damaged byte in UTF-8, before and after an intact letter, and at the end.
        (b"\xff" + TEXT.encode(), False),
        (TEXT.encode() + b"\xc3", False),
        (b"a" * ((1 << 20) - 1) + "é".encode() + b"\xff", False),
        (b"\x89PNG\r\n\0", False),
    ],
)
def test_windows_1252(tmp_path: Path, data: bytes, may_be: bool) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    assert may_be_windows_1252(tmp_path / "a.csv") is may_be
