"""Metrics of the predictive distribution of the age: coverage of its intervals, their width, and the CRPS."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import interval
from arcage.evaluation.metrics import BAND, aligned
from arcage.heads.distribution import LEVELS
from arcage.heads.model import Predictions
from arcage.text import format_number
from arcage.types import F32, F64, Array, Labels

COVERED = (0.5, 0.8, 0.9, 0.95)
"""Levels of the intervals whose coverage is measured."""
BANDINGS = {"true_age": "true age", "predicted_age": "predicted age"}
"""How faces are sorted into bands: name in a report, and words."""
OLDEST_BAND = 80
"""Start of the last band, years."""


def crps(quantiles: F32, age: F32) -> F64:
    """Return the continuous ranked probability score of each face, shape (n,), years; lower is better.

    Gneiting and Raftery, Strictly proper scoring rules, JASA 2007. It is the mean absolute error for a
    distribution that is a single age. The distribution function is linear between the quantiles, and the
    probability beyond them is taken to be at the first and the last one.

    Args:
        quantiles: shape (n, len(LEVELS)), years.
        age: shape (n,): the true ages.
    """
    q, true = quantiles.astype(np.float64), age.astype(np.float64)[:, None]
    low, high = np.array(LEVELS[:-1]), np.array(LEVELS[1:])
    width = np.diff(q, axis=1)
    share = np.clip((true - q[:, :-1]) / np.maximum(width, 1e-9), 0, 1)
    at = low + share * (high - low)
    # The integral of F^2 up to the age, and of (1 - F)^2 from it on.
    before = width * share * (low**2 + low * at + at**2) / 3
    after = width * (1 - share) * ((1 - at) ** 2 + (1 - at) * (1 - high) + (1 - high) ** 2) / 3
    outside = np.maximum(q[:, 0] - true[:, 0], 0) + np.maximum(true[:, 0] - q[:, -1], 0)
    return np.asarray((before + after).sum(axis=1) + outside, np.float64)


def evaluate_distribution(predictions: Predictions, labels: Labels) -> dict[str, Any] | None:
    """Compute the metrics of all faces, and of bands of the true and of the predicted age.

    Returns:
        For ``overall`` and, by name of the band, for ``true_age`` and ``predicted_age``: ``n``, ``crps``
        (years), ``width`` of the 90 % interval (years), and ``coverage_50``, ``coverage_80``, ``coverage_90``
        and ``coverage_95``. ``intervals`` has the same structure, with ``[low, high]`` of a 95 % bootstrap
        interval or None (:func:`arcage.evaluation.bootstrap.interval`). None if no face has a distribution
        and a label. Can be written as JSON.
    """
    known = np.isfinite(labels.age) & np.isfinite(predictions.quantiles).all(axis=1)
    if not known.any():
        return None
    predictions, labels = predictions.select(known), labels.select(known)
    columns = _columns(predictions, labels.age)
    values = np.stack(list(columns.values()), axis=1)

    def row(rows: Array) -> dict[str, float | int]:
        means = dict(zip(columns, values[rows].mean(axis=0).tolist(), strict=True))
        return {"n": int(np.count_nonzero(rows)), **means}

    def ends(rows: Array) -> dict[str, list[float] | None]:
        found = interval(values[rows], None if labels.person is None else labels.person[rows])
        return dict(zip(columns, [None] * len(columns) if found is None else found.tolist(), strict=True))

    everyone = np.ones(len(labels), bool)
    report: dict[str, Any] = {"overall": row(everyone)}
    intervals: dict[str, Any] = {"overall": ends(everyone)}
    for banding, age in (("true_age", labels.age), ("predicted_age", predictions.age)):
        members = _bands(age)
        report[banding] = {name: row(rows) for name, rows in members.items()}
        intervals[banding] = {name: ends(rows) for name, rows in members.items()}
    return {**report, "intervals": intervals}


def _columns(predictions: Predictions, age: F32) -> dict[str, Array]:
    low, high = predictions.interval()
    columns: dict[str, Array] = {"crps": crps(predictions.quantiles, age), "width": high - low}
    for level in COVERED:
        low, high = predictions.interval(level)
        columns[f"coverage_{100 * level:.0f}"] = (low <= age) & (age <= high)
    return columns


def _bands(age: F32) -> dict[str, Array]:
    bands = {
        f"{low}-{low + BAND - 1}": (age >= low) & (age < low + BAND) for low in range(0, OLDEST_BAND, BAND)
    }
    bands[f"{OLDEST_BAND} and older"] = age >= OLDEST_BAND
    return {name: rows for name, rows in bands.items() if rows.any()}


TABLE = (
    ("faces", "n", "{:,}"),
    ("CRPS", "crps", "{:.2f}"),
    ("width", "width", "{:.1f}"),
    *((f"{100 * level:.0f} %", f"coverage_{100 * level:.0f}", "{:.1%}") for level in COVERED),
)
"""The columns of a table: heading, name of the metric, format string."""


def distribution_table(report: dict[str, Any]) -> str:
    """Format the result of :func:`evaluate_distribution` as a text table with one row per band."""
    lines: list[tuple[str, ...]] = [("coverage of intervals", *(heading for heading, _, _ in TABLE))]

    def add(name: str, row: dict[str, Any]) -> None:
        lines.append((name, *(format_number(style, row[metric]) for _, metric, style in TABLE)))

    add("all", report["overall"])
    for banding, words in BANDINGS.items():
        for name, row in report[banding].items():
            add(f"{words} {name}", row)
    return aligned(lines)
