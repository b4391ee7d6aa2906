"""The numbers behind a report's plots, ready for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import interval
from arcage.evaluation.metrics import ECE_BINS, calibration_bins
from arcage.heads.model import Predictions
from arcage.types import F32, F64, Array

STEP = 5
"""Years of true age in one point of the error by age."""
SHARES = 50
"""Points of a curve over the share of faces kept."""

Rows = list[dict[str, Any]]


def curves(predictions: Predictions, age: F32, gender: F32, persons: Array | None = None) -> dict[str, Rows]:
    """What is drawn; a list is empty where labels or answers are missing.

    Returns:
        ``error_by_age``: bias and MAE, with their intervals, in steps of the true age.
        ``reliability``: in bins of ``p_female`` its mean and the share of females, with its interval.
        ``kept_by_width`` and ``kept_by_confidence``: the figure on the share of faces that the heads are
        surest of, by the interval's width and by the distance of ``p_female`` from one half.
    """
    known = np.isfinite(age) & np.isfinite(predictions.age)
    error = predictions.age[known].astype(np.float64) - age[known]
    width = (predictions.age_high - predictions.age_low)[known].astype(np.float64)
    who = None if persons is None else persons[known]
    known_gender = np.isfinite(gender) & np.isfinite(predictions.p_female)
    p, female = predictions.p_female[known_gender].astype(np.float64), gender[known_gender].astype(np.float64)
    right = ((p >= 0.5) == (female == 1)).astype(np.float64)
    who_gender = None if persons is None else persons[known_gender]
    return {
        "error_by_age": _error_by_age(age[known], error, who),
        "reliability": _reliability(p, female, who_gender),
        "kept_by_width": _kept(width, np.abs(error), "mae"),
        "kept_by_confidence": _kept(-np.abs(p - 0.5), right, "gender_accuracy"),
    }


def _error_by_age(age: F32, error: F64, persons: Array | None) -> Rows:
    steps = (age // STEP).astype(int)
    rows: Rows = []
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


def _reliability(p: F64, female: F64, persons: Array | None) -> Rows:
    bins = calibration_bins(p)
    rows: Rows = []
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


def _kept(doubt: F64, value: F64, figure: str) -> Rows:
    """The mean of ``value`` over growing shares of the faces, from the least doubtful to all."""
    if not len(doubt):
        return []
    total = np.cumsum(value[np.argsort(doubt, kind="stable")])
    counts = np.unique(np.ceil(np.arange(1, SHARES + 1) / SHARES * len(doubt)).astype(int)).tolist()
    return [{"share": n / len(doubt), "faces": n, figure: float(total[n - 1] / n)} for n in counts]


def _interval(columns: F64, persons: Array | None, here: Array) -> list[list[float] | None]:
    ends = interval(columns, None if persons is None else persons[here])
    return [None] * columns.shape[1] if ends is None else ends.tolist()
