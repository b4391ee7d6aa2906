"""Labels from a CSV or parquet file."""

from __future__ import annotations

import csv
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from arcage.data.labels import HELD_OUT, OLDEST, TRAIN, Label
from arcage.errors import UsageError
from arcage.files import reason

# 0.0 and 1.0 are what spreadsheets and pandas make of whole numbers in a column with gaps.
GENDERS = {"male": 0, "m": 0, "0": 0, "0.0": 0, "female": 1, "f": 1, "1": 1, "1.0": 1}
SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "dev"), HELD_OUT),
}
READ = ("path", "age", "gender", "person", "group", "split", "weight")
"""The columns of a table that are read."""
SHOWN = 5
"""Wrong lines that an error tells of."""

Row = tuple[int, Sequence[str]]
"""The number of a line (of a row, in parquet), and its cells."""


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> dict[str, Label]:
    """Labels from a table: ``path`` and ``age``, ``gender`` or both; optional ``person``, ``group``,
    ``split`` and ``weight``, in any order and case. Other columns are passed over.

    Args:
        path: ``.parquet``, or else CSV in UTF-8 with a header.
        columns: what columns are called in this file where not by those names: ``{"age": "Years"}``.

    Returns:
        By path, with forward slashes and without ``.`` and empty parts. A line without an age and a gender
        is here too.

    Raises:
        UsageError: the file cannot be read, a column is missing, or lines are wrong, each told with its
            number.
    """
    if path.suffix.lower() == ".parquet":
        return _labels(path, _parquet_rows(path), columns or {}, "row")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _labels(path, _csv_rows(path, file), columns or {}, "line")
    except OSError as error:
        raise UsageError(f"cannot read the labels {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8 ({error}); save it as CSV in UTF-8") from error


def parse_columns(text: str) -> dict[str, str]:
    """``age=Years,gender=sex`` as a mapping from the names of :data:`READ` to a file's own.

    Raises:
        UsageError: it is no such text.
    """
    columns: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, _, own = (word.strip() for word in part.partition("="))
        if name not in READ or not own or name in columns:
            raise UsageError(
                f"--columns takes NAME=COLUMN,... with each of the names {', '.join(READ)} once at most, "
                f"such as age=Years,gender=sex, not {text!r}"
            )
        columns[name] = own
    return columns


def _csv_rows(path: Path, file: IO[str]) -> Iterator[Row]:
    # strict: without it, a quotation mark that is never closed swallows the rest of the file.
    reader = csv.reader(file, strict=True)
    last = 0
    try:
        for row in reader:
            last = reader.line_num
            yield last, row
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {last + 1}: {error}; check the quotation marks from there on"
        ) from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    """The names of the columns as row 0, and all rows as text, in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            yield 0, names
            number = 0
            for batch in file.iter_batches():
                # By position: two columns may have one name, which is told later.
                columns = [batch.column(i).to_pylist() for i in range(len(names))]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, ["" if cell is None or cell != cell else str(cell) for cell in cells]
    except FileNotFoundError:
        raise UsageError(f"cannot read the labels {path}: no such file") from None
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise UsageError(f"cannot read {path} as parquet: {error}") from error


def _labels(path: Path, rows: Iterator[Row], columns: Mapping[str, str], line: str) -> dict[str, Label]:
    header = [name.strip().lower() for name in next(rows, (0, []))[1]]
    at = _places(path, header, columns)
    labels: dict[str, Label] = {}
    wrong: list[str] = []
    count = 0
    for number, cells in rows:
        if not cells:
            continue
        try:
            if any(cells[len(header) :]):
                raise UsageError("more values than columns; put a path with commas in quotation marks")
            name, label = _label({key: cells[i] for key, i in at.items() if i < len(cells)})
            before = labels.get(name)
            if before is None or not before.known:
                labels[name] = replace(label, line=number)
            # By repr: NaN is not equal to itself.
            elif label.known and repr(before) != repr(label):
                raise UsageError(f"another label for {name} than in {line} {before.line}; keep one of them")
        except UsageError as error:
            count += 1
            if count <= SHOWN:
                wrong.append(f"{path}, {line} {number}: {error}")
    if count > SHOWN:
        wrong.append(f"and {count - SHOWN:,} more such {line}s")
    if wrong:
        raise UsageError("\n".join(wrong))
    return labels


def _places(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Where each of the columns that are read stands."""
    called = {name: columns.get(name, name).strip().lower() for name in READ}
    listed = ", ".join(header) or "none"
    for name in columns:
        if called[name] not in header:
            raise UsageError(f"{path} has no column {columns[name]!r} for {name}; it has {listed}")
    at = {name: header.index(own) for name, own in called.items() if own in header}
    if "path" not in at or not {"age", "gender"} & set(at):
        raise UsageError(
            f"{path} needs a first line with the columns path and age or gender, separated by commas; "
            f"it has {listed}. Others can be named: --columns path=file,age=years"
        )
    if twice := [called[name] for name in at if header.count(called[name]) > 1]:
        raise UsageError(f"{path} has more than one column {twice[0]}; keep one of them")
    return at


def _label(cells: Mapping[str, str]) -> tuple[str, Label]:
    if not cells.get("path", "").strip():
        raise UsageError("the path is empty")
    name = posixpath.normpath(cells["path"].replace("\\", "/"))
    split = cells.get("split", "").strip().lower()
    if split and split not in SPLITS:
        raise UsageError(f"unknown split {cells['split']!r}; arcage reads train, test, val, or nothing")
    return name, Label(
        _age(cells.get("age", "")),
        _gender(cells.get("gender", "")),
        cells.get("person", "").strip(),
        cells.get("group", "").strip(),
        _weight(cells.get("weight", "")),
        SPLITS[split] if split else "",
    )


def _age(text: str) -> float:
    age = _number(text)
    if age is not None and not 0 <= age <= OLDEST:
        raise UsageError(f"{text!r} is no age in years from 0 to {OLDEST}; leave it empty if unknown")
    return math.nan if age is None else age


def _weight(text: str) -> float:
    weight = _number(text)
    if weight is not None and not 0 <= weight < math.inf:
        raise UsageError(f"{text!r} is no weight, a number of 0 or more; leave it empty if unknown")
    return math.nan if weight is None else weight


def _number(text: str) -> float | None:
    """None for nothing, NaN for what is no number."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        return math.nan


def _gender(text: str) -> float:
    word = text.strip().lower()
    if not word:
        return math.nan
    if word not in GENDERS:
        raise UsageError(
            f"unknown gender {text!r}; arcage reads male, m, 0, female, f, 1, or nothing if unknown"
        )
    return float(GENDERS[word])
