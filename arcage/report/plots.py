"""The look of all plots: colours, size, legends, and the conversion to PNG."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from arcage.errors import ArcageError
from arcage.files import prepare_matplotlib

SIZE, DPI = (5.4, 3.9), 150
"""Size in inches, and pixels per inch."""
PNG_MARK = rb"tEXtSoftware\0arcage"
"""For :func:`arcage.files.refuse_foreign`: identifies plots that :func:`png` wrote."""


@dataclass(frozen=True, slots=True)
class Colours:
    """Colours of a plot, by role."""

    ground: str
    text: str
    grid: str
    first: str
    second: str


_LIGHT = Colours(ground="#ffffff", text="#23292f", grid="#d9dee3", first="#1f66b0", second="#c4521a")
_DARK = Colours(ground="#1b1f24", text="#d5dbe1", grid="#3a424b", first="#6db3f5", second="#f0a35e")


@dataclass(frozen=True, slots=True)
class Plots:
    """PNG files by name, for light and for dark screens."""

    light: Mapping[str, bytes]
    dark: Mapping[str, bytes]

    @classmethod
    def draw(cls, draw: Callable[[Colours], dict[str, bytes]]) -> Plots:
        """Call a function that draws plots once for each version."""
        drawn = []
        for dark in (False, True):
            with style(dark=dark) as colours:
                drawn.append(draw(colours))
        return cls(*drawn)


def check_matplotlib() -> None:
    """Raise ArcageError if matplotlib cannot be loaded."""
    try:
        load_matplotlib()
    except ImportError as error:
        raise ArcageError(
            f"the report's plots need matplotlib ({error}): pip install 'arcage[report]'"
        ) from error


def load_matplotlib() -> None:
    """Import matplotlib, which is optional and slow to load.

    If it cannot write to its settings folder, it uses a temporary one and logs several lines about it.
    These are silenced, because they do not concern the report.

    Raises:
        ImportError: it is not installed, or there is no temporary folder either.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    prepare_matplotlib()
    try:
        importlib.import_module("matplotlib.figure")
    except OSError as error:
        raise ImportError(error) from error
    finally:
        log.setLevel(level)


@contextmanager
def style(*, dark: bool) -> Iterator[Colours]:
    """Apply the style of a report to plots that are drawn inside; yields its colours.

    Raises:
        ImportError: see :func:`load_matplotlib`.
    """
    load_matplotlib()
    import matplotlib

    colours = _DARK if dark else _LIGHT
    # The user's settings (a matplotlibrc) do not change a report.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_settings(colours))
        yield colours


def _settings(colours: Colours) -> dict[str, Any]:
    text = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(text, colours.text),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), colours.ground),
        "grid.color": colours.grid,
        "grid.linewidth": 0.7,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.labelsize": 11,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }


def new_axes(rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return a figure of the common size and its axes."""
    from matplotlib.figure import Figure  # not pyplot, which needs a window system

    figure = Figure(figsize=SIZE, dpi=DPI)
    return figure, figure.subplots(rows, 1, **options)


def legend(axes: Any) -> None:
    """Place the legend in a row above the axes, so that it covers no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)


def bars(axes: Any, x: Any, ends: list[list[float] | None], colour: str) -> None:
    """Draw confidence intervals as vertical lines; ``ends`` has None where there is no interval."""
    for at, both in zip(x, ends, strict=True):
        if both is not None:
            axes.plot([at, at], both, color=colour, linewidth=1.3, alpha=0.8, solid_capstyle="butt")


def hollow(axes: Any, few: list[bool], x: Any, y: Any, colour: str, ground: str, marker: str = "o") -> None:
    """Draw the points of few faces hollow, because they are uncertain."""
    axes.plot(
        [at for at, is_few in zip(x, few, strict=True) if is_few],
        [at for at, is_few in zip(y, few, strict=True) if is_few],
        color=colour,
        linestyle="",
        marker=marker,
        markersize=4.5,
        markerfacecolor=ground,
    )


def png(figure: Any) -> bytes:
    """Encode a figure as PNG."""
    buffer = io.BytesIO()
    # Without the version of matplotlib in the file, the same data give the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": "arcage"})
    return buffer.getvalue()
