"""Read the rows of label files as text: CSV, JSON lines, Parquet and Excel, in bounded memory."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from arcage.errors import UsageError
from arcage.process import cell
from arcage.readers.strict_json import parse_json
from arcage.text import from_spreadsheet

Row = tuple[int, Sequence[str]]
"""Line number (row number in Parquet) and cells."""

MAX_LINE = 1 << 20
"""Limit of a line of text, and of all lines of one row of CSV, characters."""
MAX_CELL = 8192
"""Limit of a cell that is read, characters."""
MAX_ROWS = 50_000_000
"""Limit of the rows of a Parquet file, in which a few bytes can stand for any number of equal rows."""
LIMITS = cell.CellLimits(memory=1 << 29, seconds=5)
"""Limits of the worker process that reads Parquet, for each batch of rows."""
EXCEL_LIMITS = cell.CellLimits(memory=1 << 31, seconds=240)
"""Limits of the worker process that reads Excel files, which it reads as a whole."""

TEXT_PER_BYTE = 50
"""Limit of the text of a Parquet file, relative to its size: equal beginnings of texts are stored once."""
ALWAYS_READ = 1 << 26
"""Text that is read from a Parquet file of any size, bytes."""

_REPLY_BYTES = 1 << 28
_PARQUET, _EXCEL = "arcage.data.parquet_job:read", "arcage.data.excel_job:read"
_SEPARATORS = ",;\t|^~\x1f\x01"
"""Separators of CSV; the last ones are those of programs whose users see no others."""


def column_name(name: str) -> str:
    """Return the name of a column as it is compared."""
    return unicodedata.normalize("NFC", name.strip().lower())


def csv_separator(path: Path, file: IO[str]) -> str:
    """Return the most frequent separator of the first line; a space if it has no other one.

    Excel uses semicolons where numbers have decimal commas.

    Raises:
        UsageError: the line has no end.
    """
    first = next((line for _, line in _lines(path, file) if line.strip()), "")
    file.seek(0)

    def count(separator: str) -> int:
        try:
            return len(next(csv.reader([first], delimiter=separator)))
        except csv.Error:  # the line is too long without this separator
            return 0

    best = max(_SEPARATORS, key=count)
    return best if count(best) > 1 else " "


def csv_rows(path: Path, file: IO[str], separator: str) -> Iterator[Row]:
    """Yield the rows of a CSV file that are not empty.

    Raises:
        UsageError: a quotation mark is wrong, or a line or a row has no end.
    """
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for number, line in _lines(path, file):
            taken += len(line)
            if taken > MAX_LINE:
                raise UsageError(f"{path}, line {number}: {_TOO_LONG}; check the quotation marks before it")
            yield line

    # Without strict, an unclosed quotation mark swallows the rest of the file.
    reader = csv.reader(lines(), strict=True, delimiter=separator, skipinitialspace=separator == " ")
    last = 0
    try:
        for row in reader:
            last, taken = reader.line_num, 0
            # Excel reads the separator from a line sep=;.
            if row and not (last == 1 and row[0].lower() == "sep="):
                yield last, row
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {last + 1}: {error}; check the quotation marks from there on"
        ) from error


def restored(rows: Iterator[Row], written: Sequence[Collection[str]]) -> Iterator[Row]:
    """Undo :func:`arcage.text.to_spreadsheet` in a table that arcage wrote, which its columns tell."""
    own = False
    for place, (number, cells) in enumerate(rows):
        if place == 0:
            header = {column_name(cell) for cell in cells}
            own = any(set(columns) <= header for columns in written)
        yield number, [from_spreadsheet(cell) for cell in cells] if own else cells


def json_rows(path: Path, file: IO[str], columns: Collection[str]) -> Iterator[Row]:
    """Yield the column names of JSON lines as row 0, and all lines as text.

    Args:
        path: for errors.
        file: the opened file.
        columns: names of the columns that are kept, as :func:`column_name` gives them.

    Raises:
        UsageError: a line is not a JSON object, or a value is a list or an object.
    """

    def records() -> Iterator[tuple[int, Any]]:
        for number, line in _lines(path, file):
            if not line.strip():
                continue
            try:
                yield number, parse_json(line, max_bytes=MAX_LINE)
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: not JSON ({error})") from None

    return object_rows(path, records(), columns, "line")


def object_rows(
    path: Path, objects: Iterable[tuple[int, Any]], columns: Collection[str], word: str
) -> Iterator[Row]:
    """Yield the column names of JSON objects as row 0, and all objects as text.

    Args:
        path, columns: as for :func:`json_rows`.
        objects: each with its number.
        word: what is numbered, for errors.

    Raises:
        UsageError: one is not a JSON object, or a value is a list or an object.
    """
    is_read = lru_cache(4096)(lambda name: column_name(name) in columns)
    names: dict[str, None] = {}
    records: list[tuple[int, dict[str, str]]] = []
    for number, record in objects:
        if not isinstance(record, dict):
            raise UsageError(f"{path}, {word} {number}: give an object with the columns by name")
        names |= dict.fromkeys(record)
        cells = {name: value for name, value in record.items() if is_read(name)}
        for name, value in cells.items():
            if isinstance(value, list | dict):
                raise UsageError(f"{path}, {word} {number}: {name[:50]} is not text or a number")
            cells[name] = "" if value is None else str(value)
        records.append((number, cells))
    yield 0, list(names)
    at = [(i, name) for i, name in enumerate(names) if is_read(name)]
    for number, cells in records:
        yield number, _spread(at, [cells.get(name, "") for _, name in at])


def parquet_rows(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """Yield the column names of a Parquet file as row 0, and all rows as text.

    The file is read in a worker process, because a few bytes of it can stand for gigabytes. Only some columns
    are read; the cells of the others are empty.

    Args:
        path: the file.
        columns: names of the columns that are read, as :func:`column_name` gives them.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        most = ALWAYS_READ + TEXT_PER_BYTE * os.path.getsize(path)
        yield from _worker_rows(_PARQUET, path, columns, LIMITS, most)
    except cell.CellTimeoutError:
        words = f"reading some of its rows takes more than {LIMITS.seconds:g} seconds"
        raise UsageError(f"cannot read {path} as parquet: {words}") from None
    except cell.CellMemoryError:
        words = f"reading it takes more than {LIMITS.memory >> 20} MiB of memory"
        raise UsageError(f"cannot read {path} as parquet: {words}; write it in smaller row groups") from None
    except (cell.CellError, ValueError, TypeError, KeyError) as failure:
        raise UsageError(f"cannot read {path} as parquet: {failure}") from None


def excel_rows(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """Yield the first visible sheet of an Excel file (.xlsx), as text, with the column names as row 0.

    It is read by pandas in a worker process, because a few bytes of it can stand for gigabytes.

    Args:
        path, columns: as for :func:`parquet_rows`.

    Raises:
        UsageError: the file cannot be read, or openpyxl is not installed.
    """
    try:
        yield from _worker_rows(_EXCEL, path, columns, EXCEL_LIMITS, _REPLY_BYTES)
    except (cell.CellTimeoutError, cell.CellMemoryError):
        raise UsageError(
            f"cannot read {path}: it is too large for a sheet of labels; save it as CSV"
        ) from None
    except (cell.CellError, ValueError, TypeError, KeyError) as failure:
        raise UsageError(f"cannot read {path}: {failure}") from None


def _worker_rows(
    job: str, path: Path, columns: Collection[str], limits: cell.CellLimits, most: int
) -> Iterator[Row]:
    """Yield the rows that a job sends.

    Args:
        most: limit of the text, bytes.

    Raises:
        CellError: the job needs too much memory or time, or dies.
        ValueError: the job sent an error or too much text.
        TypeError, KeyError: the job sent something else.
    """
    args = {
        "path": os.path.abspath(path),
        "columns": sorted(columns),
        "max_cell": MAX_CELL,
        "max_rows": MAX_ROWS,
    }
    replies = cell.run(job, args, limits=limits)
    number = size = 0
    at: list[tuple[int, str]] = []
    error = ""
    try:
        for reply in replies:
            size += len(reply.body)
            if size > most:
                raise ValueError(f"its rows have more than {most:,} bytes of text")
            if "error" in reply.header:
                error = str(reply.header["error"])[:500]
                continue  # To its end, so that the worker process can be used again.
            content = parse_json(bytes(reply.body), max_bytes=_REPLY_BYTES)
            if not number:
                names = [str(name) for name in content["names"]]
                at = [(names.index(name), name) for name in content["read"]]
                yield 0, names
                number = int(content.get("first", 1))
                continue
            for cells in content:
                yield number, _spread(at, cells)
                number += 1
    finally:
        replies.close()
    if error:
        raise ValueError(error)


def _spread(at: Sequence[tuple[int, str]], cells: Sequence[str]) -> list[str]:
    """Return a row in which the cells are at some indices, and the others are empty."""
    row = [""] * (max(i for i, _ in at) + 1 if at else 0)
    for (i, _), text in zip(at, cells, strict=True):
        row[i] = text
    return row


_TOO_LONG = f"a line or row of more than {MAX_LINE:,} characters"


def _lines(path: Path, file: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, from 1."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise UsageError(f"{path}, line {number}: {_TOO_LONG}")
        yield number, line
