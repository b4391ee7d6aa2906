"""Metrics of predictions against labels: overall, and by age band, gender, group and source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arcage.heads.model import Predictions
from arcage.text import format_number, visible
from arcage.types import F64, Array, Labels

BAND = 10
"""Width of an age band, years."""
OLDER = f"{BAND} and older"
"""An additional subgroup that overlaps the bands: gender is hard to see in young children."""
ECE_BINS = 15

FEW = 30
"""Subgroups with fewer faces are never reported as the worst."""

AGE_MEANS = ("mae", "bias", "cs5", "coverage", "width")
GENDER_MEANS = ("gender_accuracy",)
"""The metrics that are means over faces; see :func:`per_face_metrics`."""

COLUMNS = (
    ("with age", "n_age", "{:,}"),
    ("MAE", "mae", "{:.2f}"),
    ("median", "median", "{:.2f}"),
    ("bias", "bias", "{:+.2f}"),
    ("CS@5", "cs5", "{:.1%}"),
    ("coverage", "coverage", "{:.1%}"),
    ("width", "width", "{:.1f}"),
    ("with gender", "n_gender", "{:,}"),
    ("gender", "gender_accuracy", "{:.1%}"),
    ("ECE", "ece", "{:.1%}"),
)
"""The columns of a table of metrics: heading, name of the metric, format string."""

SUBGROUPS = {"age_bands": "age band", "genders": "gender", "groups": "group", "sources": "source"}
"""The kinds of subgroups in a report, with the singular for sentences."""

Metrics = dict[str, float | int | None]
Subgroups = dict[str, dict[str, Array]]
"""For each kind in :data:`SUBGROUPS` and each name: the faces, as indices or as a boolean mask."""


def evaluate(predictions: Predictions, labels: Labels) -> dict[str, Any]:
    """Compute the metrics of all faces and of each subgroup.

    Args:
        predictions: for the same n faces as ``labels``.

    Returns:
        The result of :func:`compute_metrics` under ``overall`` and, by name of the subgroup, under
        ``age_bands``, ``genders``, ``groups`` and ``sources``. ``sources`` is empty for a single source. The
        report can be written as JSON.
    """
    report: dict[str, Any] = {"overall": compute_metrics(predictions, labels)}
    for kind, members in subgroups(labels).items():
        report[kind] = {
            name: compute_metrics(predictions.select(rows), labels.select(rows))
            for name, rows in members.items()
        }
    for row in report["genders"].values():
        # Calibration is defined over faces of both genders.
        row["ece"] = None
    return report


def subgroups(labels: Labels) -> Subgroups:
    """Return the subgroups of :data:`SUBGROUPS` that have at least one face."""
    age, gender = labels.age, labels.gender
    sources = _by_name(labels.source)
    bands = {
        f"{low}-{low + BAND - 1}": (age >= low) & (age < low + BAND)
        for low in range(0, int(np.nanmax(age, initial=-1)) + 1, BAND)
    }
    bands[OLDER] = age >= BAND
    genders = {"male": gender == 0, "female": gender == 1}
    return {
        "age_bands": {name: mask for name, mask in bands.items() if mask.any()},
        "genders": {name: mask for name, mask in genders.items() if mask.any()},
        "groups": {name: rows for name, rows in _by_name(labels.group) if name},
        "sources": dict(sources) if len(sources) > 1 else {},
    }


def _by_name(column: Array | None) -> list[tuple[str, Array]]:
    """Return each name with the indices of its faces. Sorts once, because there can be many names."""
    if column is None or not len(column):
        return []
    names, index = np.unique(column, return_inverse=True)
    rows = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    return [(str(name), members) for name, members in zip(names, rows, strict=True)]


def compute_metrics(predictions: Predictions, labels: Labels) -> Metrics:
    """Compute the metrics of one set of faces.

    Returns:
        - ``n_age``: number of faces with a labelled and a predicted age
        - ``mae``, ``median``: mean and median absolute error, years
        - ``bias``: mean signed error, years
        - ``cs5``: share of faces with an error of at most 5 years
        - ``coverage``: share of ages inside the 90 % interval
        - ``width``: mean width of the interval, years
        - ``n_gender``: number of faces with a labelled and a predicted gender
        - ``gender_accuracy``
        - ``ece``: expected calibration error of ``p_female`` (15 bins; Guo et al., ICML 2017)

        Metrics of an attribute without labels or predictions are None.
    """
    out: Metrics = dict.fromkeys(
        ("n_age", "mae", "median", "bias", "cs5", "coverage", "width", "n_gender", "gender_accuracy", "ece")
    )
    columns = per_face_metrics(predictions, labels)
    known = np.isfinite(columns["mae"])
    out["n_age"] = int(known.sum())
    if known.any():
        out.update({name: float(columns[name][known].mean()) for name in AGE_MEANS})
        out["median"] = float(np.median(columns["mae"][known]))
    known = np.isfinite(columns["gender_accuracy"])
    out["n_gender"] = int(known.sum())
    if known.any():
        out.update({name: float(columns[name][known].mean()) for name in GENDER_MEANS})
        out["ece"] = calibration_error(predictions.p_female[known].astype(np.float64), labels.gender[known])
    return out


def per_face_metrics(predictions: Predictions, labels: Labels) -> dict[str, F64]:
    """Return the contribution of each face to the metrics that are means.

    Returns:
        For each name in :data:`AGE_MEANS` and :data:`GENDER_MEANS` an array of shape (n,), NaN where the
        label or the prediction is unknown.
    """
    age, gender = labels.age, labels.gender
    error = predictions.age.astype(np.float64) - age
    low, high = predictions.age_low.astype(np.float64), predictions.age_high.astype(np.float64)
    correct = (predictions.p_female >= 0.5) == (gender == 1)
    known, known_gender = np.isfinite(error), np.isfinite(gender) & np.isfinite(predictions.p_female)
    return {
        "mae": np.abs(error),
        "bias": error,
        "cs5": np.where(known, np.abs(error) <= 5, np.nan),
        "coverage": np.where(known, (low <= age) & (age <= high), np.nan),
        "width": np.where(known, high - low, np.nan),
        "gender_accuracy": np.where(known_gender, correct, np.nan),
    }


def calibration_bins(p: Array) -> Array:
    """Return the bin of each probability, shape (n,), int: :data:`ECE_BINS` bins of equal width from 0 to
    1."""
    return np.asarray(np.minimum((p * ECE_BINS).astype(int), ECE_BINS - 1))


def calibration_error(p: F64, outcome: Array) -> float:
    """Return the expected calibration error of probabilities (Guo et al., ICML 2017).

    Args:
        p: shape (n,), 0 to 1, n at least 1.
        outcome: shape (n,), 1 where the event happened, 0 elsewhere.
    """
    bins = calibration_bins(p)
    return float(
        sum(
            abs((p[bins == b] - outcome[bins == b]).sum()) / len(p)
            for b in range(ECE_BINS)
            if (bins == b).any()
        )
    )


def worst_subgroups(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the worst subgroup of each kind, by ``mae`` and by ``gender_accuracy``.

    Subgroups of fewer than :data:`FEW` faces do not count. Kinds with fewer than two subgroups left are
    omitted.

    Args:
        report: as returned by :func:`evaluate`.
    """
    worst: dict[str, dict[str, str]] = {"mae": {}, "gender_accuracy": {}}
    for metric, count, sign in (("mae", "n_age", 1), ("gender_accuracy", "n_gender", -1)):
        for kind in SUBGROUPS:
            rows = {
                name: sign * row[metric]
                for name, row in report[kind].items()
                if row[count] >= FEW and name != OLDER
            }
            if len(rows) > 1:
                worst[metric][kind] = max(rows, key=lambda name: rows[name])
    return worst


def as_table(report: dict[str, Any]) -> str:
    """Format a report as a text table with one row per subgroup."""
    rows = [("all", report["overall"])]
    for kind in SUBGROUPS:
        rows += report[kind].items()
    lines: list[tuple[str, ...]] = [("", *(heading for heading, _, _ in COLUMNS))]
    for name, row in rows:
        lines.append((visible(name), *(as_text(row, metric, style) for _, metric, style in COLUMNS)))
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Format the cells of a table as text; the first column is left-aligned, the others right-aligned."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def as_text(row: Metrics, metric: str, style: str) -> str:
    """Format one metric; ``-`` if it is None."""
    value = row[metric]
    return "-" if value is None else format_number(style, value)
