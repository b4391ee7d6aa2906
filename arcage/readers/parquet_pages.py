"""Sizes of the pages of a Parquet column, from their headers, before any is decompressed.

A page header is a Thrift structure in the compact protocol. pyarrow allocates the size that it claims. A
value of a dictionary is copied for each row that refers to it, and so is a prefix that a value shares with
the one before it: a file of a few kilobytes can stand for gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

_HEADER_BYTES = (1 << 12, 1 << 24)
"""Number of bytes that are read for a header, first and again if it is longer: statistics repeat values."""
_EXPANSION = 10
_MAX_PAGES = 1_000_000
_DICTIONARY = 2
"""Type of a dictionary page."""
_KIND, _EXPANDED, _PACKED, _ENCODINGS = (1,), (2,), (3,), ((5, 2), (8, 4))
"""Fields of a page header, by number: those of a structure inside it after the number of the structure."""
_SHARED_PREFIXES = 7
"""The encoding ``DELTA_BYTE_ARRAY``."""
_MAX_DEPTH = 8
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 12
"""Types of the compact protocol."""


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


def column_sizes(file: IO[bytes], chunk: Any) -> PageSizes:
    """Return the sizes of the pages of a column of a row group. Raises like :func:`page_sizes`.

    Args:
        file: the Parquet file, opened for reading at any offset.
        chunk: pyarrow's metadata of the column.
    """
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    return page_sizes(file, start, chunk.total_compressed_size)


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
        fields, length = _read_header(file, at, end)
        kind, expanded, packed = (fields.get(path, -1) for path in (_KIND, _EXPANDED, _PACKED))
        if min(kind, expanded, packed) < 0:
            raise ValueError("a page header is damaged")
        largest, total = max(largest, expanded), total + expanded
        if expanded >= _EXPANSION * packed:
            most_expanded = max(most_expanded, expanded)
        if kind == _DICTIONARY or _SHARED_PREFIXES in map(fields.get, _ENCODINGS):
            repeated = max(repeated, expanded)
        at += length + packed
    raise ValueError("too many pages")


def _read_header(file: IO[bytes], at: int, end: int) -> tuple[dict[tuple[int, ...], int], int]:
    """Return the integers of the header by their fields, and its length."""
    for length in _HEADER_BYTES:
        file.seek(at)
        header = _Header(file.read(min(length, end - at)))
        try:
            return dict(header.fields()), header.at
        except IndexError:
            continue
    raise ValueError("a page header is damaged")


class _Header:
    """Reads a structure. Raises IndexError at the end of the data."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def fields(self, depth: int = 0) -> Iterator[tuple[tuple[int, ...], int]]:
        """Yield the field and value of each integer, and skip other fields."""
        if depth > _MAX_DEPTH:
            raise ValueError("a page header is damaged")
        number = 0
        while first := self._byte():
            kind = first & 15
            number = number + (first >> 4) if first >> 4 else self._integer()
            if kind in _INTEGERS:
                yield (number,), self._integer()
            elif kind == _STRUCT:
                for path, value in self.fields(depth + 1):
                    yield (number, *path), value
            else:
                self._skip(kind)

    def _skip(self, kind: int) -> None:
        if kind in _BOOLEANS:
            return
        if kind in (_BYTE, _DOUBLE):
            self.at += 1 if kind == _BYTE else 8
        elif kind == _BINARY:
            length = self._number()
            self.at += length
        else:
            # No page header has other types, such as lists.
            raise ValueError("a page header is damaged")

    def _integer(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
            if shift > 63:
                raise ValueError("a page header is damaged")

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte
