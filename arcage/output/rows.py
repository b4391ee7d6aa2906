"""Build the rows of a prediction, and render their values for text formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal

import numpy as np

from arcage.heads.model import Predictions
from arcage.text import to_spreadsheet
from arcage.types import Face, Prediction

COLUMNS = tuple(field.name for field in fields(Prediction))
"""Columns of every output, in order."""
DECIMALS = {
    **dict.fromkeys(("x1", "y1", "x2", "y2", "age", "age_low", "age_high"), 1),
    "det_score": 3,
    "p_female": 4,
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
    """Ends of the 90 % interval, years."""
    p_female: float | None
    """0 to 1."""
    gender: Literal["female", "male"] | None


def estimates(
    predictions: Predictions, *, max_width: float = math.inf, min_confidence: float = 0.5
) -> list[Estimate]:
    """Return the estimate of each face.

    Args:
        predictions: of n faces.
        max_width: hide ages whose 90 % interval is wider than this, years. The interval stays.
        min_confidence: hide genders with a lower probability, 0.5 to 1. ``p_female`` stays.
    """
    p = predictions
    confident = np.maximum(p.p_female, 1 - p.p_female) >= min_confidence
    age = np.where(p.age_high - p.age_low <= max_width, p.age, np.nan)
    columns = [
        [None if math.isnan(value) else value for value in column.tolist()]
        for column in (age, p.age_low, p.age_high, p.p_female)
    ]
    female = (p.p_female >= 0.5).tolist()
    genders = [("female" if f else "male") if c else None for f, c in zip(female, confident, strict=True)]
    return list(map(Estimate, *columns, genders))


def face_row(path: str, number: int, count: int, face: Face, estimate: Estimate) -> Prediction:
    """Return the row of one face.

    Args:
        path: of the image or video.
        number: of the face in the image, or of the person in the video, from 0.
        count: number of faces or persons.
        face: the box and the detector score.
        estimate: from :func:`estimates`.
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
    )


def row_without_face(path: str, error: str | None = None) -> Prediction:
    """Return the row of an image without a face, or of an unreadable one if ``error`` is not None."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    status = "no_face" if error is None else "unreadable"
    return Prediction(**{**row, "path": path, "faces": 0, "status": status, "error": error or None})


def text_cells(columns: Sequence[str]) -> Callable[[Prediction], list[str]]:
    """Return a function that renders these columns of a row as cells of CSV; empty for None.

    Texts that a spreadsheet would run get an apostrophe, see :func:`arcage.text.to_spreadsheet`.
    """
    cells: Callable[[Prediction], tuple[Any, ...]] = attrgetter(*columns)
    # z: no minus sign before a zero.
    formats = [f"z.{DECIMALS[name]}f" if name in DECIMALS else "" for name in columns]

    def render(row: Prediction) -> list[str]:
        return [
            to_spreadsheet(cell) if isinstance(cell, str) else "" if cell is None else format(cell, spec)
            for cell, spec in zip(cells(row), formats, strict=True)
        ]

    return render


def json_row(row: Prediction) -> dict[str, Any]:
    """Return the columns of a row by name, with numbers rounded to :data:`DECIMALS`."""
    return {
        # + 0.0: no minus sign before a zero.
        name: value if places is None or value is None else round(value, places) + 0.0
        for name, value, places in zip(COLUMNS, values(row), _PLACES, strict=True)
    }
