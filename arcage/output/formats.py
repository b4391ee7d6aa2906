"""Rows of the answer as CSV, JSON lines, parquet or a table for people, as they come."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Literal, cast

from arcage.errors import ForeignFileError, OutputError, UsageError
from arcage.files import atomic_write, csv_mark, refuse_foreign
from arcage.output.table import write_table
from arcage.process.streams import drop
from arcage.types import Prediction

Format = Literal["table", "csv", "excel-csv", "jsonl", "parquet"]
Write = Callable[[Sequence[Prediction]], None]
"""Takes more rows."""

COLUMNS = tuple(field.name for field in fields(Prediction))
_cells: Callable[[Prediction], tuple[Any, ...]] = attrgetter(*COLUMNS)
SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}

DECIMALS = {
    **dict.fromkeys(("x1", "y1", "x2", "y2", "age", "age_low", "age_high"), 1),
    "det_score": 3,
    "p_female": 4,
}
"""What text formats keep: more would be noise. Parquet keeps all."""
_PLACES = [DECIMALS.get(name) for name in COLUMNS]

_ROWS_PER_GROUP = 1 << 14


def format_of(path: Path) -> Format:
    """The format that a file's suffix stands for.

    Raises:
        UsageError: none is known.
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
        UsageError: no format is known for the suffix.
        ForeignFileError: arcage did not write the existing file.
    """
    format_ = format_of(path)
    refuse_foreign(_MARKS[format_], path)
    if format_ == "parquet" and os.path.isfile(path) and path.stat().st_size:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            own = pq.read_schema(path).names == list(COLUMNS)
        except (pa.ArrowException, OSError):
            own = False
        if not own:
            raise ForeignFileError(path)


_MARKS = {
    "csv": csv_mark(COLUMNS),
    # No keys besides the columns: arcage did not write a table with more.
    "jsonl": rb"\A\{"
    + b", ".join(rb'"%b": (null|[-+.e\d]+|"(\\.|[^"\\])*")' % name.encode() for name in COLUMNS)
    + rb"\}\r?(\n|\Z)",
    "parquet": rb"PAR1\Z",
}


@contextmanager
def write_file(path: Path, *, excel: bool = False) -> Iterator[Write]:
    """A file of rows in the format of its suffix, whole or not at all.

    It takes the place of ``path`` when the ``with`` block ends; after an exception, what was there before
    is untouched.

    Args:
        excel: begin CSV with a byte-order mark, without which Excel does not recognise UTF-8.

    Raises:
        UsageError: no format is known for the suffix.
        OutputError: it cannot be written.
    """
    format_ = format_of(path)
    if format_ == "parquet":
        with atomic_write(path) as file, _parquet(file) as write:
            yield write
    else:
        with atomic_write(path, "w") as text:
            cast(io.TextIOWrapper, text).reconfigure(errors=_UNDECODABLE)
            yield write_text(text, "excel-csv" if excel and format_ == "csv" else format_)


@contextmanager
def write_stdout(format_: Literal["table", "csv", "excel-csv", "jsonl"]) -> Iterator[Write]:
    """Rows on standard output, each as soon as it is known.

    Raises:
        OutputError: it cannot be written.
        BrokenPipeError: nobody reads it any more.
    """
    if format_ != "table" and isinstance(sys.stdout, io.TextIOWrapper):
        # A table is for this terminal, data is for other programs.
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    with _flushed_stdout():
        write = write_text(sys.stdout, format_)

    def write_through(rows: Sequence[Prediction]) -> None:
        with _flushed_stdout():
            write(rows)

    yield write_through


def print_stdout(text: str) -> None:
    """Print a line. Raises as :func:`write_stdout`."""
    with _flushed_stdout():
        sys.stdout.write(f"{text}\n")


def flush_stdout() -> None:
    """Flush standard output. Raises like :func:`write_stdout`."""
    with _flushed_stdout():
        pass


@contextmanager
def _flushed_stdout() -> Iterator[None]:
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=_UNDECODABLE)
        yield
        sys.stdout.flush()
    except OSError as error:
        drop(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        why = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
        advice = "redirect it to a file or another program"
        raise OutputError(f"cannot write to standard output: {why}; {advice}") from error


# Bytes of a file name that are no UTF-8 (surrogate escapes) become \udcXX: all output is valid UTF-8, and
# in JSON this is the escape that leads back to the name.
_UNDECODABLE = "backslashreplace"


def write_text(file: IO[str], format_: Format) -> Write:
    """Rows in a text format, into a file that is open; a header is written at once."""
    if format_ == "jsonl":
        return _jsonl(file)
    if format_ == "excel-csv":
        file.write("\ufeff")
    return write_table(file) if format_ == "table" else _csv(file)


def _csv(file: IO[str]) -> Write:
    # Python before 3.13 quotes the \r of a file name only where lines end in one: so they do, up to here.
    lines = SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n"))
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    # z: no minus before a zero.
    formats = [f"z.{DECIMALS[name]}f" if name in DECIMALS else "" for name in COLUMNS]

    def write(rows: Sequence[Prediction]) -> None:
        for row in rows:
            cells = zip(_cells(row), formats, strict=True)
            writer.writerow(["" if value is None else format(value, spec) for value, spec in cells])

    return write


def record(row: Prediction) -> dict[str, Any]:
    """A row as JSON has it: the columns by name, numbers rounded to :data:`DECIMALS`."""
    return {
        # + 0.0: no minus before a zero.
        name: value if places is None or value is None else round(value, places) + 0.0
        for name, value, places in zip(COLUMNS, _cells(row), _PLACES, strict=True)
    }


def _jsonl(file: IO[str]) -> Write:
    def write(rows: Sequence[Prediction]) -> None:
        for row in rows:
            file.write(json.dumps(record(row), ensure_ascii=False) + "\n")

    return write


@contextmanager
def _parquet(file: IO[bytes]) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from arcage.cache.arrow import printable

    schema = _schema(pa)
    waiting: list[Prediction] = []
    writer: Any = pq.ParquetWriter(file, schema, compression="zstd")

    def flush() -> None:
        columns = zip(*map(_cells, waiting), strict=True)
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
        # Left open, it would be closed, and complain, whenever Python collects it.
        with suppress(Exception):
            writer.close()
        raise


def _schema(pa: Any) -> Any:
    number, whole, text = pa.float32(), pa.int32(), pa.string()
    types = {
        **dict.fromkeys(COLUMNS, text),
        **dict.fromkeys(("face", "faces"), whole),
        **dict.fromkeys(DECIMALS, number),
    }
    never_null = {"path", "faces", "status"}
    return pa.schema([pa.field(name, types[name], nullable=name not in never_null) for name in COLUMNS])
