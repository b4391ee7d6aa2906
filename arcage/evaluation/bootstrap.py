"""Bootstrap confidence intervals of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from arcage.evaluation.metrics import AGE_MEANS, GENDER_MEANS, per_face_metrics, subgroups
from arcage.heads.model import Predictions
from arcage.types import F64, Array, Labels

LEVEL = 0.95
RESAMPLES = 1000
FEWEST = 10
"""Minimum number of persons for an interval; with fewer, too few bootstrap samples differ."""
_AT_ONCE = 1 << 20
"""Maximum number of draws in memory."""


def intervals(predictions: Predictions, labels: Labels, *, seed: int = 0) -> dict[str, Any]:
    """Compute confidence intervals for the metrics of a report that are means.

    The median error and the calibration error have no interval.

    Args:
        predictions, labels: as for :func:`arcage.evaluation.metrics.evaluate`. Whole persons are resampled if
            ``labels.person`` is known, single faces otherwise.

    Returns:
        ``level``, ``resamples``, ``drawn`` (``persons`` or ``faces``) and, with the structure of the report,
        ``[low, high]`` for each metric, or None for fewer than :data:`FEWEST` persons. Can be written as
        JSON.
    """
    return intervals_of(per_face_metrics(predictions, labels), labels, seed=seed)


def intervals_of(columns: Mapping[str, F64], labels: Labels, *, seed: int = 0) -> dict[str, Any]:
    """Compute confidence intervals, as :func:`intervals` does, for the means of given columns.

    Args:
        columns: arrays of shape (n,) with the names of :func:`~arcage.evaluation.metrics.per_face_metrics`,
            NaN where a face does not contribute.
    """

    def ends_of(rows: Array) -> dict[str, list[float] | None]:
        out: dict[str, list[float] | None] = {}
        for names in (AGE_MEANS, GENDER_MEANS):
            values = np.stack([columns[name][rows] for name in names], axis=1)
            known = np.isfinite(values[:, 0])
            persons = None if labels.person is None else labels.person[rows][known]
            ends = interval(values[known], persons, seed=seed)
            out |= dict(zip(names, [None] * len(names) if ends is None else ends.tolist(), strict=True))
        return out

    drawn = "faces" if labels.person is None else "persons"
    report: dict[str, Any] = {"level": LEVEL, "resamples": RESAMPLES, "drawn": drawn}
    report["overall"] = ends_of(np.arange(len(labels)))
    for kind, members in subgroups(labels).items():
        report[kind] = {name: ends_of(rows) for name, rows in members.items()}
    return report


def interval(columns: F64, persons: Array | None = None, *, seed: int = 0) -> F64 | None:
    """Compute 95 % percentile bootstrap intervals of the columns' means (Efron, 1979).

    Persons are drawn with replacement, each with all of their faces (cluster bootstrap). The errors on faces
    of one person are correlated, so drawing single faces would give intervals that are too narrow.

    Args:
        columns: shape (n, k), one row per face.
        persons: shape (n,), a number for each face's person; None if each face shows another person.

    Returns:
        Shape (k, 2), or None for fewer than :data:`FEWEST` persons.
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
        count = min(step, RESAMPLES - start)
        # The sums of each person and how often they are drawn give the mean without copying any face.
        draws = rng.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(draws.ravel(), minlength=count * n).reshape(count, n)
        drawn = times.astype(np.float64) @ sums
        means[start : start + count] = drawn[:, 1:] / drawn[:, :1]
    tail = 50 * (1 - LEVEL)
    ends: F64 = np.percentile(means, [tail, 100 - tail], axis=0).T
    return ends
