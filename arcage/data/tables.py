"""Read labels from CSV, JSON lines and Parquet files."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from arcage.data.cells import (
    BOX,
    WIDEST,
    parse_age,
    parse_box,
    parse_face,
    parse_gender,
    parse_person,
    parse_split,
    parse_weight,
)
from arcage.data.labels import Label
from arcage.data.rows import (
    MAX_CELL,
    Row,
    column_name,
    csv_rows,
    csv_separator,
    json_rows,
    parquet_rows,
    restored,
)
from arcage.errors import UsageError
from arcage.files import reason
from arcage.readers.regular_file import FileKindError, check_regular
from arcage.text import shortened

READ = ("path", "age", "gender", "person", "group", "split", "weight")
"""Columns that are read."""
PREDICTED = {"path", "face", "faces", "status"}
"""Columns by which a table of predictions is recognised. Each of its rows describes one face of its image."""
WRITTEN = (PREDICTED, {"path", "person", "left_out"}, {"path", "kind", "score", "sha256"})
"""Columns by which a CSV file that arcage wrote is recognised: predictions, IMDB-WIKI, suspicious labels."""
DECIMALS = ("age", "gender", "weight", "face", *BOX)
"""Columns of numbers, which may have a decimal comma."""
MAX_NAME = 256
"""Limit of the name of a person or a group, characters. They are kept in arrays as wide as the longest."""
SHOWN = 5
"""Maximum number of wrong lines in an error message."""


@dataclass(frozen=True, slots=True)
class Place:
    """The image, or one of its faces, that a label belongs to."""

    path: str
    """With forward slashes and without ``.`` and empty parts."""
    face: int | None = None
    """Number as in :class:`arcage.types.Prediction`; None for the main face of the image."""
    box: tuple[float, ...] | None = field(default=None, compare=False)
    """Box of that face, pixels: x1, y1, x2, y2."""


@dataclass(frozen=True, slots=True)
class Table:
    """The labels of one file."""

    labels: dict[Place, Label]
    """By place; including rows without age and gender."""
    predictions: bool
    """Whether the table contains predictions, whose paths are file paths."""
    remarks: tuple[str, ...]
    """How ambiguous values were read."""


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> Table:
    """Read labels from a table.

    The table needs the columns ``path`` and ``age``, ``gender`` or both. Optional columns are ``person``,
    ``group``, ``split`` and ``weight``, in any order and case. Other columns are ignored, except in a table
    of predictions (see :data:`PREDICTED`).

    Args:
        path: a ``.parquet`` or ``.jsonl`` file; any other file is read as CSV in UTF-8 with a header. Columns
            are separated by commas, semicolons (numbers may then have a decimal comma) or tabs.
        columns: column names in this file, if they differ: ``{"age": "Years"}``.

    Raises:
        UsageError: the file cannot be read, a column is missing, or lines are wrong (with their numbers).
    """
    called = {name: column_name((columns or {}).get(name, name)) for name in READ}
    needed = {*called.values(), *PREDICTED, *BOX}
    suffix = path.suffix.lower()
    try:
        check_regular(path)
        if suffix == ".parquet":
            return _labels(path, parquet_rows(path, needed), columns or {}, "row")
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix == ".jsonl":
                return _labels(path, json_rows(path, file, needed), columns or {}, "line")
            separator = csv_separator(path, file)
            rows = restored(csv_rows(path, file, separator), WRITTEN)
            return _labels(path, rows, columns or {}, "line", comma=separator == ";")
    except FileKindError as error:
        raise UsageError(f"cannot read the labels {path}: {error}") from None
    except OSError as error:
        raise UsageError(f"cannot read the labels {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8 ({error}); save it as CSV in UTF-8") from error


def parse_columns(text: str) -> dict[str, str]:
    """Parse ``age=Years,gender=sex`` into a mapping from :data:`READ` to the column names of a file.

    Raises:
        UsageError: the text has another form.
    """
    columns: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, _, own = (word.strip() for word in part.partition("="))
        if name not in READ or not own or name in columns:
            raise UsageError(
                f"`columns` is NAME=COLUMN,... with each of the names {', '.join(READ)} at most once, such "
                f"as age=Years,gender=sex, not {text!r}"
            )
        columns[name] = own
    return columns


def _labels(
    path: Path, rows: Iterator[Row], columns: Mapping[str, str], line: str, *, comma: bool = False
) -> Table:
    header = [column_name(name) for name in next(rows, (0, []))[1]]
    at = _find_columns(path, header, columns)
    predictions = set(header) >= PREDICTED
    if predictions:
        at |= {name: header.index(name) for name in ("face", *BOX) if name in header}
    labels: dict[Place, Label] = {}
    readings: Counter[str] = Counter()
    wrong: list[str] = []
    count = 0
    for number, cells in rows:
        # Spreadsheets write cleared rows.
        if not any(cells):
            continue
        try:
            if any(cells[len(header) :]):
                raise UsageError("more values than columns; put a path with commas in quotation marks")
            row = {key: _checked(key, cells[i]) for key, i in at.items() if i < len(cells)}
            if comma:
                row |= {key: _with_point(row[key]) for key in DECIMALS if key in row}
            place, label = _parse_row(row, readings)
            before = labels.get(place)
            if before is None or not before.known:
                labels[place] = replace(label, line=number)
            # Compared by repr because NaN is not equal to itself.
            elif label.known and repr(before) != repr(label):
                what = place.path if place.face is None else f"face {place.face} of {place.path}"
                raise UsageError(f"another label for {what} than in {line} {before.line}; keep one of them")
        except UsageError as error:
            count += 1
            if count <= SHOWN:
                wrong.append(f"{path}, {line} {number}: {error}")
    if count > SHOWN:
        wrong.append(f"and {count - SHOWN:,} more such {line}s")
    if wrong:
        raise UsageError(*wrong)
    return Table(labels, predictions, _remarks(predictions, readings))


def _remarks(predictions: bool, readings: Counter[str]) -> tuple[str, ...]:
    remarks = []
    if predictions:
        remarks.append("a table of predictions: its ages and genders are used as labels, face by face")
    if count := readings["range"]:
        remarks.append(
            f"age ranges, read as their midpoints (25-32 as 28.5): {count:,}; errors are measured from the "
            "midpoint"
        )
    if count := readings["open"]:
        remarks.append(
            f"open age ranges (60+) and ranges of more than {WIDEST} years, read as unknown: {count:,}"
        )
    if readings["number"]:
        remarks.append("gender is given as a number: 0 is read as male, 1 as female")
    return tuple(remarks)


def _find_columns(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Return the position of each column that is read."""
    called = {name: column_name(columns.get(name, name)) for name in READ}
    listed = shortened([name[:50] for name in header], 20) or "none"
    for name in columns:
        if called[name] not in header:
            raise UsageError(f"{path} has no column {columns[name]!r} for {name}; it has {listed}")
    at = {name: header.index(own) for name, own in called.items() if own in header}
    if "path" not in at or not {"age", "gender"} & set(at):
        raise UsageError(
            f"{path} needs a first line with the columns path and age or gender, separated by commas, "
            f"semicolons or tabs; it has {listed}. Others can be named: `columns` path=file,age=years"
        )
    if twice := [called[name] for name in at if header.count(called[name]) > 1]:
        raise UsageError(f"{path} has more than one column {twice[0]}; keep one of them")
    return at


def _parse_row(cells: Mapping[str, str], readings: Counter[str]) -> tuple[Place, Label]:
    """Return the place and the label of a row; ``readings`` counts ambiguous values."""
    if not cells.get("path", "").strip():
        raise UsageError("the path is empty")
    path = posixpath.normpath(cells["path"].replace("\\", "/"))
    split = parse_split(cells.get("split", ""))
    return Place(path, parse_face(cells.get("face", "")), parse_box(cells)), Label(
        parse_age(cells.get("age", ""), readings),
        parse_gender(cells.get("gender", ""), readings),
        parse_person(cells.get("person", "")),
        unicodedata.normalize("NFC", cells.get("group", "").strip()),
        parse_weight(cells.get("weight", "")),
        split,
    )


def _checked(name: str, text: str) -> str:
    """Return a cell.

    Raises:
        UsageError: it is too long, or is not text.
    """
    if len(text) <= MAX_NAME and text.isascii() and "\0" not in text:
        return text
    limit = MAX_NAME if name in ("person", "group") else MAX_CELL
    if len(text) > limit:
        raise UsageError(f"the {name} has {len(text):,} characters; the limit is {limit:,}")
    try:
        # Paths that are not UTF-8 are spelled with surrogates.
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"the {name} is not text: it has half of a surrogate pair") from None
    if "\0" in text:
        raise UsageError(f"the {name} has a NUL character")
    return text


def _with_point(text: str) -> str:
    """Replace a decimal comma by a point."""
    return re.sub(r"^([^0-9]*[0-9]+),([0-9]+)$", r"\1.\2", text.strip())
