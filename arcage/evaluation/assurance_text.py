"""The errors of age checks in a few lines of text, and what age checks may not be used for."""

from __future__ import annotations

from typing import Any

from arcage.evaluation.assurance import ADULTS, TARGET, TEENS, rule_text
from arcage.evaluation.metrics import aligned
from arcage.text import counted, percent

LIMITS = (
    "An age that is estimated from a face must not be the only basis of a legal decision about a person's "
    "age, and must not be used for surveillance. A check needs another method for everybody who is "
    "challenged, whose photo gives no answer, or who does not want to be photographed."
)
APPARENT = (
    "UTKFace's ages are apparent ages: a program estimated them, and people checked them. Heads fitted on "
    "UTKFace estimate how old a face looks, and errors measured on UTKFace are those against this age, not "
    "against the age in a document."
)


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a report that fits into a manifest and a few lines.

    Args:
        report: as returned by :func:`arcage.evaluation.assurance.age_assurance`.

    Returns:
        ``level``, ``faces``, ``mae`` (that of the years from 18 to 30, without its cells), ``ece`` (of the
        probability of being younger, by age), ``rules`` and ``needed``: each a list with the ``text`` of a
        rule and the cells of :data:`TEENS` and :data:`ADULTS`.
    """
    return {
        "level": report["level"],
        "faces": report["faces"],
        "mae": {name: report["mae"]["years"][name] for name in ("mae", "interval", "cells_used")},
        "ece": {at: row["ece"] for at, row in report["reliability"].items()},
        "rules": [
            {
                "text": rule_text(rule, threshold),
                "accepted": row["accepted"][TEENS],
                "challenged": row["challenged"][ADULTS],
            }
            for rule, thresholds in report["rules"].items()
            for threshold, row in thresholds.items()
        ],
        "needed": [
            {"text": rule_text(rule, f"{row['threshold']:g}"), **row}
            for rule, needed in report["needed"].items()
            if (row := needed["all"][TEENS])["threshold"] is not None
        ],
    }


def as_text(summed: dict[str, Any]) -> str:
    """Format a :func:`summary` as a table."""
    faces, mae = summed["faces"], summed["mae"]
    lines = [["", f"{TEENS} years: accepted", f"{ADULTS}: challenged"]]
    lines += [[row["text"], _share(row["accepted"]), _share(row["challenged"])] for row in summed["rules"]]
    lines += [
        [
            row["text"],
            f"{row['accepted']:,} of {row['minors']:,}, at most {percent(TARGET)}",
            percent(row["challenged"], 1) + _between(row["challenged_interval"]),
        ]
        for row in summed["needed"]
    ]
    text = (
        f"Age checks: {counted(faces[TEENS], 'face')} of {TEENS} years, {faces[ADULTS]:,} of {ADULTS}; in "
        f"brackets: {percent(summed['level'])} confidence intervals.\n{aligned(lines)}"
    )
    if mae["mae"] is not None:
        ends = "" if mae["interval"] is None else " [{:.2f}, {:.2f}]".format(*mae["interval"])
        text += (
            f"\nMAE from 18 to 30 years, averaged over {counted(mae['cells_used'], 'cell')} of gender and "
            f"year: {mae['mae']:.2f}{ends}"
        )
    if ece := summed["ece"]:
        text += (
            f"\nExpected calibration error of the probability of being under {', '.join(ece)}: "
            f"{', '.join(percent(value, 1) for value in ece.values())}"
        )
    return text


def _share(cell: dict[str, Any]) -> str:
    if cell["share"] is None:
        return f"{cell['number']:,} of {cell['faces']:,}"
    return f"{percent(cell['share'], 1)}{_between(cell['interval'])}"


def _between(ends: list[float] | None) -> str:
    return "" if ends is None else f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
