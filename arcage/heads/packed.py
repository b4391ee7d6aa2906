"""Heads as one file: the files of their folder in a zip without compression.

The zip has nothing else, and always the same bytes for the same heads, so that one SHA-256 stands for them.
Members are read in memory, never unpacked to disk, and each within the limit of its file.
"""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path
from typing import IO

from arcage.errors import UsageError
from arcage.files import refuse_foreign
from arcage.readers.regular_file import FileKindError, check_regular, read_regular

SUFFIX = ".arcage"
MANIFEST, ARRAYS, CARD, IMAGES = "manifest.json", "heads.npz", "model-card.md", "images.npy"
"""The files of heads."""
MAX_BYTES = 1 << 30
"""Limit of the size of the file."""

_START, _END, _ZIP64 = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES = 22, 20
_MAX_DIRECTORY = 1024
"""Limit of the list of members, bytes: Python creates an object for each before they can be counted."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member, the earliest that a zip can state."""


def check_packed_file(file: Path) -> None:
    """Check whether packed heads may be written to ``file``.

    Raises:
        UsageError: the name does not end in ``.arcage``.
        ForeignFileError: arcage did not write the existing file.
    """
    if file.suffix.lower() != SUFFIX:
        raise UsageError(f"heads are packed into one file: {file} must end in {SUFFIX}")
    refuse_foreign(rb"\APK\x03\x04[\s\S]{26}" + MANIFEST.encode() + rb"\{", file)


def packed_bytes(files: dict[str, bytes]) -> bytes:
    """Return the zip of the files of heads, by their names; the order does not matter."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in (MANIFEST, ARRAYS, CARD, IMAGES):
            if name in files:
                member = zipfile.ZipInfo(name, _EPOCH)
                member.create_system, member.external_attr = 3, (stat.S_IFREG | 0o644) << 16
                archive.writestr(member, files[name])
    return buffer.getvalue()


def read_heads_file(place: Path, name: str, max_bytes: int) -> bytes:
    """Return one file of heads.

    Args:
        place: a folder, or a file that :func:`packed_bytes` made.
        name: of the file.
        max_bytes: limit of its size, which is checked before any memory is taken.

    Raises:
        FileNotFoundError: the heads do not have this file.
        OSError: it cannot be read.
        ValueError: it is too large, or the packed heads are damaged. The message is short and has no path.
    """
    if place.is_dir() or not place.exists():
        return read_regular(place / name, max_bytes)
    size = check_regular(place).st_size
    if size > MAX_BYTES:
        raise FileKindError(f"too large: {size:,} bytes, the limit is {MAX_BYTES:,}")
    try:
        with open(place, "rb") as file:
            _check_directory(file, size)
            with zipfile.ZipFile(file) as archive:
                _check_members(archive.infolist(), size)
                return _content(archive, name, max_bytes)
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile raises errors of many kinds
        raise ValueError(str(error)[:100] or type(error).__name__) from None


def _check_directory(file: IO[bytes], size: int) -> None:
    file.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
    tail = file.read()
    end, locator = tail[-_END_BYTES:], tail[:-_END_BYTES]
    file.seek(0)
    if file.read(len(_START)) != _START:
        raise ValueError("this is not a file of `arcage heads pack`")
    if end[: len(_END)] != _END or end[-2:] != b"\0\0" or locator.startswith(_ZIP64):
        raise ValueError("it is cut short, or not a file of `arcage heads pack`")
    if int.from_bytes(end[12:16], "little") > _MAX_DIRECTORY:
        raise ValueError("it has files that do not belong to heads")
    file.seek(0)


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    names = [member.filename for member in members]
    for member in members:
        if member.filename not in (MANIFEST, ARRAYS, CARD, IMAGES):
            raise ValueError(f"{member.filename[:50]!a} does not belong to heads")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ValueError(f"{member.filename} is a link or a folder")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits:
            raise ValueError(f"{member.filename} is compressed or encrypted")
    if len(set(names)) < len(names):
        raise ValueError("two files have the same name")
    # Members without compression that overlap could have more bytes than the file.
    if any(member.file_size != member.compress_size for member in members) or (
        sum(member.file_size for member in members) > size
    ):
        raise ValueError("its files are not as large as it says")


def _content(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise FileNotFoundError(2, "no such file", name) from None
    if member.file_size > max_bytes:
        raise ValueError(f"{name} is too large: {member.file_size:,} bytes, the limit is {max_bytes:,}")
    with archive.open(member) as file:
        # One more byte than it should have, so that the checksum is compared.
        return file.read(member.file_size + 1)
