"""Text of the report of a calibration."""

from __future__ import annotations

from typing import Any

from arcage.evaluation.distribution import COVERED
from arcage.evaluation.metrics import aligned
from arcage.text import counted, format_number

ROWS = (
    ("age: mean absolute error, years", "mae", "{:.2f}"),
    ("CRPS, years", "crps", "{:.2f}"),
    *((f"coverage of the {100 * c:.0f} % interval", f"coverage_{100 * c:.0f}", "{:.1%}") for c in COVERED),
    ("width of the 90 % interval, years", "width", "{:.1f}"),
    ("gender: accuracy", "gender_accuracy", "{:.1%}"),
    ("calibration error of p_female", "ece", "{:.1%}"),
)
"""The rows of the report: words, name of the metric, format string."""


def as_text(report: dict[str, Any]) -> str:
    """Format the report of a calibration."""
    lines: list[tuple[str, ...]] = [("", "before", "after")]
    for words, name, style in ROWS:
        before, after = report["before"][name], report["after"][name]
        if before is not None and after is not None:
            cells = (format_number(style, value) for value in (before, after))
            lines.append((words, *cells))
    text = aligned(lines)
    return f"{text}\n\n{report['guarantee']}" if report["guarantee"] else text


def calibrated_on(report: dict[str, Any]) -> str:
    """Return how the metrics of a report were measured, in words."""
    faces = counted(report["faces"], "labelled face")
    return f"calibrated on {faces}; after: each face by a calibration without it"
