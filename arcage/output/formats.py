"""Write rows in any format, one after the other."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from arcage.errors import ForeignFileError, OutputError
from arcage.files import atomic_write, csv_mark, refuse_foreign
from arcage.output.json_text import write_array, write_lines
from arcage.output.registry import DESCRIPTION, FormatName, file_format, format_of
from arcage.output.rows import (
    COLUMNS,
    DECIMALS,
    MORE_COLUMNS,
    OLD_COLUMNS,
    more_values,
    text_cells,
    values,
)
from arcage.output.table import write_table
from arcage.process.streams import discard_output
from arcage.text import csv_writer, visible
from arcage.types import Prediction

Write = Callable[[Sequence[Prediction]], None]
"""Writes more rows: all of an image at once, in formats that describe images."""

_ROWS_PER_GROUP = 1 << 14


def check_rows_file(path: Path) -> None:
    """Check whether :func:`write_file` may write ``path``.

    Results of arcage are recognised by their columns or their first keys; changes in their rows are not
    detected. A workbook that another program has saved is not one of arcage.

    Raises:
        UsageError: the suffix is unknown.
        ForeignFileError: arcage did not write the existing file.
    """
    format_ = format_of(path)
    if format_ in _MARKS:
        refuse_foreign(_MARKS[format_], path)
    if not os.path.isfile(path):
        return
    own = True
    if format_ == "parquet":
        own = _is_own_parquet(path)
    elif format_ == "xlsx":
        from arcage.output.excel import is_own_workbook

        own = is_own_workbook(path)
    if not own:
        raise ForeignFileError(path)


def _is_own_parquet(path: Path) -> bool:
    if not path.stat().st_size:
        return True
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return False
    return names[: len(OLD_COLUMNS)] == list(OLD_COLUMNS) and all(
        re.fullmatch(MORE_COLUMNS, name) for name in names[len(OLD_COLUMNS) :]
    )


# A table with additional keys was not written by arcage.
_JSON_ROW = (
    rb"\{"
    + b", ".join(rb'"%b": (null|[-+.e\d]+|"(\\.|[^"\\])*")' % name.encode() for name in OLD_COLUMNS)
    + rb'(, "(%b)": (null|[-+.e\d]+))*' % MORE_COLUMNS.encode()
    + rb"\}"
)
_MARKS: dict[FormatName, bytes] = {
    "csv": csv_mark(OLD_COLUMNS, MORE_COLUMNS),
    "jsonl": rb"\A" + _JSON_ROW + rb"\r?(\n|\Z)",
    "json": b"|".join(
        rb"\A" + start
        for start in (
            rb"\[\n\]\n\Z",
            rb"\[\n" + _JSON_ROW + rb"(,\n|\n\]\n\Z)",
            rb'\{"info": \{"description": "%b"' % DESCRIPTION.encode(),
            rb'\[\n\{"data": \{"image": "(\\.|[^"\\])*", "path": "(\\.|[^"\\])*", "status": "',
            rb'\{"labels": \{\n("(\\.|[^"\\])*": (null|\[\]|\[\{"label": "face", )|\}\}\n\Z)',
        )
    ),
    "parquet": rb"PAR1\Z",
}


@contextmanager
def write_file(path: Path, name: FormatName | None = None, *, more: Sequence[str] = ()) -> Iterator[Write]:
    """Write a file of rows.

    The file is complete or not written at all: it replaces ``path`` when the ``with`` block ends, and an
    exception leaves an existing file unchanged.

    Args:
        path: the file.
        name: of the format; None for that of the suffix.
        more: names of additional columns.

    Raises:
        UsageError: the suffix is unknown or not that of the format, or the format needs a package.
        OutputError: the file cannot be written.
    """
    format_ = file_format(path, name).name
    if format_ == "parquet":
        with atomic_write(path) as file, _parquet(file, more) as write:
            yield write
    elif format_ == "xlsx":
        from arcage.output.excel import write_excel

        with atomic_write(path) as file, write_excel(file, more) as write:
            yield write
    else:
        with atomic_write(path, "w") as text:
            cast(io.TextIOWrapper, text).reconfigure(errors=_UNDECODABLE)
            with open_text(text, format_, more, path=path) as write:
                yield write


@contextmanager
def write_stdout(format_: FormatName, *, more: Sequence[str] = (), interval: float = 90) -> Iterator[Write]:
    """Write rows to standard output and flush after each call.

    Args:
        format_: of the rows; one that can be printed.
        more: names of additional columns.
        interval: level of the interval for the heading of a table, percent.

    Raises:
        OutputError: standard output cannot be written.
        BrokenPipeError: the reader closed the pipe.
    """
    if format_ != "table" and isinstance(sys.stdout, io.TextIOWrapper):
        # Data is read by other programs; a table keeps the encoding of the terminal.
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    with ExitStack() as stack:
        with _flushed_stdout():
            write = stack.enter_context(open_text(sys.stdout, format_, more, interval))

        def write_through(rows: Sequence[Prediction]) -> None:
            with _flushed_stdout():
                write(rows)

        yield write_through
        with _flushed_stdout():
            stack.close()


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


@contextmanager
def open_text(
    file: IO[str],
    format_: FormatName,
    more: Sequence[str] = (),
    interval: float = 90,
    path: Path | None = None,
) -> Iterator[Write]:
    """Yield a function that writes rows in a text format into an open file.

    Args:
        file: receives the start at once, and the end when the ``with`` block ends without an exception.
        format_: of the rows; one that can be printed.
        more: names of additional columns.
        interval: level of the interval for the heading of a table, percent.
        path: of the file, for temporary files beside it; None for standard output.
    """
    if format_ == "json":
        with write_array(file, more) as write:
            yield write
    # Modules that most runs do not need are imported where they are needed.
    elif format_ == "coco":
        from arcage.output.coco import write_coco

        with write_coco(file, more, path) as write:
            yield write
    elif format_ == "label-studio":
        from arcage.output.label_studio import write_label_studio

        with write_label_studio(file) as write:
            yield write
    elif format_ == "fiftyone":
        from arcage.output.fiftyone import write_fiftyone

        with write_fiftyone(file, more) as write:
            yield write
    else:
        yield write_text(file, format_, more, interval)


def write_text(file: IO[str], format_: FormatName, more: Sequence[str] = (), interval: float = 90) -> Write:
    """Return a function that writes rows as a table, CSV or JSON lines into an open file, which have no end.

    The header is written at once. The arguments are those of :func:`open_text`.
    """
    if format_ == "jsonl":
        return write_lines(file, more)
    if format_ == "table":
        return write_table(file, more, interval)
    if format_ == "excel-csv":
        file.write("\ufeff")
    return _csv(file, more)


def _csv(file: IO[str], more: Sequence[str]) -> Write:
    # A terminal is for people: it receives no control characters of a file name.
    screen = file.isatty()
    writer = csv_writer(lambda line: file.write(f"{visible(line[:-1])}\n" if screen else line))
    writer.writerow((*COLUMNS, *more))
    cells = text_cells(COLUMNS, more)
    return lambda rows: writer.writerows(map(cells, rows))


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
