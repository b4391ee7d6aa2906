"""Labels of face images, from file names or from a table."""

from __future__ import annotations

import csv
import math
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from arcage.errors import UsageError
from arcage.files import reason

FROM_NAMES = ("utkface", "agedb")
OLDEST = 120
# 0.0 and 1.0 are what spreadsheets and pandas make of whole numbers in a column with gaps.
GENDERS = {"male": 0, "m": 0, "0": 0, "0.0": 0, "female": 1, "f": 1, "1": 1, "1.0": 1}
READ = ("path", "age", "gender", "person", "group")
"""The columns of a table that are read."""
RACES = ("White", "Black", "Asian", "Indian", "Others")

_UTKFACE = re.compile(r"(\d{1,3})_([01])(?:_([0-4]))?_\d{8,}.*", re.DOTALL)
_AGEDB = re.compile(r"\d+_(.+)_(\d{1,3})_([mf])\.\w+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of one image's face. Empty or NaN where it is not."""

    age: float = math.nan
    """Years."""
    gender: float = math.nan
    """0 male, 1 female."""
    person: str = ""
    """Who it is: faces of one person stay on one side of every split."""
    group: str = ""
    """A group to report errors for."""

    @property
    def known(self) -> bool:
        """Whether there is anything to learn from it or to compare with."""
        return not (math.isnan(self.age) and math.isnan(self.gender))


def label_from_name(kind: str, name: str) -> Label | None:
    """The label that a data set wrote into a file's name; None where the name is not of that form.

    ``utkface``: ``<age>_<gender>_<race>_<time>.jpg...``, also without the race (Zhang et al., CVPR 2017).
    ``agedb``: ``<n>_<Name>_<age>_<m|f>.jpg`` (Moschoglou et al., CVPRW 2017).
    """
    base = PurePosixPath(name).name
    if kind == "utkface" and (match := _UTKFACE.fullmatch(base)) and int(match[1]) <= OLDEST:
        return Label(float(match[1]), float(match[2]), group=RACES[int(match[3])] if match[3] else "")
    if kind == "agedb" and (match := _AGEDB.fullmatch(base)) and int(match[2]) <= OLDEST:
        return Label(float(match[2]), float(match[3] == "f"), person=match[1])
    return None


def read_table(path: Path) -> dict[str, Label]:
    """Labels from a CSV file with a header: ``path`` and ``age``, ``gender`` or both; optional
    ``person`` and ``group``, in any order and case. Other columns are passed over.

    Returns:
        By path, with forward slashes and without ``.`` and empty parts. A line without an age and a gender
        is here too.

    Raises:
        UsageError: the file cannot be read, a column is missing, or a line is wrong (told with its number).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # strict: without it, a quotation mark that is never closed swallows the rest of the file.
            reader = csv.DictReader(file, strict=True)
            try:
                return dict(_rows(path, reader))
            except csv.Error as error:
                raise UsageError(
                    f"{path}, line {reader.line_num + 1}: {error}; check the quotation marks from there on"
                ) from error
    except OSError as error:
        raise UsageError(f"cannot read the labels {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8 ({error}); save it as CSV in UTF-8") from error


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[str, Label]]:
    columns = reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
    if "path" not in columns or not {"age", "gender"} & set(columns):
        raise UsageError(
            f"{path} needs a first line with the columns path and age or gender, separated by commas; "
            f"it has {', '.join(columns) or 'none'}"
        )
    if twice := [name for name in READ if columns.count(name) > 1]:
        raise UsageError(f"{path} has more than one column {twice[0]}; keep one of them")
    seen: dict[str, tuple[int, Label]] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if any(row.get(None) or ()):
            raise UsageError(f"{where}: more values than columns; put a path with commas in quotation marks")
        if not (row["path"] or "").strip():
            raise UsageError(f"{where}: the path is empty")
        name = posixpath.normpath(row["path"].replace("\\", "/"))
        label = Label(
            _age(row.get("age"), where),
            _gender(row.get("gender"), where),
            (row.get("person") or "").strip(),
            (row.get("group") or "").strip(),
        )
        if name in seen and repr(seen[name][1]) != repr(label):
            raise UsageError(
                f"{where}: another label for {name} than in line {seen[name][0]}; keep one of them"
            )
        seen[name] = (reader.line_num, label)
        yield name, label


def _age(text: str | None, where: str) -> float:
    if not (text or "").strip():
        return math.nan
    try:
        age = float(text or "")
    except ValueError:
        age = math.nan
    if not 0 <= age <= OLDEST:
        raise UsageError(
            f"{where}: {text!r} is no age in years from 0 to {OLDEST}; leave it empty if unknown"
        )
    return age


def _gender(text: str | None, where: str) -> float:
    word = (text or "").strip().lower()
    if not word:
        return math.nan
    if word not in GENDERS:
        raise UsageError(
            f"{where}: unknown gender {text!r}; arcage reads male, m, 0, female, f, 1, or nothing if unknown"
        )
    return float(GENDERS[word])


def merge(labels: Iterable[Label]) -> Label | None:
    """What is known of copies of the same image; None where they contradict each other."""
    known: dict[str, Any] = {}
    for label in labels:
        for field in ("age", "gender", "person", "group"):
            value = getattr(label, field)
            unknown = value == "" or value != value
            if not unknown and known.setdefault(field, value) != value:
                return None
    return Label(**known)
