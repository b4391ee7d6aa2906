"""How wrong the heads are: overall, by age band, by gender and by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arcage.heads.model import Predictions
from arcage.text import format_number
from arcage.types import F32, F64, Array

BAND = 10
"""Years in an age band of the report."""
OLDER = f"{BAND} and older"
"""Not a band, but beside them: children's gender is hardly to be seen."""
ECE_BINS = 15

FEW = 30
"""With fewer faces than this, no set of faces is called the worst."""

AGE_MEANS = ("mae", "bias", "cs5", "coverage", "width")
GENDER_MEANS = ("gender_accuracy",)
"""The figures that are means over faces, of :func:`values`."""

COLUMNS = (
    ("with age", "n_age", "{:,}"),
    ("MAE", "mae", "{:.2f}"),
    ("median", "median", "{:.2f}"),
    ("bias", "bias", "{:+.2f}"),
    ("CS@5", "cs5", "{:.1%}"),
    ("covered", "coverage", "{:.1%}"),
    ("width", "width", "{:.1f}"),
    ("with gender", "n_gender", "{:,}"),
    ("gender", "gender_accuracy", "{:.1%}"),
    ("ECE", "ece", "{:.1%}"),
)
"""The figures in the order of a table: heading, name, style."""

Figures = dict[str, float | int | None]
Sets = dict[str, dict[str, Array]]
"""By part of the report and by name: the rows of a set of faces, or a mask over all."""


PARTS = {"age_bands": "age band", "genders": "gender", "groups": "group", "sources": "source"}
"""The parts of a report beside all faces, and what one of their rows is called."""


def evaluate(
    predictions: Predictions,
    age: F32,
    gender: F32,
    group: Array | None = None,
    source: Array | None = None,
) -> dict[str, Any]:
    """Figures of the answers against the labels; all arrays have shape (n,).

    Args:
        age: years, NaN where unknown.
        gender: 0 male, 1 female, NaN where unknown.
        group: a name for each face, empty where it belongs to none.
        source: the name of the labels that each face was taken from.

    Returns:
        ``overall``, and ``age_bands``, ``genders``, ``groups`` and, where there is more than one,
        ``sources`` by name, each with the figures of :func:`figures`; ready for JSON.
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
    for part, sets in sets_of_faces(age, gender, group, source).items():
        report[part] = {name: of(rows) for name, rows in sets.items()}
    for row in report["genders"].values():
        # Probabilities are to be true among faces of both genders: among those of one, they cannot be.
        row["ece"] = None
    return report


def sets_of_faces(age: F32, gender: F32, group: Array | None = None, source: Array | None = None) -> Sets:
    """The :data:`PARTS` of a report; no set of faces is empty."""
    sources = _by_name(source)
    bands = {
        f"{low}-{low + BAND - 1}": (age >= low) & (age < low + BAND)
        for low in range(0, int(np.nanmax(age, initial=-1)) + 1, BAND)
    }
    bands[OLDER] = age >= BAND
    genders = {"male": gender == 0, "female": gender == 1}
    return {
        "age_bands": {name: mask for name, mask in bands.items() if mask.any()},
        "genders": {name: mask for name, mask in genders.items() if mask.any()},
        "groups": {name: rows for name, rows in _by_name(group) if name},
        "sources": dict(sources) if len(sources) > 1 else {},
    }


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
    each = values(predictions, age, gender)
    known = np.isfinite(each["mae"])
    out["n_age"] = int(known.sum())
    if known.any():
        out.update({name: float(each[name][known].mean()) for name in AGE_MEANS})
        out["median"] = float(np.median(each["mae"][known]))
    known = np.isfinite(each["gender_accuracy"])
    out["n_gender"] = int(known.sum())
    if known.any():
        out.update({name: float(each[name][known].mean()) for name in GENDER_MEANS})
        out["ece"] = _calibration_error(predictions.p_female[known].astype(np.float64), gender[known])
    return out


def values(predictions: Predictions, age: F32, gender: F32) -> dict[str, F64]:
    """What each face gives to the figures that are means; each shape (n,), NaN where the face's label or
    answer is unknown."""
    error = predictions.age.astype(np.float64) - age
    low, high = predictions.age_low.astype(np.float64), predictions.age_high.astype(np.float64)
    right = (predictions.p_female >= 0.5) == (gender == 1)
    known, known_gender = np.isfinite(error), np.isfinite(gender) & np.isfinite(predictions.p_female)
    return {
        "mae": np.abs(error),
        "bias": error,
        "cs5": np.where(known, np.abs(error) <= 5, np.nan),
        "coverage": np.where(known, (low <= age) & (age <= high), np.nan),
        "width": np.where(known, high - low, np.nan),
        "gender_accuracy": np.where(known_gender, right, np.nan),
    }


def calibration_bins(p: Array) -> Array:
    """Which of :data:`ECE_BINS` equal parts of 0 to 1 each probability lies in, shape (n,), int."""
    return np.asarray(np.minimum((p * ECE_BINS).astype(int), ECE_BINS - 1))


def _calibration_error(p: Array, y: Array) -> float:
    bins = calibration_bins(p)
    return float(
        sum(abs((p[bins == b] - y[bins == b]).sum()) / len(p) for b in range(ECE_BINS) if (bins == b).any())
    )


def worst_sets(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    """By ``mae`` and by ``gender_accuracy``: of each part of a report the name of the set that is read
    worst, among those of :data:`FEW` faces or more, where there are two of them at least."""
    worst: dict[str, dict[str, str]] = {"mae": {}, "gender_accuracy": {}}
    for figure, count, sign in (("mae", "n_age", 1), ("gender_accuracy", "n_gender", -1)):
        for part in PARTS:
            rows = {
                name: sign * row[figure]
                for name, row in report[part].items()
                if row[count] >= FEW and name != OLDER
            }
            if len(rows) > 1:
                worst[figure][part] = max(rows, key=lambda name: rows[name])
    return worst


def as_table(report: dict[str, Any]) -> str:
    """A report as text, a row for each set of faces."""
    rows = [("all", report["overall"])]
    for part in PARTS:
        rows += report[part].items()
    lines: list[tuple[str, ...]] = [("", *(heading for heading, _, _ in COLUMNS))]
    for name, row in rows:
        lines.append((name, *(as_text(row, key, style) for _, key, style in COLUMNS)))
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of a table as text: the first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def as_text(row: Figures, key: str, style: str) -> str:
    """One figure of a table; - where there is none."""
    value = row[key]
    return "-" if value is None else format_number(style, value)
