"""Plots of age checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.evaluation.assurance import ADULT, ADULTS, OLDEST_YEAR, TEENS, rule_text
from arcage.evaluation.metrics import FEW
from arcage.report.plots import Colours, bars, hollow, legend, new_axes, png

YOUNGEST_SHOWN = 10
"""First year of age in the plot by age."""
UNDER = ("18", "25")
"""Ages whose probability is plotted."""
_NEAR_ZERO = 0.05

CAPTIONS = {
    "accepted_by_age": (
        "Accepted faces by age",
        "Share of the faces of each labelled year of age whose predicted age is at least the threshold. On "
        f"the left of {ADULT} these are minors. On the right, faces that are not accepted are challenged.",
    ),
    "accepted_or_challenged": (
        "Accepted minors and challenged adults",
        f"Each point of a curve is a threshold; lower is better. Minors: {TEENS} years (log scales).",
    ),
    "probability_under": (
        f"Calibration of the probability of being younger than {' or '.join(UNDER)}",
        "Share of younger faces among faces with a similar probability. Below: number of faces (log scale).",
    ),
}
"""Title and caption of each plot, in the order of the page."""


def draw_assurance_plots(report: dict[str, Any] | None, colours: Colours) -> dict[str, bytes]:
    """Return the plots as PNG by name; plots without data are left out.

    Args:
        report: as returned by :func:`arcage.evaluation.assurance.age_assurance`.
        colours: from :func:`arcage.report.plots.style`.
    """
    if report is None:
        return {}
    plots = {
        "accepted_by_age": _accepted_by_age(report["rules"]["age"], colours),
        "accepted_or_challenged": _accepted_or_challenged(report, colours),
    }
    if report["reliability"]:
        plots["probability_under"] = _probability_under(report["reliability"], colours)
    return plots


def _accepted_by_age(rules: dict[str, Any], colours: Colours) -> bytes:
    figure, axes = new_axes()
    axes.axvline(ADULT - 0.5, color=colours.text, linewidth=0.8)
    looks = [
        (colour, look) for colour in (colours.first, colours.second) for look in (("o", "-"), ("s", ":"))
    ]
    for (threshold, row), (colour, (marker, line)) in zip(rules.items(), looks, strict=True):
        # Of minors the accepted are counted, of adults those who are not.
        cells = {
            int(year): (cell, part == "challenged")
            for part in ("accepted", "challenged")
            for year, cell in row[part].items()
            if year.isdigit() and int(year) >= YOUNGEST_SHOWN and cell["share"] is not None
        }
        y = [100 * abs(flip - cell["share"]) for cell, flip in cells.values()]
        ends = [
            cell["interval"] and [100 * abs(flip - end) for end in cell["interval"]]
            for cell, flip in cells.values()
        ]
        few = [cell["faces"] < FEW for cell, _ in cells.values()]
        bars(axes, cells, ends, colour)
        label = rule_text("age", threshold)
        axes.plot(list(cells), y, color=colour, marker=marker, linestyle=line, markersize=4, label=label)
        hollow(axes, few, cells, y, colour, colours.ground, marker)
    axes.set(xlim=(YOUNGEST_SHOWN - 0.5, OLDEST_YEAR + 0.5), ylim=(-3, 103))
    axes.set_xticks(range(YOUNGEST_SHOWN, OLDEST_YEAR + 1, 2))
    axes.set(xlabel="labelled age (years)", ylabel="accepted (%)")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.1, 1), ncols=4, borderaxespad=0.2, fontsize=8.5, columnspacing=1
    )
    return png(figure)


def _accepted_or_challenged(report: dict[str, Any], colours: Colours) -> bytes:
    figure, axes = new_axes()
    for (rule, points), (colour, marker, below) in zip(
        report["curves"].items(), ((colours.first, "o", False), (colours.second, "s", True)), strict=False
    ):
        label = "by predicted age" if rule == "age" else f"by {rule}"
        # Zero has no place on a log scale; here it is just outside.
        x, y = (
            [max(100 * point[part], _NEAR_ZERO) for point in points] for part in ("accepted", "challenged")
        )
        axes.plot(x, y, color=colour, linewidth=1.8, label=label)
        for threshold, row in report["rules"][rule].items():
            at = (100 * row["accepted"][TEENS]["share"], 100 * row["challenged"][ADULTS]["share"])
            if min(at) < _NEAR_ZERO:
                continue
            axes.plot(*at, marker=marker, color=colour, markersize=5)
            axes.annotate(
                threshold,
                at,
                (-4, -4) if below else (4, 4),
                textcoords="offset points",
                color=colour,
                fontsize=9,
                ha="right" if below else "left",
                va="top" if below else "bottom",
            )
    # Both shares of interest are small.
    axes.set(xscale="log", yscale="log", xlim=(0.1, 100), ylim=(0.5, 100))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel=f"accepted of {TEENS} years (%)", ylabel=f"challenged of {ADULT} and older (%)")
    legend(axes)
    return png(figure)


def _probability_under(reliability: dict[str, Any], colours: Colours) -> bytes:
    figure, (above, below) = new_axes(2, sharex=True, height_ratios=(3, 1))
    above.plot([0, 100], [0, 100], color=colours.text, linewidth=0.9, label="perfect calibration")
    for at, colour, marker, side in zip(UNDER, (colours.first, colours.second), "os", (0, 1), strict=True):
        rows = [row for row in reliability[at]["bins"] if row["share"] is not None]
        x, y = [100 * row["p"] for row in rows], [100 * row["share"] for row in rows]
        ends = [row["interval"] and [100 * end for end in row["interval"]] for row in rows]
        bars(above, x, ends, colour)
        above.plot(x, y, marker, color=colour, markersize=4.5, label=f"under {at}")
        hollow(above, [row["faces"] < FEW for row in rows], x, y, colour, colours.ground, marker)
        every = reliability[at]["bins"]
        width = np.array([100 * (row["to"] - row["from"]) for row in every]) * 0.45
        start = np.array([100 * row["from"] for row in every])
        below.bar(start + side * width, [row["faces"] for row in every], width, align="edge", color=colour)
    above.set(xlim=(-2, 102), ylim=(-4, 104), ylabel="labelled younger (%)")
    legend(above)
    below.set_yscale("log")
    below.set_ylim(bottom=0.7)
    below.set(xlabel="probability of being younger (%)", ylabel="faces")
    return png(figure)
