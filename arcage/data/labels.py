"""Labels of face images, from file names or from a table."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from arcage.errors import UsageError

FROM_NAMES = ("utkface", "agedb")
OLDEST = 120
GENDERS = {"male": 0, "m": 0, "0": 0, "female": 1, "f": 1, "1": 1}
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
    ``person`` and ``group``. Other columns are passed over.

    Returns:
        By path, with forward slashes, as written in the file.

    Raises:
        UsageError: the file cannot be read, a column is missing, or a line is wrong (told with its number).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return dict(_rows(path, csv.DictReader(file)))
    except OSError as error:
        raise UsageError(f"cannot read the labels {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is no CSV file in UTF-8: {error}") from error


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[str, Label]]:
    columns = reader.fieldnames or []
    if "path" not in columns or not {"age", "gender"} & set(columns):
        raise UsageError(
            f"{path} needs a header with the columns path and age or gender; "
            f"it has {', '.join(columns) or 'none'}"
        )
    seen: dict[str, tuple[int, Label]] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        name = (row["path"] or "").replace("\\", "/").removeprefix("./")
        if not name:
            raise UsageError(f"{where}: the path is empty")
        label = Label(
            _age(row.get("age"), where),
            _gender(row.get("gender"), where),
            row.get("person") or "",
            row.get("group") or "",
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
    """One label for copies of the same image; None where they contradict each other."""
    different = {repr(label): label for label in labels}
    return next(iter(different.values())) if len(different) == 1 else None
