"""A report's plots as PNG, in a light and in a dark version."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from arcage.errors import ArcageError
from arcage.files import user_home
from arcage.heads.evaluate import FEW
from arcage.types import F32

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE, DPI = (5.4, 3.9), 150
"""Inches, and pixels in one."""
MANY = 1500
"""From this many faces on, single points would hide one another: their density is drawn."""
NOMINAL = 0.9
PNG_MARK = rb"tEXtSoftware\0arcage"
"""For :func:`arcage.files.refuse_foreign`: the plots that :func:`png` writes."""

_LIGHT = {"ground": "#ffffff", "text": "#23292f", "grid": "#d9dee3", "first": "#1f66b0", "second": "#c4521a"}
_DARK = {"ground": "#1b1f24", "text": "#d5dbe1", "grid": "#3a424b", "first": "#6db3f5", "second": "#f0a35e"}


def check_matplotlib() -> None:
    """Raises ArcageError where matplotlib cannot be loaded."""
    try:
        load_matplotlib()
    except ImportError as error:
        raise ArcageError(
            f"the report's plots need matplotlib ({error}): pip install 'arcage[report]'"
        ) from error


def load_matplotlib() -> None:
    """Import matplotlib, which is optional and slow to load.

    If it cannot write to its settings folder, it uses a temporary one, and logs several lines about that.
    They are of no use to someone who only wants a report, so they are silenced.

    Raises:
        ImportError: it is not installed, or there is no temporary folder either.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    if user_home() is None:
        # Before 3.11, matplotlib fails without a home folder. A path that cannot be a folder makes it use a
        # temporary one, which it removes at the end.
        os.environ.setdefault("MPLCONFIGDIR", os.devnull)
    try:
        import matplotlib.figure  # noqa: F401
    except OSError as error:
        raise ImportError(error) from error
    finally:
        log.setLevel(level)


def draw(report: dict[str, Any], answered: F32, age: F32, *, dark: bool = False) -> dict[str, bytes]:
    """The plots that there are numbers for, by name.

    Args:
        report: as ``report.json`` holds it.
        answered, age: the answers and the labels, shape (n,), years, NaN where unknown.
    """
    known = np.isfinite(age) & np.isfinite(answered)
    curves = report["curves"]
    bands = {name: row for name, row in report["age_bands"].items() if row["n_age"] and "-" in name}
    plots: dict[str, bytes] = {}
    with style(dark) as colours:
        if known.any():
            plots["scatter"] = _scatter(age[known], answered[known], colours)
            plots["error_by_age"] = _error_by_age(curves["error_by_age"], colours)
            plots["coverage"] = _coverage(bands, report["intervals"]["age_bands"], colours)
            plots["kept_by_width"] = _kept(
                curves["kept_by_width"], "mae", 1, ("narrowest intervals", "MAE (years)"), colours
            )
        if curves["reliability"]:
            plots["reliability"] = _reliability(curves["reliability"], colours)
            plots["kept_by_confidence"] = _kept(
                curves["kept_by_confidence"],
                "gender_accuracy",
                100,
                ("surest answers", "gender accuracy (%)"),
                colours,
            )
    return plots


@contextmanager
def style(dark: bool) -> Iterator[dict[str, str]]:
    """The colours of a light or dark report, by role; what is drawn inside looks like it."""
    load_matplotlib()
    import matplotlib

    colours = _DARK if dark else _LIGHT
    # The settings of whoever runs this (a matplotlibrc) must not change a report.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_settings(colours))
        yield colours


def _settings(colours: dict[str, str]) -> dict[str, Any]:
    text = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(text, colours["text"]),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), colours["ground"]),
        "grid.color": colours["grid"],
        "grid.linewidth": 0.7,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.labelsize": 11,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }


def png(figure: Any) -> bytes:
    """A figure as a file."""
    buffer = io.BytesIO()
    # Without the version of matplotlib inside, the same figures give the same file.
    figure.savefig(buffer, format="png", metadata={"Software": "arcage"})
    return buffer.getvalue()


def new_axes(rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes, of the size that all plots have."""
    from matplotlib.figure import Figure  # without pyplot: no window system is asked for

    figure = Figure(figsize=SIZE, dpi=DPI)
    return figure, figure.subplots(rows, 1, **options)


def legend(axes: Any) -> None:
    """Place the legend in a row above the axes, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)


def _scatter(age: F32, answered: F32, colours: dict[str, str]) -> bytes:
    figure, axes = new_axes()
    end = 2 * np.ceil((max(age.max(), answered.max()) + 2) / 2)
    if len(age) >= MANY:
        from matplotlib.colors import LinearSegmentedColormap, LogNorm

        # Two years are a cell, so that no cell has more whole years in it than another.
        edges = np.arange(0, end + 1, 2)
        counts = np.histogram2d(age, answered, [edges, edges])[0].T
        cells = axes.pcolormesh(
            edges,
            edges,
            np.ma.masked_equal(counts, 0),
            norm=LogNorm(1, max(10, counts.max())),
            cmap=LinearSegmentedColormap.from_list(
                "faces", [colours["grid"], colours["first"], colours["text"]]
            ),
        )
        figure.colorbar(cells, label="faces", shrink=0.85)
    else:
        size = float(np.clip(2000 / len(age), 6, 30))
        axes.scatter(age, answered, size, colours["first"], alpha=0.5, linewidths=0)
    axes.plot([0, end], [0, end], color=colours["second"], linewidth=1.2, label="answer = label")
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="age by label (years)", ylabel="age by arcage (years)")
    axes.set_aspect("equal")
    legend(axes)
    return png(figure)


def _error_by_age(rows: list[dict[str, Any]], colours: dict[str, str]) -> bytes:
    figure, axes = new_axes()
    x = np.array([(row["from"] + row["to"]) / 2 for row in rows])
    for key, label, colour, marker in (
        ("mae", "mean absolute error", "first", "o"),
        ("bias", "mean signed error (bias)", "second", "s"),
    ):
        y = [row[key] for row in rows]
        _bars(axes, x, [row[f"{key}_interval"] for row in rows], colours[colour])
        axes.plot(x, y, color=colours[colour], marker=marker, markersize=4.5, label=label)
        _hollow(axes, x, y, rows, colours, colour, marker)
    axes.axhline(0, color=colours["text"], linewidth=0.8)
    axes.set(xlabel="age by label (years)", ylabel="error (years)", xlim=(0, None))
    legend(axes)
    return png(figure)


def _coverage(bands: dict[str, Any], intervals: dict[str, Any], colours: dict[str, str]) -> bytes:
    figure, (above, below) = new_axes(2, sharex=True, height_ratios=(3, 2))
    x = np.arange(len(bands))
    share = [100 * row["coverage"] for row in bands.values()]
    ends = [intervals[name]["coverage"] for name in bands]
    _bars(above, x, [None if e is None else [100 * e[0], 100 * e[1]] for e in ends], colours["first"])
    above.plot(x, share, "o", color=colours["first"], markersize=4.5)
    _hollow(above, x, share, [{"faces": row["n_age"]} for row in bands.values()], colours)
    above.axhline(100 * NOMINAL, color=colours["second"], linewidth=1.2, label="promised: 90 %")
    lowest = min([*share, *(100 * e[0] for e in ends if e), 80])
    above.set(ylabel="covered (%)", ylim=(max(lowest - 3, -3), 101.5))
    legend(above)
    below.bar(x, [row["width"] for row in bands.values()], color=colours["first"], width=0.6)
    below.set(ylabel="width (years)", xlabel="age by label (years)")
    below.grid(axis="x", visible=False)
    below.set_xticks(x, list(bands), rotation=45 if len(bands) > 8 else 0, fontsize=9)
    return png(figure)


def _reliability(rows: list[dict[str, Any]], colours: dict[str, str]) -> bytes:
    figure, (above, below) = new_axes(2, sharex=True, height_ratios=(3, 1))
    x = np.array([100 * row["p_female"] for row in rows])
    share = [100 * row["female"] for row in rows]
    ends = [row["female_interval"] for row in rows]
    above.plot([0, 100], [0, 100], color=colours["second"], linewidth=1.2, label="as promised")
    _bars(above, x, [None if e is None else [100 * e[0], 100 * e[1]] for e in ends], colours["first"])
    above.plot(x, share, "o", color=colours["first"], markersize=4.5, label="faces of one bin")
    _hollow(above, x, share, rows, colours)
    above.set(xlim=(-2, 102), ylim=(-4, 104), ylabel="labelled female (%)")
    legend(above)
    edges = np.array([100 * row["from"] for row in rows])
    widths = np.array([100 * (row["to"] - row["from"]) for row in rows])
    below.bar(edges, [row["faces"] for row in rows], widths * 0.92, align="edge", color=colours["first"])
    # Most answers are sure: on a plain scale the bins between could not be seen.
    below.set_yscale("log")
    below.set_ylim(bottom=0.7)
    below.set(xlabel="p_female (%)", ylabel="faces")
    return png(figure)


def _kept(
    rows: list[dict[str, Any]], figure: str, factor: float, words: tuple[str, str], colours: dict[str, str]
) -> bytes:
    drawing, axes = new_axes()
    x, y = [100 * row["share"] for row in rows], [factor * row[figure] for row in rows]
    axes.plot(x, y, color=colours["first"], linewidth=1.8, marker="o" if len(x) < 5 else "")
    axes.axhline(y[-1], color=colours["second"], linewidth=1.2, linestyle="--", label="all faces")
    axes.set(xlim=(0, 101), xlabel=f"share of faces kept, {words[0]} first (%)", ylabel=words[1])
    legend(axes)
    return png(drawing)


def _bars(axes: Axes, x: Any, ends: list[list[float] | None], colour: str) -> None:
    """Vertical lines from the lower to the upper ends of confidence intervals, where there are any."""
    for at, both in zip(x, ends, strict=True):
        if both is not None:
            axes.plot([at, at], both, color=colour, linewidth=1.3, alpha=0.8, solid_capstyle="butt")


def _hollow(
    axes: Axes,
    x: Any,
    y: Any,
    rows: list[dict[str, Any]],
    colours: dict[str, str],
    colour: str = "first",
    marker: str = "o",
) -> None:
    """Points of few faces are drawn hollow: chance may have put them anywhere."""
    few = np.array([row["faces"] < FEW for row in rows])
    axes.plot(
        np.asarray(x)[few],
        np.asarray(y)[few],
        color=colours[colour],
        linestyle="",
        marker=marker,
        markersize=4.5,
        markerfacecolor=colours["ground"],
    )
