"""A report on heads that can be read and passed on: one HTML page, its figures as JSON, its plots as PNG."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arcage.cache import Names
from arcage.data.labelled import LabelledFaces
from arcage.errors import UsageError
from arcage.evaluation.bootstrap import intervals
from arcage.evaluation.metrics import worst_subgroups
from arcage.files import atomic_write, make_folder, refuse_foreign
from arcage.heads.model import Heads, Predictions
from arcage.report.curves import curves
from arcage.report.page import PLOTS, page
from arcage.report.plots import PNG_MARK, check_matplotlib, draw
from arcage.report.worst import thumbnails, worst_faces

HTML, JSON = "report.html", "report.json"
HTML_MARK = rb"<title>arcage report: "


def prepare(folder: Path, images: Sequence[Path] = ()) -> None:
    """Ask for all that a report needs, and make its folder, before minutes are spent on the figures.

    Raises:
        UsageError: one of ``images`` is not a folder.
        OutputError: ``folder`` cannot be made.
        ArcageError: matplotlib is missing.
    """
    check_matplotlib()
    for place in images:
        if not os.path.isdir(place):
            raise UsageError(f"--images {place} is not a folder: name the one that was extracted")
    make_folder(folder)


def check_report_files(folder: Path) -> None:
    """Check whether :func:`write_report` may write into ``folder``.

    Raises:
        ForeignFileError: it would replace a file that arcage did not write.
    """
    refuse_foreign(HTML_MARK, folder / HTML)
    refuse_foreign(rb'\A\{\s*"measured": \{', folder / JSON)
    refuse_foreign(PNG_MARK, *(folder / f"{name}.png" for name in PLOTS))


def write_report(
    folder: Path,
    report: dict[str, Any],
    answers: Predictions,
    faces: LabelledFaces,
    heads: Heads,
    *,
    labels: str,
    holdout: float = 0.0,
    warning: str = "",
    names: Names | None = None,
    images: Sequence[Path] = (),
) -> dict[str, Any]:
    """Write ``report.html``, which needs nothing beside it, ``report.json`` and the plots into ``folder``.

    Args:
        folder: as :func:`prepare` leaves it.
        report: as ``arcage evaluate --json`` prints it.
        answers: the heads' answers for ``faces``, in their order.
        labels: what the labels came from, in words.
        holdout: the share of the faces that was asked for, 0 for all.
        warning: what a reader must know before any figure.
        names: the cache's file names.
        images: the folders that these are relative to; none for no thumbnails.

    Returns:
        What ``report.json`` holds: the report, and beside it ``measured``, ``intervals``, ``worst_sets``,
        ``curves`` and ``worst_faces``.

    Raises:
        OutputError: a file cannot be written.
    """
    persons = faces.persons()
    worst = worst_faces(answers, faces, names)
    pictures = thumbnails(worst, images) if images else {}
    full = {
        "measured": _measured(heads, faces, labels, holdout, warning),
        **report,
        "intervals": intervals(answers, faces.labels()),
        "worst_sets": worst_subgroups(report),
        "curves": curves(answers, faces.age, faces.gender, persons),
        "worst_faces": worst,
    }
    text = json.dumps(full, indent=2, allow_nan=False)
    plots = draw(full, answers.age, faces.age)
    dark = draw(full, answers.age, faces.age, dark=True)
    for name, png in plots.items():
        with atomic_write(folder / f"{name}.png") as file:
            file.write(png)
    with atomic_write(folder / JSON, "w") as file:
        file.write(text + "\n")
    with atomic_write(folder / HTML, "w") as file:
        file.write(page(full, plots, dark, pictures))
    return full


def _measured(
    heads: Heads, faces: LabelledFaces, labels: str, holdout: float, warning: str
) -> dict[str, Any]:
    """Which faces, and which heads: a page must still tell when it lies somewhere by itself."""
    training = heads.manifest.get("training") or {}
    settings = heads.manifest.get("settings") or {}
    return {
        "labels": labels,
        "faces": len(faces),
        "holdout": holdout,
        "warning": warning,
        "heads": {
            "kind": settings.get("kind"),
            "seed": settings.get("seed"),
            "pack": heads.manifest.get("pack"),
            "models": heads.manifest.get("models"),
            "fingerprint": heads.fingerprint,
            "sha256": (heads.manifest.get("arrays") or {}).get("sha256"),
            "labels": training.get("labels"),
            "faces": training.get("faces"),
            "ages": training.get("ages"),
            "held_out_share": training.get("held_out_share"),
            "arcage": (heads.manifest.get("versions") or {}).get("arcage"),
            "sampling": heads.manifest.get("sampling"),
        },
    }
