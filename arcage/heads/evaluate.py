"""How wrong the heads are: overall, by age band, by gender and by group."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.heads.model import Predictions
from arcage.types import F32, Array

BAND = 10
"""Years in an age band of the report."""
ECE_BINS = 15

Figures = dict[str, float | int | None]


def evaluate(predictions: Predictions, age: F32, gender: F32, group: Array | None = None) -> dict[str, Any]:
    """Figures of the answers against the labels; all arrays have shape (n,).

    Args:
        age: years, NaN where unknown.
        gender: 0 male, 1 female, NaN where unknown.
        group: a name for each face, empty where it belongs to none.

    Returns:
        ``overall``, and ``age_bands``, ``genders`` and ``groups`` by name, each with the figures of
        :func:`figures`; ready for JSON.
    """

    def of(rows: Array) -> Figures:
        return figures(
            Predictions(
                predictions.age[rows],
                predictions.age_low[rows],
                predictions.age_high[rows],
                predictions.p_female[rows],
            ),
            age[rows],
            gender[rows],
        )

    report: dict[str, Any] = {"overall": figures(predictions, age, gender)}
    bands = {
        f"{low}-{low + BAND - 1}": (age >= low) & (age < low + BAND)
        for low in range(0, int(np.nanmax(age, initial=-1)) + 1, BAND)
    }
    bands["10 and older"] = age >= BAND
    report["age_bands"] = {name: of(mask) for name, mask in bands.items() if mask.any()}
    sides = {"male": gender == 0, "female": gender == 1}
    # Probabilities are to be true among faces of both genders: among those of one, they cannot be.
    report["genders"] = {name: {**of(mask), "ece": None} for name, mask in sides.items() if mask.any()}
    report["groups"] = {name: of(rows) for name, rows in _by_name(group) if name}
    return report


def _by_name(group: Array | None) -> list[tuple[str, Array]]:
    """Each name and its rows; sorted once, for there may be many names."""
    if group is None or not len(group):
        return []
    names, index = np.unique(group, return_inverse=True)
    rows = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    return [(str(name), part) for name, part in zip(names, rows, strict=True)]


def figures(predictions: Predictions, age: F32, gender: F32) -> Figures:
    """The figures of one set of faces; None where nothing is labelled or the heads lack the attribute.

    ``mae`` mean and ``median`` median absolute error, ``bias`` mean signed error (years); ``cs5`` share
    within 5 years; ``coverage`` share of ages inside the interval; ``width`` its mean width (years);
    ``gender_accuracy``; ``ece`` expected calibration error of ``p_female`` (15 bins, Guo et al., ICML 2017),
    which speaks of faces of both genders only.
    """
    out: Figures = dict.fromkeys(
        ("n_age", "mae", "median", "bias", "cs5", "coverage", "width", "n_gender", "gender_accuracy", "ece")
    )
    known = np.isfinite(age) & np.isfinite(predictions.age)
    out["n_age"] = int(known.sum())
    if known.any():
        error = predictions.age[known].astype(np.float64) - age[known]
        low, high = predictions.age_low[known], predictions.age_high[known]
        out["mae"] = float(np.abs(error).mean())
        out["median"] = float(np.median(np.abs(error)))
        out["bias"] = float(error.mean())
        out["cs5"] = float((np.abs(error) <= 5).mean())
        out["coverage"] = float(((low <= age[known]) & (age[known] <= high)).mean())
        out["width"] = float((high - low).mean())
    known = np.isfinite(gender) & np.isfinite(predictions.p_female)
    out["n_gender"] = int(known.sum())
    if known.any():
        p, y = predictions.p_female[known].astype(np.float64), gender[known]
        out["gender_accuracy"] = float(((p >= 0.5) == (y == 1)).mean())
        out["ece"] = _calibration_error(p, y)
    return out


def _calibration_error(p: Array, y: Array) -> float:
    bins = np.minimum((p * ECE_BINS).astype(int), ECE_BINS - 1)
    return float(
        sum(abs((p[bins == b] - y[bins == b]).sum()) / len(p) for b in range(ECE_BINS) if (bins == b).any())
    )


def as_table(report: dict[str, Any]) -> str:
    """A report as text, a row for each set of faces."""
    head = ("", "faces", "MAE", "median", "bias", "CS@5", "covered", "width", "faces", "gender", "ECE")
    keys = (
        "n_age", "mae", "median", "bias", "cs5", "coverage", "width", "n_gender", "gender_accuracy", "ece",
    )  # fmt: skip
    styles = ("{:,}", "{:.2f}", "{:.2f}", "{:+.2f}", "{:.1%}", "{:.1%}", "{:.1f}", "{:,}", "{:.1%}", "{:.1%}")
    rows = [("all", report["overall"])]
    for part in ("age_bands", "genders", "groups"):
        rows += report[part].items()
    lines: list[tuple[str, ...]] = [head]
    for name, row in rows:
        cells = ("-" if row[k] is None else s.format(row[k]) for k, s in zip(keys, styles, strict=True))
        lines.append((name, *cells))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )
