"""What is known of a face, from the names of files and folders, and from several copies of one image."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

OLDEST = 120
RACES = ("White", "Black", "Asian", "Indian", "Others")
TRAIN, HELD_OUT = "train", "test"

_UTKFACE = re.compile(r"([0-9]{1,3})_([01])(?:_([0-4]))?_[0-9]{8,}.*", re.DOTALL)
_AGEDB = re.compile(r"[0-9]+_(.+)_([0-9]{1,3})_([mf])\.\w+", re.DOTALL)
GENDER_WORDS = {
    **dict.fromkeys(("male", "males", "man", "men", "boy", "boys"), 0.0),
    **dict.fromkeys(("female", "females", "woman", "women", "girl", "girls"), 1.0),
}
"""Words for a gender in tables and folder names, in lower case."""


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
    weight: float = math.nan
    """How much the face counts beside others, 0 or more."""
    split: str = ""
    """:data:`TRAIN`, or :data:`HELD_OUT` for a face that must not be fitted on."""
    line: int = field(default=0, compare=False, repr=False)
    """Of the table that says so, from 1; 0 where it is no table."""

    @property
    def known(self) -> bool:
        """Whether there is anything to learn from it or to compare with."""
        return not (math.isnan(self.age) and math.isnan(self.gender))


def label_from_name(kind: str, name: str) -> Label | None:
    """The label that a data set, one of :data:`FROM_NAMES`, wrote into a file's name; None where the name
    is not of that form."""
    return FROM_NAMES[kind](PurePosixPath(name))


def _utkface(path: PurePosixPath) -> Label | None:
    """``<age>_<gender>_<race>_<time>.jpg...``, also without the race (Zhang et al., CVPR 2017)."""
    match = _UTKFACE.fullmatch(path.name)
    if match is None or int(match[1]) > OLDEST:
        return None
    return Label(float(match[1]), float(match[2]), group=RACES[int(match[3])] if match[3] else "")


def _agedb(path: PurePosixPath) -> Label | None:
    """``<n>_<Name>_<age>_<m|f>.jpg`` (Moschoglou et al., CVPRW 2017)."""
    match = _AGEDB.fullmatch(path.name)
    if match is None or int(match[2]) > OLDEST:
        return None
    return Label(float(match[2]), float(match[3] == "f"), person=match[1])


def _folders(path: PurePosixPath) -> Label | None:
    """The innermost folder whose name is one of :data:`GENDER_WORDS`, in any case."""
    folders = [part.strip().lower() for part in path.parts[:-1]]
    gender = next((GENDER_WORDS[folder] for folder in reversed(folders) if folder in GENDER_WORDS), None)
    return None if gender is None else Label(gender=gender)


FROM_NAMES: dict[str, Callable[[PurePosixPath], Label | None]] = {
    "utkface": _utkface,
    "agedb": _agedb,
    "folders": _folders,
}
"""What ``labels`` takes beside files, and what reads a label from the name of an image (relative to the
folder that was extracted); None where the name is not of that set."""


def merge(labels: Iterable[Label]) -> Label | None:
    """What is known of copies of the same image; None where they contradict each other.

    A copy that is held out holds out all of them; of different weights the first counts.
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
    """What different spellings of a person's name have in common: ``MariaCallas``, ``Maria_Callas`` and
    ``maria callas`` are one person, also across data sets.

    A name with a digit is an identifier, of which every character counts, except for its case:
    ``1_23``, ``12_3``, ``-123`` and ``12.3`` are four persons.
    """
    plain = unicodedata.normalize("NFKD", name.casefold())
    if any(letter.isdigit() for letter in plain):
        return plain
    return "".join(letter for letter in plain if letter.isalnum() or _spells(letter)) or name


def _spells(letter: str) -> bool:
    """Whether a mark distinguishes names, as vowels of Devanagari and Thai do; accents do not."""
    return unicodedata.category(letter).startswith("M") and not "\u0300" <= letter <= "\u036f"


def is_number(person: str) -> bool:
    """Whether a person is a number without a name, which is valid only within its own data set."""
    return not any(letter.isalpha() for letter in person)
