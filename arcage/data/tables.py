"""Labels from a CSV, JSON lines or Parquet file."""

from __future__ import annotations

import csv
import json
import math
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from arcage.data.labels import GENDER_WORDS, HELD_OUT, OLDEST, TRAIN, Label
from arcage.errors import UsageError
from arcage.files import reason

# 0.0 and 1.0 are what spreadsheets and pandas make of whole numbers in a column with gaps.
GENDER_NUMBERS = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}
GENDERS = {**GENDER_WORDS, **GENDER_NUMBERS, "m": 0.0, "f": 1.0, "w": 1.0}
SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "dev"), HELD_OUT),
}
READ = ("path", "age", "gender", "person", "group", "split", "weight")
"""The columns of a table that are read."""
PREDICTED = {"path", "face", "faces", "status"}
"""A table with these columns contains predictions: each row describes one face of its image."""
BOX = ("x1", "y1", "x2", "y2")
DECIMALS = ("age", "gender", "weight", "face", *BOX)
"""Columns of numbers, which a decimal comma may be in."""
UNKNOWN = frozenset(
    {"", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "\\n", "none", "unknown"}
    | {"#n/a n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"}
    # Excel in German; in Spanish, Italian and Portuguese.
    | {"#nv", "#n/d"}
    | {"missing", "?", ".", "-", "--", "\u2013", "\u2014"}
)
"""Spellings of an unknown value in R, pandas, SQL, Excel and common usage, in lower case."""
PERSONS = frozenset({"Na", "Nan", "Null"})
"""Names of people, in spellings that the programs above do not use for an unknown value."""
WIDEST = 20
"""Maximum span of an age range, years: the midpoint of a wider range is not a useful age."""
LIGHTEST, HEAVIEST = 1e-30, 1e30
"""Limits of weights, within single precision."""
SHOWN = 5
"""Wrong lines that an error tells of."""

_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_YEARS = r"([0-9]{1,3}(?:\.[0-9]+)?)"
_RANGE = re.compile(rf"([(\[]?) *{_YEARS} *(-|~|\.\.|to|[,;]) *{_YEARS} *([)\]]?)")
_MORE = "more than|older than|over|above|at least|less than|younger than|under|below|up to"
_OPEN = re.compile(
    rf"{_YEARS} ?(?:\+|plus)|[(\[] ?(?:-inf[,;] ?{_YEARS}|{_YEARS}[,;] ?\+?inf)[)\]]"
    rf"|[<>\u2264\u2265]=? ?{_YEARS}|(?:{_MORE}) {_YEARS}"
    rf"|{_YEARS} (?:and|or|&) (?:over|older|above|more|up|under|younger|below|less)"
)

Row = tuple[int, Sequence[str]]
"""Line number (row number in Parquet) and cells."""


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
    """Includes lines without age and gender."""
    predictions: bool
    """Whether it has the columns of ``arcage predict``; its paths are then file paths."""
    remarks: tuple[str, ...]
    """How ambiguous values were read."""


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> Table:
    """Labels from a table: ``path`` and ``age``, ``gender`` or both; optional ``person``, ``group``,
    ``split`` and ``weight``, in any order and case. Other columns are ignored, except that a table with
    the columns of ``arcage predict`` has a label for each face.

    Args:
        path: ``.parquet``, ``.jsonl``, or else CSV in UTF-8 with a header; its columns are separated by
            commas, semicolons (then a number may have a decimal comma) or tabs.
        columns: what columns are called in this file where not by those names: ``{"age": "Years"}``.

    Raises:
        UsageError: the file cannot be read, a column is missing, or lines are wrong, each told with its
            number.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _labels(path, _parquet_rows(path), columns or {}, "row")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix == ".jsonl":
                return _labels(path, _json_rows(path, file), columns or {}, "line")
            separator = _separator(file)
            rows = _csv_rows(path, file, separator)
            return _labels(path, rows, columns or {}, "line", comma=separator == ";")
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
                f"`columns` takes NAME=COLUMN,... with each of the names {', '.join(READ)} once at most, "
                f"such as age=Years,gender=sex, not {text!r}"
            )
        columns[name] = own
    return columns


def _separator(file: IO[str]) -> str:
    """Return the most frequent separator of the first line; Excel uses semicolons with decimal commas."""
    first = next((line for line in file if line.strip()), "")
    file.seek(0)
    return max(",;\t", key=lambda separator: len(next(csv.reader([first], delimiter=separator))))


def _csv_rows(path: Path, file: IO[str], separator: str) -> Iterator[Row]:
    # strict: without it, a quotation mark that is never closed swallows the rest of the file.
    reader = csv.reader(file, strict=True, delimiter=separator)
    last = 0
    try:
        for row in reader:
            last = reader.line_num
            # Excel reads the separator from a line sep=;.
            if row and not (last == 1 and row[0].lower() == "sep="):
                yield last, row
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {last + 1}: {error}; check the quotation marks from there on"
        ) from error


def _json_rows(path: Path, file: IO[str]) -> Iterator[Row]:
    """Yield the column names as row 0, and all lines as text."""
    records: list[tuple[int, Mapping[str, object]]] = []
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: not JSON ({error})") from None
            if not isinstance(record, dict):
                raise UsageError(f"{path}, line {number}: give an object with the columns by name")
            records.append((number, record))
    names = list(dict.fromkeys(name for _, record in records for name in record))
    yield 0, names
    for number, record in records:
        yield number, [_cell(record.get(name)) for name in names]


def _cell(value: object) -> str:
    return "" if value is None or value != value else str(value)


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
                    yield number, [_cell(cell) for cell in cells]
    except FileNotFoundError:
        raise UsageError(f"cannot read the labels {path}: no such file") from None
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise UsageError(f"cannot read {path} as parquet: {error}") from error


def _labels(
    path: Path, rows: Iterator[Row], columns: Mapping[str, str], line: str, *, comma: bool = False
) -> Table:
    header = [_column(name) for name in next(rows, (0, []))[1]]
    at = _places(path, header, columns)
    predictions = set(header) >= PREDICTED
    if predictions:
        at |= {name: header.index(name) for name in ("face", *BOX) if name in header}
    labels: dict[Place, Label] = {}
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    count = 0
    for number, cells in rows:
        # Spreadsheets write rows that were emptied.
        if not any(cells):
            continue
        try:
            if any(cells[len(header) :]):
                raise UsageError("more values than columns; put a path with commas in quotation marks")
            row = {key: cells[i] for key, i in at.items() if i < len(cells)}
            if comma:
                row |= {key: _with_point(row[key]) for key in DECIMALS if key in row}
            place, label = _label(row, seen)
            before = labels.get(place)
            if before is None or not before.known:
                labels[place] = replace(label, line=number)
            # By repr: NaN is not equal to itself.
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
        raise UsageError("\n".join(wrong))
    return Table(labels, predictions, _remarks(predictions, seen))


def _remarks(predictions: bool, seen: Counter[str]) -> tuple[str, ...]:
    remarks = []
    if predictions:
        remarks.append("a table of predictions: its ages and genders are used as labels, face by face")
    if count := seen["range"]:
        remarks.append(
            f"age ranges, read as their midpoints (25-32 as 28.5): {count:,}; errors are measured from the "
            "midpoint"
        )
    if count := seen["open"]:
        remarks.append(
            f"open age ranges (60+) and ranges of more than {WIDEST} years, read as unknown: {count:,}"
        )
    if seen["number"]:
        remarks.append("gender is given as a number: 0 is read as male, 1 as female")
    return tuple(remarks)


def _column(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().lower())


def _places(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Where each of the columns that are read stands."""
    called = {name: _column(columns.get(name, name)) for name in READ}
    listed = ", ".join(header) or "none"
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


def _label(cells: Mapping[str, str], seen: Counter[str]) -> tuple[Place, Label]:
    """Return the place and the label of a row; ``seen`` counts how values were read."""
    if not cells.get("path", "").strip():
        raise UsageError("the path is empty")
    name = posixpath.normpath(cells["path"].replace("\\", "/"))
    split = cells.get("split", "").strip().lower()
    if split not in UNKNOWN and split not in SPLITS:
        raise UsageError(f"unknown split {cells['split']!r}; arcage reads train, test, val, or nothing")
    return Place(name, _face(cells.get("face", "")), _box(cells)), Label(
        _age(cells.get("age", ""), seen),
        _gender(cells.get("gender", ""), seen),
        _person(cells.get("person", "")),
        unicodedata.normalize("NFC", cells.get("group", "").strip()),
        _weight(cells.get("weight", "")),
        SPLITS.get(split, ""),
    )


def _unknown(text: str) -> bool:
    return text.strip().lower() in UNKNOWN


def _person(text: str) -> str:
    name = unicodedata.normalize("NFC", text.strip())
    if name.lower() in UNKNOWN and name not in PERSONS:
        return ""
    # pandas writes whole numbers in a column with gaps as 1.0, or 1,0 where a decimal comma is asked for.
    whole = re.fullmatch(r"(-?[0-9]+)[.,]0+", name)
    return whole[1] if whole else name


def _age(text: str, seen: Counter[str]) -> float:
    if _unknown(text):
        return math.nan
    age = _number(text)
    if age is not None and age <= OLDEST:
        return age
    words = re.sub("[\u2010-\u2015\u2212]", "-", text.strip().lower())
    words = re.sub(r"\b ?(?:years?|yrs?)(?: old| of age)?\b", "", words)
    age = _number(words)
    if age is not None and age <= OLDEST:
        return age
    if _OPEN.fullmatch(words):
        seen["open"] += 1
        return math.nan
    found = _RANGE.fullmatch(words)
    if found:
        before, low, between, high, after = found[1], float(found[2]), found[3], float(found[4]), found[5]
        # Interval notation, as in pandas.cut, can exclude one end; the whole years between count.
        if before + after == "(]":
            low, high = math.floor(low) + 1, math.floor(high)
        elif before + after == "[)":
            low, high = math.ceil(low), math.ceil(high) - 1
        # Without brackets a comma could be a decimal point.
        closed = bool(before) == bool(after) and (bool(before) or between not in (",", ";"))
        if closed and low <= high <= OLDEST:
            seen["range" if high - low <= WIDEST else "open"] += 1
            return (low + high) / 2 if high - low <= WIDEST else math.nan
    raise UsageError(
        f"{text!r} is not an age in years from 0 to {OLDEST}, nor a range such as 25-32; leave it empty if "
        "unknown"
    )


def _weight(text: str) -> float:
    if _unknown(text):
        return math.nan
    weight = _number(text, exponent=True)
    # Python takes 1e-400 for 0.
    nought = weight == 0 and not re.search("[1-9]", text.lower().split("e")[0])
    if weight is None or not (nought or LIGHTEST <= weight <= HEAVIEST):
        raise UsageError(
            f"{text!r} is not a weight, 0 or a number from {LIGHTEST:g} to {HEAVIEST:g}; leave it empty if "
            "unknown"
        )
    return weight


def _number(text: str, *, exponent: bool = False) -> float | None:
    """Parse a number of 0 or more in usual notation; None for other notations that Python accepts, such as
    ``4_6``."""
    form = _DECIMAL + (r"(?:[eE][+-]?[0-9]{1,3})?" if exponent else "")
    return float(text) if re.fullmatch(form, text := text.strip()) else None


def _with_point(text: str) -> str:
    return re.sub(r"^([^0-9]*[0-9]+),([0-9]+)$", r"\1.\2", text.strip())


def _face(text: str) -> int | None:
    if _unknown(text):
        return None
    whole = re.fullmatch(r"([0-9]{1,6})(?:\.0*)?", text.strip())
    if not whole:
        raise UsageError(f"{text!r} is not a face number, counted from 0")
    return int(whole[1])


def _box(cells: Mapping[str, str]) -> tuple[float, ...] | None:
    """Return the box of a face; None if it is not numeric. A box may extend beyond the image."""
    try:
        return tuple(float(cells[name]) for name in BOX)
    except (KeyError, ValueError):
        return None


def _gender(text: str, seen: Counter[str]) -> float:
    word = text.strip().lower()
    if word in UNKNOWN:
        return math.nan
    if word not in GENDERS:
        raise UsageError(
            f"unknown gender {text!r}; arcage reads male, man, boy, m, 0, female, woman, girl, f, w, 1, or "
            "nothing if unknown"
        )
    seen["number"] += word in GENDER_NUMBERS
    return GENDERS[word]
