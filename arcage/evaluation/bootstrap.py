"""Bootstrap confidence intervals of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
        sums = sums_by_person(sums, persons)
    if len(sums) < FEWEST:
        return None
    means = np.concatenate(
        [(drawn := times @ sums)[:, 1:] / drawn[:, :1] for times in resamples(len(sums), seed=seed)]
    )
    return percentile_ends(means)


def sums_by_person(columns: F64, persons: Array) -> F64:
    """Return the sums of the columns over the faces of each person, shape (persons, k)."""
    index = np.unique(persons, return_inverse=True)[1]
    return np.stack([np.bincount(index, weights=column) for column in columns.T], axis=1)


def resamples(count: int, *, seed: int = 0) -> Iterator[F64]:
    """Yield how often each of ``count`` persons is drawn in each bootstrap sample.

    The products with sums over the faces of each person give the sums of the samples without copying a face.

    Yields:
        Arrays of shape (samples, count), :data:`RESAMPLES` samples in all.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // count)
    for start in range(0, RESAMPLES, step):
        samples = min(step, RESAMPLES - start)
        draws = rng.integers(0, count, (samples, count)) + count * np.arange(samples)[:, None]
        times = np.bincount(draws.ravel(), minlength=samples * count)
        yield times.reshape(samples, count).astype(np.float64)


def percentile_ends(values: F64) -> F64:
    """Return the percentile interval of each column of bootstrap values, (samples, k) -> (k, 2)."""
    tail = 50 * (1 - LEVEL)
    ends: F64 = np.percentile(values, [tail, 100 - tail], axis=0).T
    return ends
