"""Paired comparison of two heads on the same faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import intervals_of
from arcage.evaluation.metrics import SUBGROUPS, aligned, per_face_metrics, subgroups
from arcage.heads.model import Predictions
from arcage.text import counted, percent, visible
from arcage.types import Array, Labels


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is compared and printed."""

    better: int
    """1 if higher is better, -1 if lower is better; 0 if neither: an interval should both cover and be
    narrow, and either alone is easy to get."""
    scale: int
    """Factor from the stored value to ``unit``."""
    unit: str
    name: str
    heading: str


COMPARED = {
    "mae": Metric(-1, 1, "years", "MAE", "MAE"),
    "coverage": Metric(0, 100, "points", "coverage of the 90 % interval", "coverage"),
    "width": Metric(0, 1, "years", "mean width of the interval", "width"),
    "gender_accuracy": Metric(1, 100, "points", "accuracy", "gender"),
}
"""The metrics that are compared."""
WITH, AFTER = ("with A", "with B"), ("before", "after")


def compare(a: Predictions, b: Predictions, labels: Labels, *, seed: int = 0) -> dict[str, Any]:
    """Compare the predictions of two heads for the same n faces.

    Only faces with both predictions count. The bootstrap resamples the differences of whole persons, so what
    makes a face hard for both heads cancels out.

    Returns:
        ``level``, ``resamples`` and ``drawn`` as :func:`arcage.evaluation.bootstrap.intervals` does; and with
        the structure of an evaluation report, for each metric in :data:`COMPARED`: ``faces``, ``a``, ``b``,
        ``difference`` (b - a), the bounds ``low`` and ``high`` of its interval (None for too few persons) and
        ``better``: ``A``, ``B``, or None if the difference is not significant. A metric is None if no face
        has both predictions. Can be written as JSON.
    """
    both = per_face_metrics(a, labels), per_face_metrics(b, labels)
    differences = {name: both[1][name] - both[0][name] for name in both[0]}
    ends = intervals_of(differences, labels, seed=seed)

    def rows_of(rows: Array, between: dict[str, list[float] | None]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, metric in COMPARED.items():
            known = np.isfinite(differences[name][rows])
            if not known.any():
                out[name] = None
                continue
            means = [float(columns[name][rows][known].mean()) for columns in both]
            low, high = between[name] or (None, None)
            out[name] = {
                "faces": int(known.sum()),
                "a": means[0],
                "b": means[1],
                "difference": float(differences[name][rows][known].mean()),
                "low": low,
                "high": high,
                "better": _better(metric.better, low, high),
            }
        return out

    report = {name: ends[name] for name in ("level", "resamples", "drawn")}
    report["overall"] = rows_of(np.arange(len(labels)), ends["overall"])
    for kind, members in subgroups(labels).items():
        report[kind] = {name: rows_of(rows, ends[kind][name]) for name, rows in members.items()}
    return report


def _better(sign: int, low: float | None, high: float | None) -> str | None:
    if low is None or high is None or not sign or low <= 0 <= high:
        return None
    return "B" if (low > 0) == (sign > 0) else "A"


def as_text(report: dict[str, Any], names: tuple[str, str] = WITH) -> str:
    """Format a comparison: the verdicts for all faces, then tables with one row per subgroup.

    Args:
        report: as returned by :func:`compare`; optionally with ``warnings``, whose keys (``A``, ``B``) name
            the heads that may have been fitted on these faces.
        names: what follows a value of A and of B in a sentence.
    """
    overall = report["overall"]
    words = verdicts(report, names)
    if not words:
        return "nothing to compare: no labelled face has a prediction from both heads"
    words += [
        f"{head} may have been fitted on these faces: its result may be too good"
        for head in report.get("warnings", ())
    ]
    rows = [("all", overall)] + [row for kind in SUBGROUPS for row in report[kind].items()]
    short = [name.removeprefix("with ") for name in names]
    tables = []
    for metrics in (("mae", "coverage", "width"), ("gender_accuracy",)):
        if overall[metrics[0]] is not None:
            lines = [_line(title, row, metrics, short) for title, row in rows]
            tables.append(aligned([_headings(metrics, short), *lines]))
    note = (
        f"{short[1]} - {short[0]}: difference with its {percent(report['level'])} confidence interval, "
        f"bootstrapped over {report['drawn']}. Rows are not corrected for multiple comparisons: without any "
        "real difference, about one row in twenty is significant."
    )
    return "\n\n".join(["\n".join(words), *tables, note])


def verdicts(report: dict[str, Any], names: tuple[str, str] = WITH) -> list[str]:
    """Return the result for all faces as sentences; empty if nothing was compared."""
    overall = report["overall"]
    words = [
        f"{attribute}: {_verdict(overall[name], name, names)}"
        for attribute, name in (("age", "mae"), ("gender", "gender_accuracy"))
        if overall[name] is not None
    ]
    words += [
        f"{COMPARED[name].name}: {_both(row, name, names)}; difference {_interval(row, name)} "
        f"{COMPARED[name].unit}"
        for name in ("coverage", "width")
        if (row := overall[name]) is not None
    ]
    return words


def _verdict(row: dict[str, Any], name: str, names: tuple[str, str]) -> str:
    metric = COMPARED[name]
    values = (
        f"({metric.name} {_both(row, name, names)}; difference {_interval(row, name)} {metric.unit}, "
        f"{counted(row['faces'], 'face')})"
    )
    if row["low"] is None:
        return f"too few faces or persons to compare {values}"
    if row["better"] is None:
        return f"no significant difference {values}"
    better = names["AB".index(row["better"])]
    return f"better {better} by {metric.scale * abs(row['difference']):.2f} {metric.unit} {values}"


def _both(row: dict[str, Any], name: str, names: tuple[str, str]) -> str:
    return f"{_value(row, 'a', name)} {names[0]}, {_value(row, 'b', name)} {names[1]}"


def _headings(metrics: tuple[str, ...], names: list[str]) -> list[str]:
    a, b = names
    line = ["", "faces", f"{COMPARED[metrics[0]].heading} {a}", b, f"{b} - {a}", "better"]
    for name in metrics[1:]:
        line += [f"{COMPARED[name].heading} {a}", b, f"{b} - {a}"]
    return line


def _line(title: str, row: dict[str, Any], metrics: tuple[str, ...], names: list[str]) -> list[str]:
    first = row[metrics[0]]
    if first is None:
        return [visible(title), "0", *["-"] * (4 + 3 * (len(metrics) - 1))]
    line = [visible(title), f"{first['faces']:,}"]
    for name in metrics:
        line += [_value(row[name], "a", name), _value(row[name], "b", name), _interval(row[name], name)]
        if name == metrics[0]:
            line.append(names["AB".index(first["better"])] if first["better"] else "-")
    return line


def _value(row: dict[str, Any], key: str, name: str) -> str:
    return percent(row[key], 1) if COMPARED[name].scale == 100 else f"{row[key]:.2f}"


def _interval(row: dict[str, Any], name: str) -> str:
    scale = COMPARED[name].scale
    ends = "" if row["low"] is None else f" [{scale * row['low']:+.2f}, {scale * row['high']:+.2f}]"
    return f"{scale * row['difference']:+.2f}{ends}"
