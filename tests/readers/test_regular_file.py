"""Reading regular files up to a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arcage.readers.regular_file import FileKindError, read_regular


def test_reads_files_up_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    assert read_regular(file, 5) == read_regular(str(file), 1 << 40) == b"12345"
    with pytest.raises(FileKindError, match="too large: 5 bytes, the limit is 4"):
        read_regular(file, 4)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    with pytest.raises(FileKindError, match="too large"):
        read_regular(file, 1 << 30)


def test_other_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing", 9)
    with pytest.raises(FileKindError, match="folder"):
        read_regular(tmp_path, 9)
    with pytest.raises(ValueError, match="null"):
        read_regular("a\0b", 9)


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(FileKindError, match="pipe, socket or device"):
            read_regular(path, 9)
