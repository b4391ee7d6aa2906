"""Labels of single faces, and labels in the names of files and folders."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

OLDEST = 120
"""Maximum age, years."""
RACES = ("White", "Black", "Asian", "Indian", "Others")
"""Groups of UTKFace, in the order of their numbers."""
TRAIN, HELD_OUT = "train", "test"
"""Values of :attr:`Label.split`."""

_UTKFACE = re.compile(r"([0-9]{1,3})_([01])(?:_([0-4]))?_[0-9]{8,}.*", re.DOTALL)
_AGEDB = re.compile(r"[0-9]+_(.+)_([0-9]{1,3})_([mf])\.\w+", re.DOTALL)
GENDER_WORDS = {
    **dict.fromkeys(("male", "males", "man", "men", "boy", "boys"), 0.0),
    **dict.fromkeys(("female", "females", "woman", "women", "girl", "girls"), 1.0),
}
"""Words for a gender in tables and folder names, in lower case: 0 male, 1 female."""


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a face. Unknown values are NaN or empty."""

    age: float = math.nan
    """Years."""
    gender: float = math.nan
    """0 male, 1 female."""
    person: str = ""
    """Name or identifier of the person. Faces of one person stay on one side of every split."""
    group: str = ""
    """Subgroup to report errors for."""
    weight: float = math.nan
    """Weight in the fit relative to other faces, 0 or more."""
    split: str = ""
    """:data:`TRAIN`, or :data:`HELD_OUT` for a face that is never fitted on; empty if the labels have no
    split."""
    line: int = field(default=0, compare=False, repr=False)
    """Line number in the table, from 1; 0 if the label is not from a table."""

    @property
    def known(self) -> bool:
        """Whether the age or the gender is known."""
        return not (math.isnan(self.age) and math.isnan(self.gender))


def label_from_name(kind: str, name: str) -> Label | None:
    """Read the label in a file name.

    Args:
        kind: one of :data:`FROM_NAMES`.
        name: path relative to the extracted folder, with forward slashes.

    Returns:
        The label; None if the name has another form.
    """
    return FROM_NAMES[kind](PurePosixPath(name))


def _utkface(path: PurePosixPath) -> Label | None:
    """Read ``<age>_<gender>_<race>_<time>.jpg...``, also without the race (Zhang et al., CVPR 2017)."""
    match = _UTKFACE.fullmatch(path.name)
    if match is None or int(match[1]) > OLDEST:
        return None
    return Label(float(match[1]), float(match[2]), group=RACES[int(match[3])] if match[3] else "")


def _agedb(path: PurePosixPath) -> Label | None:
    """Read ``<n>_<Name>_<age>_<m|f>.jpg`` (Moschoglou et al., CVPRW 2017)."""
    match = _AGEDB.fullmatch(path.name)
    if match is None or int(match[2]) > OLDEST:
        return None
    return Label(float(match[2]), float(match[3] == "f"), person=match[1])


def _folders(path: PurePosixPath) -> Label | None:
    """Read the gender from the innermost folder whose name is one of :data:`GENDER_WORDS`, in any case."""
    folders = [part.strip().lower() for part in path.parts[:-1]]
    gender = next((GENDER_WORDS[folder] for folder in reversed(folders) if folder in GENDER_WORDS), None)
    return None if gender is None else Label(gender=gender)


FROM_NAMES: dict[str, Callable[[PurePosixPath], Label | None]] = {
    "utkface": _utkface,
    "agedb": _agedb,
    "folders": _folders,
}
"""Label sets in file names. Each function reads the label in an image's path, relative to the extracted
folder, and returns None if the path has another form."""


def merge(labels: Iterable[Label]) -> Label | None:
    """Merge the labels of copies of an image; return None if they contradict each other.

    The image is held out if any copy is. The first weight counts.
    """
    known: dict[str, Any] = {}
    splits = set()
    for label in labels:
        splits.add(label.split)
        for name in ("age", "gender", "person", "group"):
            value = getattr(label, name)
            if value == "" or value != value:
                continue
            before = known.setdefault(name, value)
            same = person_key(before) == person_key(value) if name == "person" else before == value
            if not same:
                return None
        if not math.isnan(label.weight):
            known.setdefault("weight", label.weight)
    split = next((word for word in (HELD_OUT, TRAIN) if word in splits), "")
    return Label(**known, split=split)


def person_key(name: str) -> str:
    """Return a key that is the same for all spellings of a person's name.

    ``MariaCallas``, ``Maria_Callas`` and ``maria callas`` are one person, across data sets as well. A name
    with a digit is an identifier: all its characters count, except for their case. ``1_23``, ``12_3``,
    ``-123`` and ``12.3`` are four persons.
    """
    plain = unicodedata.normalize("NFKD", name.casefold())
    if any(letter.isdigit() for letter in plain):
        return plain
    return "".join(letter for letter in plain if letter.isalnum() or _spells(letter)) or name


def _spells(letter: str) -> bool:
    """Whether a combining mark distinguishes names. Vowels of Devanagari and Thai do, accents do not."""
    return unicodedata.category(letter).startswith("M") and not "\u0300" <= letter <= "\u036f"


def is_number(person: str) -> bool:
    """Whether a person is a number without a name, which is valid only within its own data set."""
    return not any(letter.isalpha() for letter in person)
