"""Write the report on a labelled set: an HTML page, its numbers as JSON, and suspicious labels as CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arcage.files import atomic_write, csv_mark, refuse_foreign
from arcage.report.labels_page import SHOWN, labels_page
from arcage.report.labels_plots import draw_plots
from arcage.report.plots import Plots
from arcage.report.thumbnail import thumbnails
from arcage.text import csv_writer, to_spreadsheet, visible_json

HTML, JSON, CSV = "labels.html", "labels.json", "suspicious.csv"
CSV_COLUMNS = (
    "kind", "score", "path", "source", "label_age", "age", "age_low", "age_high", "label_gender",
    "p_female", "sha256",
)  # fmt: skip


def check_label_report_files(folder: Path) -> None:
    """Check whether :func:`write_label_report` may write into ``folder``.

    Raises:
        ForeignFileError: it would replace a file that arcage did not write.
    """
    refuse_foreign(rb"<title>arcage labels: ", folder / HTML)
    refuse_foreign(rb'\A\{\s*"labels": "[^\n]*",\s*"images": \{', folder / JSON)
    refuse_foreign(csv_mark(CSV_COLUMNS), folder / CSV)


def write_label_report(
    folder: Path, report: dict[str, Any], *, labels: str, images: Sequence[Path] = ()
) -> dict[str, Any]:
    """Write ``labels.html``, a self-contained page, ``labels.json`` and ``suspicious.csv``.

    Args:
        folder: from :func:`arcage.report.prepare.prepare`.
        report: from :func:`arcage.audit.describe.describe`; ``thumbnail`` of its faces is set.
        labels: name of the labels.
        images: the folders that were extracted; without them there are no thumbnails.

    Returns:
        The content of ``labels.json``.

    Raises:
        OutputError: a file cannot be written.
    """
    shown = _shown(report)
    pictures = thumbnails(shown, images) if images else {}
    full = {"labels": labels, **report}
    text = visible_json(json.dumps(full, indent=2, allow_nan=False))
    with atomic_write(folder / JSON, "w") as file:
        file.write(text + "\n")
    with atomic_write(folder / CSV, "w") as file:
        writer = csv_writer(file.write)
        writer.writerow(CSV_COLUMNS)
        writer.writerows(_suspicious_rows(report["suspicious"]))
    plots = Plots.draw(lambda colours: draw_plots(report["ages"], colours))
    with atomic_write(folder / HTML, "w") as file:
        file.write(labels_page(full, plots, pictures, (JSON, CSV)))
    return full


def faces_shown(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the faces on the page."""
    return [face for rows in _shown(report).values() for face in rows]


def _shown(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    suspicious, near, alike = report["suspicious"], report["copies"]["near"], report["look_alikes"]["most"]
    return {
        "age": suspicious["age"][:SHOWN],
        "gender": suspicious["gender"][:SHOWN],
        "near": [face for pair in near[:SHOWN] if pair["differs"] for face in pair["faces"]],
        "alike": [face for pair in alike[:SHOWN] for face in pair["faces"]],
    }


def _suspicious_rows(suspicious: dict[str, Any]) -> list[list[Any]]:
    rows = []
    for kind, score in (("age", "years_outside"), ("gender", "doubt")):
        for face in suspicious[kind]:
            values = {**face, "kind": kind, "score": face[score], "path": (face["names"] or [""])[0]}
            cells = [values[name] for name in CSV_COLUMNS]
            rows.append([_cell(value) for value in cells])
    return rows


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else to_spreadsheet(str(value))
