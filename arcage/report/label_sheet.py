"""Write faces to be labelled as a CSV file to fill in, and as a page with thumbnails to fill in."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from arcage._version import __version__
from arcage.audit.records import picture_key
from arcage.cache import CacheTable
from arcage.data.tables import read_table
from arcage.errors import UsageError
from arcage.files import atomic_write, check_csv, refuse_foreign
from arcage.heads.model import Predictions
from arcage.report.elements import STYLE
from arcage.report.thumbnail import thumbnails
from arcage.text import csv_writer, to_spreadsheet
from arcage.types import Array

COLUMNS = (
    "path", "face", "faces", "x1", "y1", "x2", "y2", "age", "gender", "suggested_age", "suggested_low",
    "suggested_high", "suggested_gender", "familiarity", "status", "sha256",
)  # fmt: skip
"""``path``, ``face``, ``faces`` and ``status`` make it a table of single faces for
:func:`arcage.data.tables.read_table`, which reads ``age`` and ``gender`` and ignores the suggestions."""
SUFFIXES = (".html", ".htm")
SIDE = 160
"""Longest side of a thumbnail, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Faces to be labelled."""

    rows: tuple[tuple[str, ...], ...]
    """Cells of :data:`COLUMNS`, protected from spreadsheets."""
    faces: tuple[dict[str, Any], ...]
    """``sha256``, ``names``, ``face``, ``box`` and ``thumbnail`` of each face, for
    :func:`arcage.report.thumbnail.thumbnails`."""


def check_sheet_file(path: Path) -> None:
    """Check whether :func:`write_sheet` may write ``path``.

    Raises:
        UsageError: the name does not end in ``.csv``, or somebody has filled in the existing sheet.
        ForeignFileError: arcage did not write the existing file.
    """
    check_csv(path, COLUMNS, "the faces to label")
    if path.is_file() and path.stat().st_size and (labels := read_table(path).labels.values()):
        filled = sum(label.known for label in labels)
        if filled:
            raise UsageError(
                f"{path} has labels ({filled:,}): choose another name, and give this file as `labels`"
            )


def check_page_file(path: Path) -> None:
    """Check whether :func:`write_page` may write ``path``.

    Raises:
        UsageError: the name does not end in ``.html``.
        ForeignFileError: arcage did not write the existing file.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the sheet with thumbnails is an HTML page: end the name of `page` {path} in .html")
    refuse_foreign(rb"<title>arcage sheet: ", path)


def make_sheet(
    table: CacheTable, rows: Array, predictions: Predictions, names: Mapping[str, Sequence[str]]
) -> Sheet:
    """Return the sheet of some faces.

    Args:
        table: of the cache.
        rows: of the faces in ``table``, shape (n,).
        predictions: of the n faces; NaN for no suggestion.
        names: file names by sha256. An image without a name has its sha256 as ``path``.
    """
    faces: list[dict[str, Any]] = []
    cells: list[tuple[str, ...]] = []
    for i, (row, sha256) in enumerate(zip(rows.tolist(), table.sha256(rows), strict=True)):
        face, box, known = (
            int(table.face[row]),
            [float(side) for side in table.boxes[row]],
            names.get(sha256, ()),
        )
        faces.append({"sha256": sha256, "names": list(known), "face": face, "box": box, "thumbnail": False})
        age, low, high = (
            _number(values[i], ".1f")
            for values in (predictions.age, predictions.age_low, predictions.age_high)
        )
        values = {
            "path": to_spreadsheet(known[0] if known else sha256),
            "face": str(face),
            "faces": str(int(table.faces[row])),
            **{name: f"{side:.1f}" for name, side in zip(("x1", "y1", "x2", "y2"), box, strict=True)},
            "suggested_age": age,
            "suggested_low": low,
            "suggested_high": high,
            "suggested_gender": _gender(predictions.p_female[i]),
            "familiarity": _number(predictions.familiarity[i], ".6f"),
            "status": "ok",
            "sha256": sha256,
        }
        cells.append(tuple(values.get(name, "") for name in COLUMNS))
    return Sheet(tuple(cells), tuple(faces))


def write_sheet(path: Path, sheet: Sheet) -> None:
    """Write the sheet as CSV, with empty cells for age and gender.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path, "w") as file:
        writer = csv_writer(file.write)
        writer.writerow(COLUMNS)
        writer.writerows(sheet.rows)


def write_page(path: Path, sheet: Sheet, images: Sequence[Path], csv_name: str) -> int:
    """Write a self-contained page with a thumbnail and two fields for each face.

    The page saves the filled-in sheet, with the same columns as :func:`write_sheet`.

    Args:
        path: of the page.
        sheet: the faces.
        images: the folders that were extracted.
        csv_name: proposed name of the saved sheet.

    Returns:
        The number of faces without a thumbnail: their image is not in ``images``.

    Raises:
        OutputError: the page cannot be written.
    """
    faces = [dict(face) for face in sheet.faces]
    pictures = thumbnails({"": faces}, images, side=SIDE)
    encoded = {key: base64.b64encode(data).decode() for key, data in pictures.items()}
    rows = [
        {"cells": cells, "thumbnail": encoded.get(picture_key(face))}
        for cells, face in zip(sheet.rows, faces, strict=True)
    ]
    here = Path(__file__)
    script = here.with_suffix(".js").read_text("utf-8")
    style = STYLE.read_text("utf-8") + here.with_suffix(".css").read_text("utf-8")
    # Even if a file name could inject markup, it would neither run nor load anything.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    # ASCII without a < cannot end the script element that contains it.
    data = json.dumps({"name": csv_name, "columns": COLUMNS, "rows": rows}, allow_nan=False)
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>arcage sheet: {len(rows):,} faces to label</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{len(rows):,} faces to label</h1>\n"
        + here.with_suffix(".html").read_text("utf-8")
        + f"<footer>arcage {escape(__version__)}.</footer>\n</main>\n"
        '<script type="application/json" id="sheet">'
        + data.replace("<", "\\u003c")
        + f"</script>\n<script>{script}</script>\n</body>\n</html>\n"
    )
    with atomic_write(path, "w") as file:
        file.write(text)
    return sum(not face["thumbnail"] for face in faces)


def _number(value: np.float32, form: str) -> str:
    return format(float(value), form) if np.isfinite(value) else ""


def _gender(p_female: np.float32) -> str:
    return "" if np.isnan(p_female) else "female" if p_female >= 0.5 else "male"
