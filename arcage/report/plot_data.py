"""Compute the numbers behind the plots of an evaluation, for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import interval
from arcage.evaluation.metrics import ECE_BINS, calibration_bins
from arcage.heads.model import Predictions
from arcage.types import F32, F64, Array

STEP = 5
"""Width of a bin of the error by age, years."""
SHARES = 50
"""Number of points of a curve over the share of faces kept."""

Points = list[dict[str, Any]]


def curves(
    predictions: Predictions, age: F32, gender: F32, persons: Array | None = None
) -> dict[str, Points]:
    """Return the points of all curves; a curve is empty without labels or predictions.

    Args:
        predictions: of n faces.
        age: labels, shape (n,), years, NaN if unknown.
        gender: labels, shape (n,), 0 male, 1 female, NaN if unknown.
        persons: the person of each face, shape (n,), for confidence intervals over persons; None for
            intervals over faces.

    Returns:
        ``error_by_age``: bias and MAE with their confidence intervals, in bins of the labelled age.
        ``reliability``: mean of ``p_female`` and share of females with its confidence interval, in bins of
        ``p_female``.
        ``kept_by_width`` and ``kept_by_confidence``: MAE and gender accuracy on growing shares of the faces,
        from the most certain ones, by the width of the interval and by the distance of ``p_female`` from one
        half.
        ``kept_by_familiarity``: the MAE from the most familiar faces; empty for heads without this measure.
    """
    known = np.isfinite(age) & np.isfinite(predictions.age)
    error = predictions.age[known].astype(np.float64) - age[known]
    width = (predictions.age_high - predictions.age_low)[known].astype(np.float64)
    who = None if persons is None else persons[known]
    familiarity = predictions.familiarity[known].astype(np.float64)
    measured = np.isfinite(familiarity)
    known_gender = np.isfinite(gender) & np.isfinite(predictions.p_female)
    p, female = predictions.p_female[known_gender].astype(np.float64), gender[known_gender].astype(np.float64)
    right = ((p >= 0.5) == (female == 1)).astype(np.float64)
    who_gender = None if persons is None else persons[known_gender]
    return {
        "error_by_age": _error_by_age(age[known], error, who),
        "reliability": _reliability(p, female, who_gender),
        "kept_by_width": _kept(width, np.abs(error), "mae"),
        "kept_by_confidence": _kept(-np.abs(p - 0.5), right, "gender_accuracy"),
        "kept_by_familiarity": _kept(-familiarity[measured], np.abs(error)[measured], "mae"),
    }


def _error_by_age(age: F32, error: F64, persons: Array | None) -> Points:
    steps = (age // STEP).astype(int)
    rows: Points = []
    for step in np.unique(steps).tolist():
        here = steps == step
        columns = np.stack([error[here], np.abs(error[here])], axis=1)
        bias, mae = _interval(columns, persons, here)
        rows.append(
            {
                "from": step * STEP,
                "to": (step + 1) * STEP,
                "faces": int(here.sum()),
                "bias": float(columns[:, 0].mean()),
                "bias_interval": bias,
                "mae": float(columns[:, 1].mean()),
                "mae_interval": mae,
            }
        )
    return rows


def _reliability(p: F64, female: F64, persons: Array | None) -> Points:
    bins = calibration_bins(p)
    rows: Points = []
    for number in np.unique(bins).tolist():
        here = bins == number
        rows.append(
            {
                "from": number / ECE_BINS,
                "to": (number + 1) / ECE_BINS,
                "faces": int(here.sum()),
                "p_female": float(p[here].mean()),
                "female": float(female[here].mean()),
                "female_interval": _interval(female[here, None], persons, here)[0],
            }
        )
    return rows


def _kept(uncertainty: F64, value: F64, metric: str) -> Points:
    """Return the mean of ``value`` over growing shares of the faces, from the most certain ones to all."""
    if not len(uncertainty):
        return []
    total = np.cumsum(value[np.argsort(uncertainty, kind="stable")])
    counts = np.unique(np.ceil(np.arange(1, SHARES + 1) / SHARES * len(uncertainty)).astype(int)).tolist()
    return [{"share": n / len(uncertainty), "faces": n, metric: float(total[n - 1] / n)} for n in counts]


def _interval(columns: F64, persons: Array | None, here: Array) -> list[list[float] | None]:
    ends = interval(columns, None if persons is None else persons[here])
    return [None] * columns.shape[1] if ends is None else ends.tolist()
