"""Draw the charts of error and of speed from the tables of the documentation.

    python tools/draw_charts.py

Reads the figures from docs/evidence/ and writes docs/images/error.png and docs/images/speed.png. The figures are
also stored in the files, and a test compares them with the tables, so that a chart cannot show other figures
than the page. Needs matplotlib.
"""  # noqa: E501

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcage.files import atomic_write
from arcage.report.plots import DPI, Colours, style

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
IMAGES = ROOT / "docs" / "images"
KEY = "Description"
"""Where a PNG file keeps the figures that it shows."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart: a value, and that of arcage on the same images if it differs."""

    name: str
    value: float
    ours: float | None = None


def table(page: Path, title: str) -> list[list[str]]:
    """Return the rows of the first table whose header line contains ``title``, as cells of plain text."""
    lines = page.read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|") and title in line)
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([re.sub(r"[*`]", "", cell).strip() for cell in line.strip("|").split("|")])
    return rows


def error_bars() -> list[Bar]:
    """Mean absolute errors on UTKFace, by package."""
    bars, images = [], 3669
    for name, lost, error, *_ in table(EVIDENCE / "evaluation.md", f"UTKFace, {images:,} held-out images"):
        found = re.fullmatch(r"([\d.]+)(?: \(([\d.]+)\))?", error)
        if found is None:
            raise ValueError(f"no error: {error}")
        faces = f"{images - int(lost.replace(',', '')):,} images"
        bars.append(Bar(f"{name}\n{faces}", float(found[1]), float(found[2]) if found[2] else None))
    return bars


def speed_bars() -> list[Bar]:
    """Photos per second, from files to a CSV."""
    rows = table(EVIDENCE / "speed.md", "speed-up of the arcage command")
    names = {
        0: "arcage predict",
        2: "recipe, full photo,\nno mirror image",
        4: "recipe, 640 pixels,\nno mirror image",
    }
    given = {1: "recipe, full photo", 3: "recipe, 640 pixels"}
    return [Bar({**names, **given}[i], float(row[2])) for i, row in enumerate(rows)]


def draw(bars: Sequence[Bar], label: str, others: str, colours: Colours) -> Any:
    """Return a figure with a horizontal bar per line, and a thinner one for arcage on the same images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 0.55 * len(bars) + 1.0), dpi=DPI * 2 / 3)
    axes = figure.subplots()
    for at, bar in enumerate(bars):
        mine = bar.name.startswith("arcage") and "-and-" not in bar.name
        axes.barh(at, bar.value, 0.42, color=colours.first if mine else colours.second)
        axes.text(bar.value, at, f" {bar.value:.2f}", va="center", fontsize=9)
        if bar.ours is not None:
            axes.barh(at + 0.33, bar.ours, 0.18, color=colours.first)
            axes.text(bar.ours, at + 0.34, f" {bar.ours:.2f}", va="center", fontsize=8)
    axes.barh([0], [0], color=colours.first, label="arcage")
    axes.barh([0], [0], color=colours.second, label=others)
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)
    axes.set_xlim(0, 1.12 * max(bar.value for bar in bars))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return figure


def figures(bars: Sequence[Bar]) -> str:
    """The figures of a chart as text."""
    return json.dumps([[bar.name, bar.value, bar.ours] for bar in bars])


CHARTS = {
    "error.png": (error_bars, "mean absolute error, years (less is better)", "another package"),
    "speed.png": (
        speed_bars,
        "photos a second, from files to CSV (more is better)",
        "the same weights, usual recipe",
    ),
}


def main() -> None:
    with style(dark=False) as colours:
        for name, (read, label, others) in CHARTS.items():
            bars, buffer = read(), io.BytesIO()
            figure = draw(bars, label, others, colours)
            figure.savefig(buffer, format="png", metadata={"Software": "arcage", KEY: figures(bars)})
            with atomic_write(IMAGES / name) as file:
                file.write(buffer.getvalue())


if __name__ == "__main__":
    main()
