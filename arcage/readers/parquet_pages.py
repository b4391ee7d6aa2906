"""Sizes of the pages of a Parquet column, from their headers, before any is decompressed.

A page header is a Thrift structure in the compact protocol. pyarrow allocates the size that it claims. A
value of a dictionary is copied for each row that refers to it, and so is a prefix that a value shares with
the one before it: a file of a few kilobytes can stand for gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from arcage.readers.thrift import INT32, STRUCT, CompactReader

_HEADER_BYTES = (1 << 12, 1 << 24)
"""Number of bytes that are read for a header, first and again if it is longer: statistics repeat values."""
_EXPANSION = 10
_MAX_PAGES = 1_000_000
_DICTIONARY = 2
"""Type of a dictionary page."""
_KIND, _EXPANDED, _PACKED = 1, 2, 3
"""Fields of a page header."""
_ENCODINGS = {5: 2, 8: 4}
"""Fields with the header of a page of values, of both versions, and the field of its encoding."""
_SHARED_PREFIXES = 7
"""The encoding ``DELTA_BYTE_ARRAY``."""


@dataclass(frozen=True, slots=True)
class PageSizes:
    """Sizes after decompression, bytes."""

    largest: int = 0
    repeated: int = 0
    """Size of the largest page whose values may be copied: a dictionary, or values that share prefixes. Each
    row can take as much."""
    expanded: int = 0
    """Size of the largest page that is at least ten times as large as in the file."""
    total: int = 0


def page_sizes(file: IO[bytes], start: int, size: int) -> PageSizes:
    """Return the sizes of the pages of a column of a row group.

    Args:
        file: the Parquet file, opened for reading at any offset.
        start: offset of the first page.
        size: size of the pages with their headers, bytes.

    Raises:
        ValueError: a header is damaged.
        OSError: the file cannot be read.
    """
    largest = repeated = most_expanded = total = 0
    at, end = start, start + size
    for _ in range(_MAX_PAGES):
        if at >= end:
            return PageSizes(largest, repeated, most_expanded, total)
        header, length = _read_header(file, at, end)
        if min(header.kind, header.expanded, header.packed) < 0:
            raise ValueError("a page header is damaged")
        largest, total = max(largest, header.expanded), total + header.expanded
        if header.expanded >= _EXPANSION * header.packed:
            most_expanded = max(most_expanded, header.expanded)
        if header.kind == _DICTIONARY or _SHARED_PREFIXES in header.encodings:
            repeated = max(repeated, header.expanded)
        at += length + header.packed
    raise ValueError("too many pages")


@dataclass(frozen=True, slots=True)
class _Header:
    kind: int
    expanded: int
    packed: int
    encodings: tuple[int, ...]


def _read_header(file: IO[bytes], at: int, end: int) -> tuple[_Header, int]:
    """Return a header and its length."""
    for length in _HEADER_BYTES:
        file.seek(at)
        reader = CompactReader(file.read(min(length, end - at)))
        try:
            return _header(reader), reader.at
        except IndexError:
            continue
        except ValueError:
            break
    raise ValueError("a page header is damaged")


def _header(reader: CompactReader) -> _Header:
    values: dict[int, int] = {}
    encodings: list[int] = []
    for number, kind in reader.fields():
        if kind == INT32:
            values[number] = reader.integer()
        elif kind == STRUCT and number in _ENCODINGS:
            encodings.append(reader.integers(INT32).get(_ENCODINGS[number], -1))
        else:
            reader.skip(kind)
    kind, expanded, packed = (values.get(number, -1) for number in (_KIND, _EXPANDED, _PACKED))
    return _Header(kind, expanded, packed, tuple(encodings))
