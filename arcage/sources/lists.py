"""Read lists of paths and URLs."""

from __future__ import annotations

import codecs
import os
import re
import sys
from pathlib import Path, PureWindowsPath
from typing import IO

from arcage.errors import UsageError
from arcage.files import reason
from arcage.sources.url import file_url_path, is_url
from arcage.text import from_spreadsheet

_BYTE_ORDER_MARKS = (
    # UTF-32 precedes UTF-16, because its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHER_FILES = (
    (rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF.{4}WEBP|II\*\0|MM\0\*|.{4}ftyp", "an image or a video"),
    (rb"PAR1", "a Parquet file"),
    (rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "an archive"),
    (rb"%PDF-", "a PDF file"),
)
MAX_LIST_BYTES = 1 << 30
"""Maximum size of a list, bytes."""
_LONGEST = 1 << 16
"""Maximum length of a path or URL, characters."""
_CONTROL = bytes([*range(1, 9), *range(0x0E, 0x20), 0x7F])
_SAMPLE = 1 << 20
"""Number of bytes that are read at a time, and in which UTF-16 text is searched for."""
_MAX_BINARY = 0.02
"""Maximum share of control characters in a list: file names may contain a few."""
_PATH_COLUMNS = {"path", "paths", "file", "filename", "file_name", "filepath", "file_path", "image", "url"}


def read_list(path: str | Path) -> list[str]:
    """Read the paths and URLs in a list, one per line. Blank lines are skipped.

    A byte-order mark determines the encoding; the default is UTF-8 with surrogate escapes for invalid bytes.
    If the text contains a NUL (``find -print0``), NULs separate the paths instead of line ends. The order
    and duplicates are kept. Trailing spaces are part of a path if such a file exists. An apostrophe from
    :func:`arcage.text.to_spreadsheet` is removed if only the path without it exists.

    Args:
        path: file, or ``-`` for standard input.

    Raises:
        UsageError: the list cannot be read, is larger than :data:`MAX_LIST_BYTES` or is not a list of paths,
            or an entry is the root of a disk, the current folder or a parent of it.
    """
    name = "standard input" if os.fspath(path) == "-" else os.fspath(path)
    try:
        if os.fspath(path) == "-":
            data = _read(sys.stdin.buffer, name)
        else:
            with open(path, "rb") as file:
                data = _read(file, name)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the list of images {name}: {reason(error)}") from None
    text = _decode(data, name)
    # Not `split`, which takes memory for each of a billion empty lines.
    if "\0" in text:
        entries = [match[0] for match in re.finditer(r"[^\0]+", text)]
    else:
        lines = (match[0].removesuffix("\r") for match in re.finditer(r"[^\n]+", text))
        entries = [_strip(line) for line in lines if line.strip()]
    if max(map(len, entries), default=0) > _LONGEST:
        raise UsageError(
            f"{name} is not a list of paths: it has a line of more than {_LONGEST:,} characters; a list is "
            "text with one path a line"
        )
    if entries:
        _refuse_table(entries[0], name)
    for entry in entries:
        if _is_current_or_above(entry):
            raise UsageError(
                f"the list {name} has the entry {entry!r}, which would search a whole folder tree: remove "
                "it (find: add -type f), or name that folder on the command line"
            )
    return entries


def _read(file: IO[bytes], name: str) -> bytes:
    # In pieces, because the file may be a pipe or have no end.
    pieces, size = [], 0
    while piece := file.read(_SAMPLE):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_LIST_BYTES:
            raise UsageError(f"the list {name} is larger than {MAX_LIST_BYTES:,} bytes: split it")
    return b"".join(pieces)


def _decode(data: bytes, name: str) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            if encoding == "utf-8":
                data = data.removeprefix(mark)
                break
            try:
                return data.removeprefix(mark).decode(encoding)
            except UnicodeDecodeError:
                raise UsageError(
                    f"{name} is not a list of paths: it begins like {encoding[:6].upper()} text, but is "
                    "not valid; save the list as UTF-8"
                ) from None
    is_binary = _count_controls(data) > _MAX_BINARY * len(data)
    for pattern, kind in _OTHER_FILES:
        # A list may begin with the same bytes.
        if re.match(pattern, data, re.DOTALL) and (is_binary or b"\0" in data):
            raise UsageError(
                f"{name} is not a list of paths but {kind}: a list is text with one path a line; name "
                "images, folders and Parquet files themselves, without a list"
            )
    pieces = [piece for piece in data[:_SAMPLE].split(b"\0") if piece]
    if len(pieces) > 1 and 2 * sum(len(piece) == 1 for piece in pieces) >= len(pieces):
        raise UsageError(
            f"{name} is not a list of paths: it looks like UTF-16 text without a byte-order mark; save the "
            "list as UTF-8"
        )
    if is_binary:
        raise UsageError(
            f"{name} is not a list of paths but a binary file: a list is text with one path a line"
        )
    return data.decode("utf-8", "surrogateescape")


def _count_controls(data: bytes) -> int:
    parts = (data[at : at + _SAMPLE] for at in range(0, len(data), _SAMPLE))
    return sum(len(part) - len(part.translate(None, _CONTROL)) for part in parts)


def _strip(line: str) -> str:
    short = line.rstrip()
    if (short == line and not short.startswith("'")) or is_url(line):
        return short
    try:
        if os.path.lexists(line):
            return line
        restored = from_spreadsheet(short)
        return restored if os.path.lexists(restored) and not os.path.lexists(short) else short
    except ValueError:
        return short


def _refuse_table(first: str, name: str) -> None:
    if re.match(r"[\[{]\s*([\"\[{]|$)", first) and not os.path.lexists(first):
        raise UsageError(f"{name} is not a list of paths but JSON: save its paths alone, one a line")
    for separator in (",", ";", "\t"):
        cells = [cell.strip(' "').lower() for cell in first.split(separator)]
        if len(cells) > 1 and _PATH_COLUMNS & set(cells) and not os.path.lexists(first):
            raise UsageError(
                f"{name} is not a list of paths but a table, with the columns {', '.join(cells[:6])}: save "
                "its column of paths alone, one a line and without a header"
            )


def _is_current_or_above(entry: str) -> bool:
    """Return whether an entry is the root of a disk, the current folder or a parent of it."""
    entry = file_url_path(entry)
    plain = os.path.normpath(entry)
    if set(plain.replace("\\", "/").split("/")) <= {"", ".", ".."}:
        return True
    windows = PureWindowsPath(entry)
    return windows.drive[1:] == ":" and len(windows.parts) == 1
