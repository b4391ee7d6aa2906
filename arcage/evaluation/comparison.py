"""Which of two heads is better on the same faces, and whether that can be told at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import intervals_of
from arcage.evaluation.metrics import PARTS, aligned, sets_of_faces, values
from arcage.heads.model import Predictions
from arcage.text import counted, percent
from arcage.types import F32, Array

SIGNS = {"mae": -1, "coverage": 0, "width": 0, "gender_accuracy": 1}
"""The figures that are compared, and whether more is better (1) or worse (-1). Of coverage and width neither
is: an interval should be right and narrow, and each is easily had without the other."""
UNITS = {
    "mae": (1, "years"),
    "coverage": (100, "points"),
    "width": (1, "years"),
    "gender_accuracy": (100, "points"),
}
"""What a figure is multiplied by when it is written, and what it is counted in."""
WITH, AFTER = ("with A", "with B"), ("before", "after")


def compare(
    a: Predictions,
    b: Predictions,
    age: F32,
    gender: F32,
    group: Array | None = None,
    persons: Array | None = None,
    source: Array | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Two heads' answers against the same labels; all arrays have shape (n,).

    Both are judged by the faces that both answer. Differences are those of each face, and whole persons are
    drawn (a paired bootstrap): what makes a face hard is hard for both heads and cancels out.

    The labels are those of :func:`arcage.evaluation.bootstrap.intervals`.

    Returns:
        ``level``, ``resamples``, ``drawn``; and in the places of a report's figures, by name, ``faces``,
        ``a``, ``b``, ``difference`` (b less a), its interval ``low`` and ``high`` (None where there are too
        few persons), and ``better``: ``A``, ``B``, or None where nobody can tell. None instead of all that
        where no face has both answers. Ready for JSON.
    """
    both = values(a, age, gender), values(b, age, gender)
    differences = {name: both[1][name] - both[0][name] for name in both[0]}
    ends = intervals_of(differences, age, gender, group, persons, source, seed=seed)

    def of(rows: Array, between: dict[str, list[float] | None]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, sign in SIGNS.items():
            known = np.isfinite(differences[name][rows])
            if not known.any():
                out[name] = None
                continue
            means = [float(one[name][rows][known].mean()) for one in both]
            low, high = between[name] or (None, None)
            out[name] = {
                "faces": int(known.sum()),
                "a": means[0],
                "b": means[1],
                "difference": float(differences[name][rows][known].mean()),
                "low": low,
                "high": high,
                "better": _better(sign, low, high),
            }
        return out

    report = {name: ends[name] for name in ("level", "resamples", "drawn")}
    report["overall"] = of(np.arange(len(age)), ends["overall"])
    for part, sets in sets_of_faces(age, gender, group, source).items():
        report[part] = {name: of(rows, ends[part][name]) for name, rows in sets.items()}
    return report


def _better(sign: int, low: float | None, high: float | None) -> str | None:
    if low is None or high is None or not sign or low <= 0 <= high:
        return None
    return "B" if (low > 0) == (sign > 0) else "A"


def as_text(report: dict[str, Any], names: tuple[str, str] = WITH) -> str:
    """A comparison as text: what can be told of all faces, then tables with a row for each set of faces.

    Args:
        report: as :func:`compare` gives it, and ``warnings``: which heads (``A``, ``B``) may know the faces.
        names: of the two, as they follow a figure.
    """
    overall = report["overall"]
    said = verdicts(report, names)
    if not said:
        return "nothing to compare: no face has a label that both heads answer"
    said += [
        f"{head} may have been fitted on these faces: do not trust its lead"
        for head in report.get("warnings", ())
    ]
    rows = [("all", overall)] + [row for part in PARTS for row in report[part].items()]
    short = [name.removeprefix("with ") for name in names]
    tables = []
    for heading, figures in (("MAE", ("mae", "coverage", "width")), ("gender", ("gender_accuracy",))):
        if overall[figures[0]] is not None:
            lines = [_line(title, row, figures, short) for title, row in rows]
            tables.append(aligned([_headings(heading, figures, short), *lines]))
    note = (
        f"{short[1]} - {short[0]} with its {percent(report['level'])} interval, drawn over "
        f"{report['drawn']}; each row by itself: of twenty rows without a difference about one seems "
        "to have one"
    )
    return "\n\n".join(["\n".join(said), *tables, note])


def verdicts(report: dict[str, Any], names: tuple[str, str] = WITH) -> list[str]:
    """What can be told of all faces together, in sentences; none where nothing was compared."""
    overall = report["overall"]
    said = [
        _verdict(what, overall[name], name, names)
        for what, name in (("age", "mae"), ("gender", "gender_accuracy"))
        if overall[name] is not None
    ]
    said += [
        f"{what}: {_both(row, name, names)}; difference {_interval(row, name)} {UNITS[name][1]}"
        for what, name in (("ages inside the 90 % interval", "coverage"), ("mean width of it", "width"))
        if (row := overall[name]) is not None
    ]
    return said


def _verdict(what: str, row: dict[str, Any], name: str, names: tuple[str, str]) -> str:
    times, unit = UNITS[name]
    measure = {"mae": "MAE", "gender_accuracy": "accuracy"}[name]
    found = (
        f"({measure} {_both(row, name, names)}; difference {_interval(row, name)} {unit}, "
        f"{counted(row['faces'], 'face')})"
    )
    if row["low"] is None:
        return f"{what}: too few faces or persons to tell {found}"
    if row["better"] is None:
        return f"{what}: nobody can tell which is better {found}"
    better = names["AB".index(row["better"])]
    return f"{what}: better {better} by {times * abs(row['difference']):.2f} {unit} {found}"


def _both(row: dict[str, Any], name: str, names: tuple[str, str]) -> str:
    return f"{_figure(row, 'a', name)} {names[0]}, {_figure(row, 'b', name)} {names[1]}"


def _headings(heading: str, figures: tuple[str, ...], names: list[str]) -> list[str]:
    difference = f"{names[1]} - {names[0]}"
    line = ["", "faces", f"{heading} {names[0]}", names[1], difference, "better"]
    for name in figures[1:]:
        line += [f"{ {'coverage': 'covered'}.get(name, name) } {names[0]}", names[1], difference]
    return line


def _line(title: str, row: dict[str, Any], figures: tuple[str, ...], names: list[str]) -> list[str]:
    first = row[figures[0]]
    if first is None:
        return [title, "0", *["-"] * (4 + 3 * (len(figures) - 1))]
    line = [title, f"{first['faces']:,}"]
    for name in figures:
        line += [_figure(row[name], "a", name), _figure(row[name], "b", name), _interval(row[name], name)]
        if name == figures[0]:
            line.append(names["AB".index(first["better"])] if first["better"] else "-")
    return line


def _figure(row: dict[str, Any], key: str, name: str) -> str:
    return percent(row[key], 1) if UNITS[name][0] == 100 else f"{row[key]:.2f}"


def _interval(row: dict[str, Any], name: str) -> str:
    times = UNITS[name][0]
    ends = "" if row["low"] is None else f" [{times * row['low']:+.2f}, {times * row['high']:+.2f}]"
    return f"{times * row['difference']:+.2f}{ends}"
