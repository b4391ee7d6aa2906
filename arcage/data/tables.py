"""Read labels from tables: CSV, JSON lines, Parquet and Excel; and from exports of annotation tools."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

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
from arcage.data.encodings import UTF_8, WINDOWS, marked_encoding, may_be_windows_1252
from arcage.data.exported import ExportedLabel, exported_rows
from arcage.data.json_export import export_labels, read_json_file
from arcage.data.label_studio import from_minimal, is_label_studio, table_records
from arcage.data.labels import Label
from arcage.data.rows import (
    MAX_CELL,
    Row,
    column_name,
    csv_rows,
    csv_separator,
    excel_rows,
    json_rows,
    object_rows,
    parquet_rows,
    restored,
)
from arcage.errors import UsageError
from arcage.files import reason
from arcage.readers.regular_file import FileKindError, check_regular
from arcage.text import shortened

READ = ("path", "age", "gender", "person", "group", "split", "weight")
"""Columns that are read."""
_NOT_NORMAL = re.compile(r"\\|/[./]|^\.|/$")
"""Matches every path that :func:`posixpath.normpath` changes, and some more."""
PREDICTED = {"path", "face", "faces", "status"}
"""Columns by which a table of predictions is recognised. Each of its rows describes one face of its image."""
WRITTEN = (PREDICTED, {"path", "person", "left_out"}, {"path", "kind", "score", "sha256"})
"""Columns by which a CSV file that arcage wrote is recognised: predictions, IMDB-WIKI, suspicious labels."""
DECIMALS = ("age", "gender", "weight", "face", *BOX)
"""Columns of numbers, which may have a decimal comma."""
MAX_NAME = 256
"""Limit of the name of a person or a group, characters. They are kept in arrays as wide as the longest."""
MAX_KNOWN = 1 << 16
"""Number of different labels that are kept while a table is read."""
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
    exported: bool = False
    """Whether it is the export of an annotation tool, whose paths may have other folders in front."""


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> Table:
    """Read labels from a table.

    The table needs the columns ``path`` and ``age``, ``gender`` or both. Optional columns are ``person``,
    ``group``, ``split`` and ``weight``, in any order and case. Other columns are ignored, except in a table
    of predictions (see :data:`PREDICTED`).

    Args:
        path: a ``.parquet``, ``.jsonl`` or ``.xlsx`` file; ``.json`` of Label Studio or COCO. Any other file
            is read as CSV with a header, in UTF-8 or what its byte order mark tells. Columns are separated by
            commas, semicolons (numbers may then have a decimal comma), tabs or ``|``. The CSV of Label Studio
            is recognised.
        columns: column names in this file, if they differ: ``{"age": "Years"}``.

    Raises:
        UsageError: the file cannot be read, a column is missing, or lines are wrong (with their numbers).
    """
    suffix = path.suffix.lower()
    try:
        check_regular(path)
        if suffix in _BINARY:
            called = {column_name((columns or {}).get(name, name)) for name in READ}
            rows = _BINARY[suffix](path, {*called, *PREDICTED, *BOX})
            # Excel shows the apostrophe of a workbook that arcage wrote, like that of CSV.
            rows = rows if suffix == ".parquet" else restored(rows, WRITTEN)
            return _labels(path, rows, columns or {}, "row")
        if suffix == ".json":
            return _read_json(path, columns or {})
        return _read_text(path, columns or {})
    except FileKindError as error:
        raise UsageError(f"cannot read the labels {path}: {error}") from None
    except OSError as error:
        raise UsageError(f"cannot read the labels {path}: {reason(error)}") from error


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


def _read_json(path: Path, columns: Mapping[str, str]) -> Table:
    content = read_json_file(path)
    labels = export_labels(path, content, columns.get("path"))
    if labels is not None:
        return _exported(path, labels, columns)
    if not isinstance(content, list):
        raise UsageError(
            f"cannot read the labels {path}: it is neither an export of Label Studio, nor COCO, nor a list "
            "of objects with the columns by name"
        )
    called = {column_name(columns.get(name, name)) for name in READ}
    rows = object_rows(path, enumerate(content, 1), {*called, *PREDICTED, *BOX}, "object")
    return _labels(path, rows, columns, "object")


def _read_text(path: Path, columns: Mapping[str, str]) -> Table:
    encoding = marked_encoding(path)
    try:
        return _read_encoded(path, columns, encoding)
    except UnicodeDecodeError as error:
        refusal = UsageError(f"{path} is not text in UTF-8 ({error}); save it as CSV in UTF-8")
        if encoding != UTF_8 or not may_be_windows_1252(path):
            raise refusal from error
    try:
        table = _read_encoded(path, columns, WINDOWS)
    except UnicodeDecodeError:
        raise refusal from None
    guess = "it is not UTF-8, and was read as Windows-1252 (Western European)"
    return replace(table, remarks=(guess, *table.remarks))


def _read_encoded(path: Path, columns: Mapping[str, str], encoding: str) -> Table:
    with path.open(encoding=encoding, newline="") as file:
        if path.suffix.lower() == ".jsonl":
            called = {column_name(columns.get(name, name)) for name in READ}
            return _labels(path, json_rows(path, file, {*called, *PREDICTED, *BOX}), columns, "line")
        separator = csv_separator(path, file)
        rows = csv_rows(path, file, separator)
        header = next(rows, None)
        if header is not None and is_label_studio(header[1]):
            return _exported(path, _minimal(path, header[1], rows, columns), columns)
        rows = restored(rows if header is None else chain([header], rows), WRITTEN)
        return _labels(path, rows, columns, "line", comma=separator == ";")


_BINARY = {".parquet": parquet_rows, ".xlsx": excel_rows, ".xlsm": excel_rows}


def _exported(path: Path, labels: Sequence[ExportedLabel], columns: Mapping[str, str]) -> Table:
    answers = {name: own for name, own in columns.items() if name != "path"}
    called = {name: column_name(answers.get(name, name)) for name in READ[1:]}
    names = dict.fromkeys(name for label in labels for name in label.answers)
    if not {called["age"], called["gender"]} & set(map(column_name, names)):
        listed = shortened([name[:50] for name in names], 20) or "none"
        raise UsageError(
            f"{path} has no answers called age or gender; it has {listed}. Others can be named: `columns` "
            "gender=sex,age=years"
        )
    word = labels[0].item if labels else "task"
    rows = exported_rows(labels, called.values())
    return replace(_labels(path, rows, answers, word, exported=True), exported=True)


def _minimal(
    path: Path, header: Sequence[str], rows: Iterator[Row], columns: Mapping[str, str]
) -> list[ExportedLabel]:
    try:
        return from_minimal(table_records(path, header, rows), columns.get("path"))
    except ValueError as error:
        raise UsageError(f"cannot read the labels {path}: {error}") from None


def _labels(
    path: Path,
    rows: Iterator[Row],
    columns: Mapping[str, str],
    line: str,
    *,
    comma: bool = False,
    exported: bool = False,
) -> Table:
    header = [column_name(name) for name in next(rows, (0, []))[1]]
    at = _find_columns(path, header, columns)
    predictions = set(header) >= PREDICTED
    if predictions or exported:
        at |= {name: header.index(name) for name in ("face", *BOX) if name in header}
    labels: dict[Place, Label] = {}
    parse = _RowParser(at, comma)
    wrong: list[str] = []
    count = 0
    for number, cells in rows:
        # Spreadsheets write cleared rows.
        if not any(cells):
            continue
        try:
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise UsageError("more values than columns; put a path with commas in quotation marks")
            place, label = parse(number, cells)
            before = labels.get(place)
            if before is None or not before.known:
                labels[place] = label
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
    unread = "gender" not in at and "sex" in header and header.index("sex") not in at.values()
    return Table(labels, predictions, _remarks(predictions, parse.readings, sex=unread))


def _remarks(predictions: bool, readings: Counter[str], *, sex: bool = False) -> tuple[str, ...]:
    remarks = []
    if sex:
        remarks.append("the column sex is not read: `columns` gender=sex reads it as the gender")
    if predictions:
        remarks.append("a table of faces: its ages and genders are used as labels, face by face")
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
            f"semicolons, tabs or |; it has {listed}. Others can be named: `columns` path=file,age=years"
        )
    if twice := [called[name] for name in at if header.count(called[name]) > 1]:
        raise UsageError(f"{path} has more than one column {twice[0]}; keep one of them")
    return at


class _RowParser:
    """Parses rows. Tables of millions of rows have few different labels, so each is parsed once.

    Args:
        at: positions of the columns that are read.
        comma: whether numbers may have a decimal comma.
    """

    def __init__(self, at: Mapping[str, int], comma: bool) -> None:
        self.readings: Counter[str] = Counter()
        """Numbers of ambiguous values."""
        self._comma = comma
        self._path = at["path"]
        self._of_label = {name: i for name, i in at.items() if name in READ and name != "path"}
        self._of_face = {name: i for name, i in at.items() if name not in READ}
        self._width = 1 + max(at.values())
        self._pick = itemgetter(*self._of_label.values())
        self._known: dict[Any, tuple[Label, Counter[str]]] = {}

    def __call__(self, number: int, cells: Sequence[str]) -> tuple[Place, Label]:
        """Return the place and the label of a row.

        Raises:
            UsageError: a cell is wrong.
        """
        if len(cells) < self._width:
            cells = [*cells, *[""] * (self._width - len(cells))]
        place = self._place(cells)
        texts = self._pick(cells)
        known = self._known.get(texts)
        if known is None:
            readings: Counter[str] = Counter()
            known = self._label(cells, readings), +readings
            if len(self._known) < MAX_KNOWN:
                self._known[texts] = known
        label, readings = known
        if readings:
            self.readings.update(readings)
        return place, Label(
            label.age, label.gender, label.person, label.group, label.weight, label.split, number
        )

    def _place(self, cells: Sequence[str]) -> Place:
        path = _checked("path", cells[self._path])
        if not path.strip():
            raise UsageError("the path is empty")
        if _NOT_NORMAL.search(path):
            path = posixpath.normpath(path.replace("\\", "/"))
        if not self._of_face:
            return Place(path)
        row = self._texts(self._of_face, cells)
        return Place(path, parse_face(row.get("face", "")), parse_box(row))

    def _label(self, cells: Sequence[str], readings: Counter[str]) -> Label:
        row = self._texts(self._of_label, cells)
        split = parse_split(row.get("split", ""))
        return Label(
            parse_age(row.get("age", ""), readings),
            parse_gender(row.get("gender", ""), readings),
            parse_person(row.get("person", "")),
            unicodedata.normalize("NFC", row.get("group", "").strip()),
            parse_weight(row.get("weight", "")),
            split,
        )

    def _texts(self, at: Mapping[str, int], cells: Sequence[str]) -> dict[str, str]:
        row = {name: _checked(name, cells[i]) for name, i in at.items()}
        if self._comma:
            row |= {name: _with_point(row[name]) for name in DECIMALS if name in row}
        return row


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
