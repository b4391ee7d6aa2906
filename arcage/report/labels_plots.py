"""Plots of a labelled set."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from arcage.report.plots import Colours, legend, new_axes, png
from arcage.text import visible

GROUPS = 8
"""Maximum number of groups in a plot or a table, the largest first."""

CAPTIONS = {
    "years": (
        "Ages",
        "Number of faces by year of age and gender. Peaks at 20, 25, 30, ... are estimated ages.",
    ),
    "groups": ("Ages by group", "Share of the faces of each group in each age band."),
}
"""Title and caption of each plot, in the order of the page."""


def draw_plots(ages: dict[str, Any], colours: Colours) -> dict[str, bytes]:
    """Return the plots as PNG by name; plots without data are left out.

    Args:
        ages: ``ages`` of :func:`arcage.audit.describe.describe`.
        colours: from :func:`arcage.report.plots.style`.
    """
    plots = {}
    if ages["years"]:
        plots["years"] = _years(ages["years"], colours)
    if ages["bands"] and ages["bands"][0]["groups"]:
        plots["groups"] = _groups(ages["bands"], colours)
    return plots


def _years(years: list[dict[str, int]], colours: Colours) -> bytes:
    figure, axes = new_axes()
    base = np.zeros(len(years))
    for name, colour in (("male", colours.first), ("female", colours.second), ("unknown", colours.grid)):
        heights = np.array([year[name] for year in years])
        if heights.any():
            axes.bar(
                np.arange(len(years)),
                heights,
                width=1,
                bottom=base,
                color=colour,
                label=name,
                linewidth=0,
            )
            base += heights
    axes.set(xlabel="labelled age (years)", ylabel="faces", xlim=(-0.5, len(years) - 0.5))
    legend(axes)
    return png(figure)


def _groups(bands: list[dict[str, Any]], colours: Colours) -> bytes:
    from matplotlib.colors import LinearSegmentedColormap

    figure, axes = new_axes()
    names = list(bands[0]["groups"])[:GROUPS]
    numbers = np.array([[band["groups"][name] for name in names] for band in bands], float)
    shares = 100 * numbers / np.maximum(numbers.sum(axis=0), 1)
    cells = axes.imshow(
        shares.T,
        aspect="auto",
        cmap=LinearSegmentedColormap.from_list("share", [colours.ground, colours.first]),
    )
    figure.colorbar(cells, label="share of the group (%)", shrink=0.85)
    axes.grid(visible=False)
    axes.set_xticks(range(len(bands)), [str(band["from"]) for band in bands])
    # Matplotlib reads text between $ as a formula.
    axes.set_yticks(range(len(names)), [visible(name)[:16].replace("$", r"\$") for name in names])
    axes.set(xlabel="labelled age, from (years)")
    with warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes; the table shows the names.
        warnings.filterwarnings("ignore", "Glyph")
        return png(figure)
