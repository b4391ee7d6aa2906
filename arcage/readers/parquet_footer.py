"""Where the columns of a Parquet file are, from its footer.

pyarrow's own object for this (``RowGroupMetaData.column``) ends the process if the footer is damaged, because
exceptions of its C++ library pass through code that does not expect any. Reading rows is safe. Opening a file
takes memory for as many columns as a list claims, so the footer is read here first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO

from arcage.readers.thrift import INT64, LIST, STRUCT, CompactReader

MAX_FOOTER = 1 << 24
"""Maximum size of a footer, bytes."""
_MAGIC = b"PAR1"
_TAIL = 8
"""Bytes after the footer: its length, 4 bytes, and the magic number."""


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """The pages of a column of a row group."""

    start: int
    """Offset of the first page."""
    size: int
    """Size of the pages with their headers, bytes. They are inside the file."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group."""

    rows: int
    size: int
    """Size of all columns before compression, bytes, as stated."""
    columns: tuple[ColumnChunk, ...]
    """In the order of the leaves of the schema."""


def read_row_groups(file: IO[bytes]) -> tuple[RowGroup, ...]:
    """Return the row groups of a Parquet file.

    Args:
        file: opened for reading at any offset.

    Raises:
        ValueError: it is not a Parquet file, or its footer is damaged, encrypted or too large.
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > size - _TAIL:
        raise ValueError("it has no footer of Parquet")
    if length > MAX_FOOTER:
        raise ValueError(f"its footer has {length:,} bytes, the limit is {MAX_FOOTER:,}")
    file.seek(size - _TAIL - length)
    try:
        groups = _row_groups(CompactReader(file.read(length)))
    except (IndexError, KeyError) as error:
        raise ValueError("its footer is damaged") from error
    for group in groups:
        chunks = group.columns
        if min(group.rows, group.size) < 0 or not all(
            0 <= c.start <= c.start + c.size <= size for c in chunks
        ):
            raise ValueError("its footer is damaged")
    return groups


# The numbers are those of the fields in parquet.thrift. A field of another type does not count, as in Arrow.


def _row_groups(reader: CompactReader) -> tuple[RowGroup, ...]:
    groups: list[RowGroup] = []
    for number, kind in reader.fields():
        if (number, kind) == (4, LIST):
            groups = [_row_group(reader) for _ in _structures(reader)]
        else:
            reader.skip(kind)
    return tuple(groups)


def _row_group(reader: CompactReader) -> RowGroup:
    columns: list[ColumnChunk] = []
    values: dict[int, int] = {}
    for number, kind in reader.fields():
        if (number, kind) == (1, LIST):
            columns = [_column(reader) for _ in _structures(reader)]
        elif kind == INT64:
            values[number] = reader.integer()
        else:
            reader.skip(kind)
    return RowGroup(values[3], values[2], tuple(columns))


def _column(reader: CompactReader) -> ColumnChunk:
    values: dict[int, int] = {}
    for number, kind in reader.fields():
        if (number, kind) == (3, STRUCT):
            values = reader.integers(INT64)
        else:
            reader.skip(kind)
    start, size, dictionary = values[9], values[7], values.get(11, 0)
    return ColumnChunk(dictionary if 0 < dictionary < start else start, size)


def _structures(reader: CompactReader) -> range:
    """Read the start of a list of structures, and return a range of its length."""
    count, kind = reader.items()
    if count and kind != STRUCT:
        raise ValueError("its footer is damaged")
    return range(count)
