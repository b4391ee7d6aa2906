"""The section of an evaluation page on age checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from arcage.evaluation.assurance import (
    ADULT,
    ADULTS,
    BY_PROBABILITY,
    FEWEST_MINORS,
    KINDS,
    MINORS,
    TARGET,
    TEENS,
    rule_text,
)
from arcage.evaluation.assurance_text import APPARENT, LIMITS
from arcage.evaluation.bootstrap import FEWEST
from arcage.evaluation.metrics import FEW, SUBGROUPS
from arcage.report.assurance_plots import CAPTIONS
from arcage.report.elements import gallery
from arcage.report.plots import Plots
from arcage.text import counted, html_text, percent

Row = tuple[str, Sequence[str], bool]
"""The name of a row, the HTML of its cells, and whether it has few faces."""


def assurance_section(report: dict[str, Any] | None, labels: str, plots: Plots) -> str:
    """Return the section; empty without a report.

    Args:
        report: as returned by :func:`arcage.evaluation.assurance.age_assurance`.
        labels: name of the labels.
        plots: of :mod:`arcage.report.assurance_plots`, among others.
    """
    if report is None:
        return ""
    limits = [LIMITS, APPARENT] if "utkface" in labels.split(" + ") else [LIMITS]
    parts = [
        "<h2>Age checks</h2>",
        f'<p class="warning">{html_text(" ".join(limits))}</p>',
        f'<p class="note">{_method(report)}</p>',
        _rules(report),
        _needed(report["needed"]),
        *(_subgroups(report, kind) for kind in KINDS),
        _years(report),
        _mae(report["mae"]),
        _reliability(report["reliability"]),
        gallery(CAPTIONS, plots),
    ]
    return "\n".join(part for part in parts if part)


def _method(report: dict[str, Any]) -> str:
    faces, failures = report["faces"], report["failure_to_process"]
    has_probability = BY_PROBABILITY in report["rules"]
    also = f", or its probability of being under {ADULT} at most one" if has_probability else ""
    return (
        f"A check accepts a face if its predicted age is at least a threshold{also}, and challenges the "
        f"others. These are {faces[MINORS]:,} minors, {faces[TEENS]:,} of them of {TEENS} years, and "
        f"{faces[ADULTS]:,} adults. "
        "Younger children are easy, and would hide the errors on the others. Of "
        f"{counted(failures['faces'], 'image')}, {failures['no_face']:,} had no face and "
        f"{failures['unreadable']:,} could not be read. Shares of fewer than {FEWEST} faces are not given, "
        f"and cells of fewer than {FEW} faces are pale. If no face or every face counts, the confidence "
        "interval is exact. After NIST IR 8525 (Face Analysis Technology Evaluation: Age Estimation and "
        "Verification, 2024)."
    )


def _rules(report: dict[str, Any]) -> str:
    rows: list[Row] = []
    for rule, thresholds in report["rules"].items():
        for threshold, row in thresholds.items():
            cells = (row["accepted"][TEENS], row["accepted"][MINORS], row["challenged"][ADULTS])
            errors = (_errors(row["too_old"]), _cell(row["too_young"]), _errors(row["too_young"]))
            rows.append((rule_text(rule, threshold), [*map(_cell, cells), *errors], False))
    heads = (
        "accepted if",
        f"accepted: {TEENS}",
        f"accepted: {MINORS}",
        f"challenged: {ADULTS}",
        "error of the accepted minors",
        "challenged: old enough",
        "their error",
    )
    note = (
        "Old enough: faces whose labelled age is at least that of the rule. Errors: prediction minus label, "
        "years; the median and the largest."
    )
    return f'{_table(heads, rows)}\n<p class="note">{note}</p>'


def _errors(wrong: dict[str, Any]) -> str:
    if wrong["median_error"] is None:
        return "-"
    return f'{wrong["median_error"]:+.1f}<div class="ci">largest {wrong["largest_error"]:+.1f}</div>'


def _needed(report: dict[str, Any]) -> str:
    rows: list[Row] = []
    for rule, kinds in report.items():
        for kind, members in kinds.items():
            for name, row in members.items():
                title = name if kind == "all" else f"{name}, {TEENS}"
                cells = [f"{row['minors']:,}", f"{row['adults']:,}", "-", "-", "-"]
                if row["threshold"] is not None:
                    ends = row["threshold_interval"]
                    small = "" if ends is None else f"{ends[0]:g} to {ends[1]:g}"
                    cells[2:] = [
                        f'{row["threshold"]:g}<div class="ci">{small}</div>',
                        f"{row['accepted']:,}",
                        _with_interval(row["challenged"], row["challenged_interval"]),
                    ]
                rows.append((f"{rule}: {title}", cells, False))
    heads = ("rule and minors", "minors", "adults", "threshold", "accepted", f"challenged: {ADULTS}")
    note = f"For fewer than {FEWEST_MINORS} minors, one face is more than {percent(TARGET)}."
    return (
        f"<h3>Thresholds that accept at most {percent(TARGET)} of the minors</h3>\n{_table(heads, rows)}\n"
        f'<p class="note">{note}</p>'
    )


def _subgroups(report: dict[str, Any], kind: str) -> str:
    every = _by_rule(report)
    rows = {
        f"{name}, {part}": [row["by"][kind][name][part] for row in every.values()]
        for name in next(iter(every.values()))["by"][kind]
        for part in ("accepted", "challenged")
    }
    note = f"Accepted: of {TEENS} years. Challenged: of {ADULTS}."
    return _wide(f"By {SUBGROUPS[kind]}", every, rows, note)


def _years(report: dict[str, Any]) -> str:
    every = _by_rule(report)
    rows = {
        f"{name}, {part}": [row[part][name] for row in every.values()]
        for part in ("accepted", "challenged")
        for name in next(iter(every.values()))[part]
        if name.isdigit()
    }
    return _wide("By year of age", every, rows, "")


def _by_rule(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        rule_text(rule, threshold): row
        for rule, thresholds in report["rules"].items()
        for threshold, row in thresholds.items()
    }


def _wide(title: str, heads: Iterable[str], every: dict[str, list[dict[str, Any]]], note: str) -> str:
    """Return a folded table with a column for each rule; empty without faces."""
    rows: list[Row] = []
    for name, cells in every.items():
        faces = cells[0]["faces"]
        if faces:
            shares = [
                str(cell["number"])
                if cell["share"] is None
                else _with_interval(cell["share"], cell["interval"])
                for cell in cells
            ]
            rows.append((name, [f"{faces:,}", *shares], faces < FEW))
    below = f'\n<p class="note">{note}</p>' if note else ""
    return _folded(title, _table(("", "faces", *heads), rows) + below) if rows else ""


def _mae(report: dict[str, Any]) -> str:
    rows: list[Row] = []
    for cell in (cell for part in report.values() for cell in part["cells"]):
        known = cell["mae"] is not None
        small = f"{cell['interval'][0]:.2f} to {cell['interval'][1]:.2f}" if cell["interval"] else ""
        cells = [
            f"{cell['faces']:,}",
            f'{cell["mae"]:.2f}<div class="ci">{small}</div>' if known else "-",
            f"{cell['bias']:+.2f}" if known else "-",
        ]
        rows.append((f"{cell['age']} years {cell['gender']}".strip(), cells, cell["faces"] < FEW))
    sentences = []
    for name, words in (("years", f"each year from {ADULT} to 30"), ("decades", "each decade")):
        part = report[name]
        if part["mae"] is not None:
            ends = part["interval"]
            between = f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else ""
            cells_used = counted(part["cells_used"], "cell")
            sentences.append(f"over {words} and gender {part['mae']:.2f} years{between}, {cells_used}")
    words = f"Mean absolute error averaged over cells instead of faces: {'; '.join(sentences)}."
    text = f"<p>{words}</p>\n" if sentences else ""
    return text + _folded("Errors by cell", _table(("cell", "faces", "MAE", "bias"), rows))


def _reliability(report: dict[str, Any]) -> str:
    if not report:
        return ""
    rows: list[Row] = [
        (
            f"under {at}",
            [
                f"{row['faces']:,}",
                percent(row["ece"], 1),
                f"{row['uncertain']['faces']:,}",
                "-" if row["uncertain"]["ece"] is None else percent(row["uncertain"]["ece"], 1),
            ],
            False,
        )
        for at, row in report.items()
    ]
    heads = ("probability", "faces", "ECE", "uncertain faces", "ECE")
    note = "ECE: expected calibration error. Uncertain: a probability between 1 and 99 %."
    return f'<h3>Calibration of probabilities</h3>\n{_table(heads, rows)}\n<p class="note">{note}</p>'


def _cell(cell: dict[str, Any]) -> str:
    number = f"{cell['number']:,} of {cell['faces']:,}"
    if cell["share"] is None:
        return number
    ends = cell["interval"]
    small = number if ends is None else f"{number}, {_points(ends)}"
    return f'{percent(cell["share"], 1)}<div class="ci">{small}</div>'


def _with_interval(share: float, ends: list[float] | None) -> str:
    return f'{percent(share, 1)}<div class="ci">{"" if ends is None else _points(ends)}</div>'


def _points(ends: list[float]) -> str:
    return f"{100 * ends[0]:.1f} to {percent(ends[1], 1)}"


def _table(heads: Sequence[str], rows: Iterable[Row]) -> str:
    head = "".join(f"<th>{html_text(title)}</th>" for title in heads)
    body = []
    for name, cells, few in rows:
        pale = ' class="few"' if few else ""
        inner = "".join(f"<td>{cell}</td>" for cell in cells)
        body.append(f"<tr{pale}><th>{html_text(name)}</th>{inner}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{html_text(title)}</summary>\n{content}\n</details>"
