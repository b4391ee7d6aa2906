"""Labels from the exports of annotation tools, as the rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from arcage.data.cells import BOX, FARTHEST, GENDER_NUMBERS, GENDERS, parse_age
from arcage.data.rows import Row, column_name
from arcage.errors import UsageError


@dataclass(frozen=True, slots=True)
class ExportedLabel:
    """The label of an image or of one box."""

    item: str
    """What has the number, for messages: ``task`` or ``annotation``."""
    number: int
    path: str
    """Path of the image, without what a server put around it."""
    answers: Mapping[str, str]
    """Answers by the name of the question."""
    box: tuple[float, float, float, float] | None = None
    """The box that somebody drew around the face, pixels: x1, y1, x2, y2."""


def exported_rows(labels: Sequence[ExportedLabel], needed: Collection[str]) -> Iterator[Row]:
    """Yield the labels like the rows of a table: the names of the columns, then all rows.

    Args:
        labels: all labels of an export.
        needed: names of the answers that are read, as :func:`~arcage.data.rows.column_name` gives them.
    """
    names = dict.fromkeys(name for label in labels for name in label.answers)
    read = [name for name in names if column_name(name) in needed and name not in _OWN]
    others = [name for name in names if name not in read and name not in _OWN]
    # A row has no cells for the other answers, of which each could have others.
    yield 0, [*_OWN, *read, *others]
    boxes: Counter[str] = Counter()
    for label in labels:
        place = ["", *[""] * len(BOX)]
        if label.box is not None:
            # A box far outside is still a box, which no face is in.
            inside = [min(max(value, -FARTHEST), FARTHEST) for value in label.box]
            place = [str(boxes[label.path]), *map(repr, inside)]
            boxes[label.path] += 1
        yield label.number, [label.path, *place, *[label.answers.get(name, "") for name in read]]


_OWN = ("path", "face", *BOX)


def with_name_of_box(answers: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the answers about a box, with what its label tells: boxes are often called male, or 25-32."""
    found = dict(answers)
    word = name.strip().lower()
    if word in GENDERS and word not in GENDER_NUMBERS:
        found.setdefault("gender", name)
    else:
        with suppress(UsageError):
            if parse_age(name, Counter()) >= 0:
                found.setdefault("age", name)
    return found


def as_text(value: Any) -> str:
    """Return an answer as the cell of a table; empty if it is not a single value."""
    if isinstance(value, list):
        return as_text(value[0]) if len(value) == 1 else ""
    return "" if value is None or isinstance(value, dict) else str(value)
