"""Write rows as CSV, JSON lines, Parquet or a terminal table, one after the other."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, NoReturn, cast

from arcage.errors import ForeignFileError, OutputError, UsageError
from arcage.files import atomic_write, csv_mark, refuse_foreign
from arcage.output.rows import (
    COLUMNS,
    DECIMALS,
    MORE_COLUMNS,
    OLD_COLUMNS,
    json_row,
    more_values,
    text_cells,
    values,
)
from arcage.output.table import write_table
from arcage.process.streams import discard_output
from arcage.text import csv_writer, visible, visible_json
from arcage.types import Prediction

Format = Literal["table", "csv", "excel-csv", "jsonl", "parquet"]
Write = Callable[[Sequence[Prediction]], None]
"""Writes more rows."""

SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}

_ROWS_PER_GROUP = 1 << 14


def format_of(path: Path) -> Format:
    """Return the format of a file, by its suffix.

    Raises:
        UsageError: the suffix is unknown.
    """
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"cannot tell the format of {path}: end its name in one of {known}") from None


def check_rows_file(path: Path) -> None:
    """Check whether :func:`write_file` may write ``path``.

    Results of arcage are recognised by their columns; changes in their rows are not detected.

    Raises:
        UsageError: the suffix is unknown.
        ForeignFileError: arcage did not write the existing file.
    """
    format_ = format_of(path)
    refuse_foreign(_MARKS[format_], path)
    if format_ == "parquet" and os.path.isfile(path) and path.stat().st_size:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            names = pq.read_schema(path).names
            own = names[: len(OLD_COLUMNS)] == list(OLD_COLUMNS) and all(
                re.fullmatch(MORE_COLUMNS, name) for name in names[len(OLD_COLUMNS) :]
            )
        except (pa.ArrowException, OSError):
            own = False
        if not own:
            raise ForeignFileError(path)


_MARKS = {
    "csv": csv_mark(OLD_COLUMNS, MORE_COLUMNS),
    # A table with additional keys was not written by arcage.
    "jsonl": rb"\A\{"
    + b", ".join(rb'"%b": (null|[-+.e\d]+|"(\\.|[^"\\])*")' % name.encode() for name in OLD_COLUMNS)
    + rb'(, "(%b)": (null|[-+.e\d]+))*' % MORE_COLUMNS.encode()
    + rb"\}\r?(\n|\Z)",
    "parquet": rb"PAR1\Z",
}


@contextmanager
def write_file(path: Path, *, excel: bool = False, more: Sequence[str] = ()) -> Iterator[Write]:
    """Write a file of rows in the format of its suffix.

    The file is complete or not written at all: it replaces ``path`` when the ``with`` block ends, and an
    exception leaves an existing file unchanged.

    Args:
        excel: begin CSV with a byte-order mark, without which Excel does not recognise UTF-8.
        more: names of additional columns.

    Raises:
        UsageError: the suffix is unknown.
        OutputError: the file cannot be written.
    """
    format_ = format_of(path)
    if format_ == "parquet":
        with atomic_write(path) as file, _parquet(file, more) as write:
            yield write
    else:
        with atomic_write(path, "w") as text:
            cast(io.TextIOWrapper, text).reconfigure(errors=_UNDECODABLE)
            yield write_text(text, "excel-csv" if excel and format_ == "csv" else format_, more)


@contextmanager
def write_stdout(
    format_: Literal["table", "csv", "excel-csv", "jsonl"], *, more: Sequence[str] = (), interval: float = 90
) -> Iterator[Write]:
    """Write rows to standard output and flush after each call.

    Args:
        format_: of the rows.
        more: names of additional columns.
        interval: level of the interval for the heading of a table, percent.

    Raises:
        OutputError: standard output cannot be written.
        BrokenPipeError: the reader closed the pipe.
    """
    if format_ != "table" and isinstance(sys.stdout, io.TextIOWrapper):
        # Data is read by other programs; a table keeps the encoding of the terminal.
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    with _flushed_stdout():
        write = write_text(sys.stdout, format_, more, interval)

    def write_through(rows: Sequence[Prediction]) -> None:
        with _flushed_stdout():
            write(rows)

    yield write_through


def print_stdout(text: str) -> None:
    """Print lines; other characters that cannot be seen are escaped. Raises like :func:`write_stdout`."""
    with _flushed_stdout():
        sys.stdout.write(f"{visible(text, keep=chr(10))}\n")


@contextmanager
def _flushed_stdout() -> Iterator[None]:
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=_UNDECODABLE)
        yield
        sys.stdout.flush()
    except OSError as error:
        raise_stdout_error(error)


def raise_stdout_error(error: OSError) -> NoReturn:
    """Raise the error of writing to standard output like :func:`write_stdout`."""
    discard_output(sys.stdout)
    if isinstance(error, BrokenPipeError):
        raise error
    why = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
    advice = "redirect it to a file or another program"
    raise OutputError(f"cannot write to standard output: {why}; {advice}") from error


# Bytes of a file name that are not UTF-8 (surrogate escapes) become \udcXX: all output is valid UTF-8, and
# a JSON reader restores the name from this escape.
_UNDECODABLE = "backslashreplace"


def write_text(file: IO[str], format_: Format, more: Sequence[str] = (), interval: float = 90) -> Write:
    """Return a function that writes rows in a text format into an open file; write the header at once.

    The other arguments are those of :func:`write_stdout`.
    """
    if format_ == "jsonl":
        return _jsonl(file, more)
    if format_ == "excel-csv":
        file.write("\ufeff")
    return write_table(file, more, interval) if format_ == "table" else _csv(file, more)


def _csv(file: IO[str], more: Sequence[str]) -> Write:
    # A terminal is for people: it receives no control characters of a file name.
    screen = file.isatty()
    writer = csv_writer(lambda line: file.write(f"{visible(line[:-1])}\n" if screen else line))
    writer.writerow((*COLUMNS, *more))
    cells = text_cells(COLUMNS, more)
    return lambda rows: writer.writerows(map(cells, rows))


def _jsonl(file: IO[str], more: Sequence[str]) -> Write:
    def write(rows: Sequence[Prediction]) -> None:
        for row in rows:
            file.write(visible_json(json.dumps(json_row(row, more), ensure_ascii=False)) + "\n")

    return write


@contextmanager
def _parquet(file: IO[bytes], more: Sequence[str]) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from arcage.cache.arrow import printable

    schema = _schema(pa, more)
    waiting: list[Prediction] = []
    writer: Any = pq.ParquetWriter(file, schema, compression="zstd")

    def flush() -> None:
        columns = zip(*((*values(row), *more_values(row, more)) for row in waiting), strict=True)
        arrays = [
            pa.array([printable(cell) if isinstance(cell, str) else cell for cell in column], field.type)
            for column, field in zip(columns, schema, strict=True)
        ]
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        waiting.clear()

    def write(rows: Sequence[Prediction]) -> None:
        waiting.extend(rows)
        if len(waiting) >= _ROWS_PER_GROUP:
            flush()

    try:
        yield write
        if waiting:
            flush()
        writer.close()
    except BaseException:
        # An open writer is closed, and fails, when Python collects it.
        with suppress(Exception):
            writer.close()
        raise


def _schema(pa: Any, more: Sequence[str]) -> Any:
    number, whole, text = pa.float32(), pa.int32(), pa.string()
    types = {
        **dict.fromkeys(COLUMNS, text),
        **dict.fromkeys(("face", "faces"), whole),
        **dict.fromkeys((*DECIMALS, *more), number),
    }
    never_null = {"path", "faces", "status"}
    return pa.schema([pa.field(name, types[name], nullable=name not in never_null) for name in types])
