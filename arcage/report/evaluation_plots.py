"""Plots of an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.evaluation.metrics import FEW
from arcage.report.plots import Colours, bars, hollow, legend, new_axes, png
from arcage.types import F32

MANY = 1500
"""Minimum number of faces to draw their density instead of single points."""
NOMINAL = 0.9
"""Nominal coverage of the interval."""

CAPTIONS = {
    "scatter": (
        "Predicted and labelled age",
        "One point per face. On the line, prediction and label are equal. A slope flatter than the line "
        "means that predictions are pulled towards the middle ages.",
    ),
    "error_by_age": (
        "Error by age",
        "In steps of five years of labelled age. Above zero, ages are overestimated.",
    ),
    "coverage": (
        "Coverage and width of the interval",
        "Share of ages inside the interval, which is nominally 90 %, and the mean width of the interval.",
    ),
    "reliability": (
        "Calibration of p_female",
        "Share of faces labelled female among faces with similar p_female. Below: number of faces "
        "(log scale).",
    ),
    "kept_by_width": (
        "Age error of the most certain faces",
        "Only the faces with the narrowest intervals are kept. A rising line means that the width of the "
        "interval predicts the size of the error.",
    ),
    "kept_by_confidence": (
        "Gender accuracy of the most certain faces",
        "Only the faces with p_female farthest from one half are kept.",
    ),
    "kept_by_familiarity": (
        "Age error of the most familiar faces",
        "Only the faces that are most like the training faces are kept. The line rises at its end if "
        "leaving out the least familiar faces lowers the error of the others.",
    ),
}
"""Title and caption of each plot, in the order of the page."""


def draw_plots(report: dict[str, Any], predicted: F32, age: F32, colours: Colours) -> dict[str, bytes]:
    """Return the plots as PNG by name; plots without data are left out.

    Args:
        report: the content of ``report.json``.
        predicted, age: predicted and labelled ages, shape (n,), years, NaN if unknown.
        colours: from :func:`arcage.report.plots.style`.
    """
    known = np.isfinite(age) & np.isfinite(predicted)
    curves = report["curves"]
    bands = {name: row for name, row in report["age_bands"].items() if row["n_age"] and "-" in name}
    plots: dict[str, bytes] = {}
    if known.any():
        plots["scatter"] = _scatter(age[known], predicted[known], colours)
        plots["error_by_age"] = _error_by_age(curves["error_by_age"], colours)
        plots["coverage"] = _coverage(bands, report["intervals"]["age_bands"], colours)
        rows = [(100 * row["share"], row["mae"]) for row in curves["kept_by_width"]]
        plots["kept_by_width"] = _kept(rows, "narrowest intervals", "MAE (years)", colours)
    if curves["reliability"]:
        plots["reliability"] = _reliability(curves["reliability"], colours)
        rows = [(100 * row["share"], 100 * row["gender_accuracy"]) for row in curves["kept_by_confidence"]]
        plots["kept_by_confidence"] = _kept(rows, "most certain", "gender accuracy (%)", colours)
    if curves["kept_by_familiarity"]:
        rows = [(100 * row["share"], row["mae"]) for row in curves["kept_by_familiarity"]]
        plots["kept_by_familiarity"] = _kept(rows, "most familiar", "MAE (years)", colours)
    return plots


def _scatter(age: F32, predicted: F32, colours: Colours) -> bytes:
    figure, axes = new_axes()
    end = 2 * np.ceil((max(age.max(), predicted.max()) + 2) / 2)
    if len(age) >= MANY:
        from matplotlib.colors import LinearSegmentedColormap, LogNorm

        # Cells of two years, so that all cells hold the same number of whole years.
        edges = np.arange(0, end + 1, 2)
        counts = np.histogram2d(age, predicted, [edges, edges])[0].T
        cells = axes.pcolormesh(
            edges,
            edges,
            np.ma.masked_equal(counts, 0),
            norm=LogNorm(1, max(10, counts.max())),
            cmap=LinearSegmentedColormap.from_list("faces", [colours.grid, colours.first, colours.text]),
        )
        figure.colorbar(cells, label="faces", shrink=0.85)
    else:
        size = float(np.clip(2000 / len(age), 6, 30))
        axes.scatter(age, predicted, size, colours.first, alpha=0.5, linewidths=0)
    axes.plot([0, end], [0, end], color=colours.second, linewidth=1.2, label="prediction = label")
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="labelled age (years)", ylabel="predicted age (years)")
    axes.set_aspect("equal")
    legend(axes)
    return png(figure)


def _error_by_age(rows: list[dict[str, Any]], colours: Colours) -> bytes:
    figure, axes = new_axes()
    x = np.array([(row["from"] + row["to"]) / 2 for row in rows])
    for key, label, colour, marker in (
        ("mae", "mean absolute error", colours.first, "o"),
        ("bias", "mean signed error (bias)", colours.second, "s"),
    ):
        y = [row[key] for row in rows]
        bars(axes, x, [row[f"{key}_interval"] for row in rows], colour)
        axes.plot(x, y, color=colour, marker=marker, markersize=4.5, label=label)
        few = [row["faces"] < FEW for row in rows]
        hollow(axes, few, x, y, colour, colours.ground, marker)
    axes.axhline(0, color=colours.text, linewidth=0.8)
    axes.set(xlabel="labelled age (years)", ylabel="error (years)", xlim=(0, None))
    legend(axes)
    return png(figure)


def _coverage(bands: dict[str, Any], intervals: dict[str, Any], colours: Colours) -> bytes:
    figure, (above, below) = new_axes(2, sharex=True, height_ratios=(3, 2))
    x = np.arange(len(bands))
    share = [100 * row["coverage"] for row in bands.values()]
    ends = [intervals[name]["coverage"] for name in bands]
    bars(above, x, [None if e is None else [100 * e[0], 100 * e[1]] for e in ends], colours.first)
    above.plot(x, share, "o", color=colours.first, markersize=4.5)
    few = [row["n_age"] < FEW for row in bands.values()]
    hollow(above, few, x, share, colours.first, colours.ground)
    above.axhline(100 * NOMINAL, color=colours.second, linewidth=1.2, label="nominal: 90 %")
    lowest = min([*share, *(100 * e[0] for e in ends if e), 80])
    above.set(ylabel="covered (%)", ylim=(max(lowest - 3, -3), 101.5))
    legend(above)
    below.bar(x, [row["width"] for row in bands.values()], color=colours.first, width=0.6)
    below.set(ylabel="width (years)", xlabel="labelled age (years)")
    below.grid(axis="x", visible=False)
    below.set_xticks(x, list(bands), rotation=45 if len(bands) > 8 else 0, fontsize=9)
    return png(figure)


def _reliability(rows: list[dict[str, Any]], colours: Colours) -> bytes:
    figure, (above, below) = new_axes(2, sharex=True, height_ratios=(3, 1))
    x = np.array([100 * row["p_female"] for row in rows])
    share = [100 * row["female"] for row in rows]
    ends = [row["female_interval"] for row in rows]
    above.plot([0, 100], [0, 100], color=colours.second, linewidth=1.2, label="perfect calibration")
    bars(above, x, [None if e is None else [100 * e[0], 100 * e[1]] for e in ends], colours.first)
    above.plot(x, share, "o", color=colours.first, markersize=4.5, label="faces in a bin")
    few = [row["faces"] < FEW for row in rows]
    hollow(above, few, x, share, colours.first, colours.ground)
    above.set(xlim=(-2, 102), ylim=(-4, 104), ylabel="labelled female (%)")
    legend(above)
    edges = np.array([100 * row["from"] for row in rows])
    widths = np.array([100 * (row["to"] - row["from"]) for row in rows])
    below.bar(edges, [row["faces"] for row in rows], widths * 0.92, align="edge", color=colours.first)
    # Most probabilities are near 0 or 1: on a linear scale the bins between would be invisible.
    below.set_yscale("log")
    below.set_ylim(bottom=0.7)
    below.set(xlabel="p_female (%)", ylabel="faces")
    return png(figure)


def _kept(rows: list[tuple[float, float]], order: str, ylabel: str, colours: Colours) -> bytes:
    figure, axes = new_axes()
    x, y = zip(*rows, strict=True)
    axes.plot(x, y, color=colours.first, linewidth=1.8, marker="o" if len(x) < 5 else "")
    axes.axhline(y[-1], color=colours.second, linewidth=1.2, linestyle="--", label="all faces")
    axes.set(xlim=(0, 101), xlabel=f"share of faces kept, {order} first (%)", ylabel=ylabel)
    legend(axes)
    return png(figure)
