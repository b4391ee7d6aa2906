"""Build the rows of a prediction, and render their values for text formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal

import numpy as np

from arcage.heads.model import Predictions
from arcage.text import to_spreadsheet
from arcage.types import Array, Face, Prediction

COLUMNS = tuple(field.name for field in fields(Prediction) if field.name not in ("more", "image_size"))
"""Columns of every output, in order. Those that are asked for in addition follow."""
OLD_COLUMNS = COLUMNS[: COLUMNS.index("familiarity")]
"""Columns of every output of older versions."""
MORE_COLUMNS = r"familiarity|p_under_\d+"
"""A regular expression for the names of columns that may follow :data:`OLD_COLUMNS`."""
MORE_DECIMALS = 4
"""Decimals of additional columns in text formats."""
DECIMALS = {
    **dict.fromkeys(("x1", "y1", "x2", "y2", "age", "age_low", "age_high"), 1),
    "det_score": 3,
    "p_female": 4,
    "familiarity": 6,
}
"""Decimals of numbers in text formats. Parquet keeps full precision."""

values: Callable[[Prediction], tuple[Any, ...]] = attrgetter(*COLUMNS)
"""Return the values of a row in the order of :data:`COLUMNS`."""
_PLACES = [DECIMALS.get(name) for name in COLUMNS]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Age and gender of one face; None if the heads do not predict a value, or it is too uncertain."""

    age: float | None
    """Years."""
    age_low: float | None
    age_high: float | None
    """Ends of the interval, years."""
    p_female: float | None
    """0 to 1."""
    gender: Literal["female", "male"] | None
    familiarity: float | None = None
    """0 to 1."""
    more: Mapping[str, float | None] = field(default_factory=dict)
    """See :class:`~arcage.types.Prediction`."""


def under_column(age: int) -> str:
    """Return the name of the column for the probability of being younger than ``age`` years."""
    return f"p_under_{age}"


def estimates(
    predictions: Predictions,
    *,
    max_width: float = math.inf,
    min_confidence: float = 0.5,
    min_familiarity: float = 0,
    interval: float = 90,
    under: Sequence[int] = (),
) -> list[Estimate]:
    """Return the estimate of each face.

    Args:
        predictions: of n faces.
        max_width: hide ages whose interval is wider than this, years. The interval stays.
        min_confidence: hide genders with a lower probability, 0.5 to 1. ``p_female`` stays.
        min_familiarity: hide all that is predicted for less familiar faces, 0 to 1. ``familiarity`` stays.
        interval: level of the interval, percent.
        under: ages, for the probabilities of being younger.
    """
    p = predictions
    if min_familiarity > 0:
        p = p.without(p.familiarity < min_familiarity)
    age_low, age_high = p.interval(interval / 100)
    more = {under_column(threshold): _values(p.p_under(threshold)) for threshold in under}
    confident = np.maximum(p.p_female, 1 - p.p_female) >= min_confidence
    age = np.where(age_high - age_low <= max_width, p.age, np.nan)
    columns = [_values(column) for column in (age, age_low, age_high, p.p_female)]
    female = (p.p_female >= 0.5).tolist()
    genders = [("female" if f else "male") if c else None for f, c in zip(female, confident, strict=True)]
    rows = [dict(zip(more, row, strict=True)) for row in zip(*more.values(), strict=True)]
    return list(map(Estimate, *columns, genders, _values(p.familiarity), rows or [{}] * len(p)))


def _values(column: Array) -> list[float | None]:
    return [None if math.isnan(value) else value for value in column.tolist()]


def face_row(
    path: str,
    number: int,
    count: int,
    face: Face,
    estimate: Estimate,
    image_size: tuple[int, int] | None = None,
) -> Prediction:
    """Return the row of one face.

    Args:
        path: of the image or video.
        number: of the face in the image, or of the person in the video, from 0.
        count: number of faces or persons.
        face: the box and the detector score.
        estimate: from :func:`estimates`.
        image_size: width and height of the upright image, pixels; None for a video.
    """
    x1, y1, x2, y2 = face.box.tolist()
    return Prediction(
        path=path,
        face=number,
        faces=count,
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        det_score=face.score,
        age=estimate.age,
        age_low=estimate.age_low,
        age_high=estimate.age_high,
        gender=estimate.gender,
        p_female=estimate.p_female,
        status="ok",
        error=None,
        familiarity=estimate.familiarity,
        more=estimate.more,
        image_size=image_size,
    )


def row_without_face(
    path: str, error: str | None = None, image_size: tuple[int, int] | None = None
) -> Prediction:
    """Return the row of an image without a face, or of an unreadable one if ``error`` is not None."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    status = "no_face" if error is None else "unreadable"
    row |= {"path": path, "faces": 0, "status": status, "error": error or None, "image_size": image_size}
    return Prediction(**row)


def without_estimate(row: Prediction, error: str) -> Prediction:
    """Return the row of a face without what is predicted for it, and with the reason."""
    nothing = dict.fromkeys(("age", "age_low", "age_high", "gender", "p_female", "familiarity"))
    return replace(row, status="no_face", error=error, more=dict.fromkeys(row.more), **nothing)  # type: ignore[arg-type]


def text_cells(columns: Sequence[str], more: Sequence[str] = ()) -> Callable[[Prediction], list[str]]:
    """Return a function that renders these columns of a row as cells of CSV, and then additional ones; empty
    for None.

    Texts that a spreadsheet would run get an apostrophe, see :func:`arcage.text.to_spreadsheet`.
    """
    cells: Callable[[Prediction], tuple[Any, ...]] = attrgetter(*columns)
    # z: no minus sign before a zero.
    formats = [f"z.{DECIMALS[name]}f" if name in DECIMALS else "" for name in columns]
    formats += [f"z.{MORE_DECIMALS}f"] * len(more)

    def render(row: Prediction) -> list[str]:
        return [
            to_spreadsheet(cell) if isinstance(cell, str) else "" if cell is None else format(cell, spec)
            for cell, spec in zip((*cells(row), *more_values(row, more)), formats, strict=True)
        ]

    return render


def more_values(row: Prediction, more: Sequence[str]) -> list[float | None]:
    """Return the values of additional columns of a row."""
    return [row.more.get(name) for name in more]


def json_row(row: Prediction, more: Sequence[str] = ()) -> dict[str, Any]:
    """Return the columns of a row by name, and then additional ones, with numbers rounded to
    :data:`DECIMALS`."""
    return {
        # + 0.0: no minus sign before a zero.
        name: value if places is None or value is None else round(value, places) + 0.0
        for name, value, places in zip(
            (*COLUMNS, *more),
            (*values(row), *more_values(row, more)),
            (*_PLACES, *[MORE_DECIMALS] * len(more)),
            strict=True,
        )
    }
