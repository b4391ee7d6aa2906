"""How far figures would move with other faces of the same kind: bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from arcage.evaluation.metrics import AGE_MEANS, GENDER_MEANS, sets_of_faces, values
from arcage.heads.model import Predictions
from arcage.types import F32, F64, Array

LEVEL = 0.95
RESAMPLES = 1000
FEWEST = 10
"""With fewer persons there is no interval: too few draws differ for it to say anything."""
_AT_ONCE = 1 << 20
"""Draws in memory at a time."""


def intervals(
    predictions: Predictions,
    age: F32,
    gender: F32,
    group: Array | None = None,
    persons: Array | None = None,
    source: Array | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """The confidence intervals of a report's figures, as far as they are means; all arrays have shape (n,).

    The median error and the calibration error have none: they are no means.

    Args:
        age, gender, group, source: as for :func:`arcage.evaluation.metrics.evaluate`.
        persons: a number for each face, of its person; None where each face is a person's only one.

    Returns:
        ``level``, ``resamples``, ``drawn`` (``persons`` or ``faces``), and in the places of the report's
        figures ``[low, high]``, or None where there are too few persons; ready for JSON.
    """
    each = values(predictions, age, gender)
    return intervals_of(each, age, gender, group, persons, source, seed=seed)


def intervals_of(
    each: Mapping[str, F64],
    age: F32,
    gender: F32,
    group: Array | None = None,
    persons: Array | None = None,
    source: Array | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """As :func:`intervals`, of the means of any columns by the names of a report's figures.

    Args:
        each: shape (n,) by name, NaN where a face gives nothing; see
            :func:`~arcage.evaluation.metrics.values`.
    """

    def of(rows: Array) -> dict[str, list[float] | None]:
        out: dict[str, list[float] | None] = {}
        for names in (AGE_MEANS, GENDER_MEANS):
            columns = np.stack([each[name][rows] for name in names], axis=1)
            known = np.isfinite(columns[:, 0])
            who = None if persons is None else persons[rows][known]
            ends = interval(columns[known], who, seed=seed)
            out |= dict(zip(names, [None] * len(names) if ends is None else ends.tolist(), strict=True))
        return out

    drawn = "faces" if persons is None else "persons"
    report: dict[str, Any] = {"level": LEVEL, "resamples": RESAMPLES, "drawn": drawn}
    report["overall"] = of(np.arange(len(age)))
    for part, sets in sets_of_faces(age, gender, group, source).items():
        report[part] = {name: of(rows) for name, rows in sets.items()}
    return report


def interval(columns: F64, persons: Array | None = None, *, seed: int = 0) -> F64 | None:
    """95 % percentile intervals of the columns' means (Efron, 1979).

    Persons are drawn with replacement, as many as there are, each with all of their faces: faces of one
    person err together, and drawing them one by one would make the intervals too narrow.

    Args:
        columns: shape (n, k), a row for each face.
        persons: shape (n,); None where each face is a person's only one.

    Returns:
        Shape (k, 2), or None where there are fewer than :data:`FEWEST` persons.
    """
    sums = np.column_stack([np.ones(len(columns)), columns])
    if persons is not None:
        index = np.unique(persons, return_inverse=True)[1]
        sums = np.stack([np.bincount(index, weights=column) for column in sums.T], axis=1)
    n = len(sums)
    if n < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, columns.shape[1]))
    step = max(1, _AT_ONCE // n)
    for start in range(0, RESAMPLES, step):
        many = min(step, RESAMPLES - start)
        # A mean is known from each person's sums and how often that person was drawn: no face is copied.
        draws = rng.integers(0, n, (many, n)) + n * np.arange(many)[:, None]
        times = np.bincount(draws.ravel(), minlength=many * n).reshape(many, n)
        drawn = times.astype(np.float64) @ sums
        means[start : start + many] = drawn[:, 1:] / drawn[:, :1]
    tail = 50 * (1 - LEVEL)
    ends: F64 = np.percentile(means, [tail, 100 - tail], axis=0).T
    return ends
