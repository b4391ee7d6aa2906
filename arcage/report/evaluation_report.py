"""Write the report on an evaluation: an HTML page, its numbers as JSON, and its plots as PNG."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcage.cache import Names
from arcage.data.labelled import LabelledFaces
from arcage.errors import HeadsError
from arcage.evaluation.bootstrap import intervals
from arcage.evaluation.metrics import worst_subgroups
from arcage.files import atomic_write, refuse_foreign
from arcage.heads.model import Heads, Predictions
from arcage.report.assurance_plots import CAPTIONS as ASSURANCE_CAPTIONS
from arcage.report.assurance_plots import draw_assurance_plots
from arcage.report.evaluation_page import evaluation_page
from arcage.report.evaluation_plots import CAPTIONS, draw_plots
from arcage.report.plot_data import curves
from arcage.report.plots import PNG_MARK, Colours, Plots
from arcage.report.sampling import sampling_text
from arcage.report.thumbnail import thumbnails
from arcage.report.worst import worst_faces

HTML, JSON = "report.html", "report.json"
HTML_MARK = rb"<title>arcage report: "


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Heads evaluated on labelled faces."""

    report: dict[str, Any]
    """The metrics, as ``arcage evaluate --json`` prints them."""
    predictions: Predictions
    """Of the heads for the faces, in their order."""
    faces: LabelledFaces
    heads: Heads
    labels: str
    """Name of the labels."""
    holdout: float = 0.0
    """Share of the faces that is held out; 0 if all are used."""
    warning: str = ""
    """Shown above all metrics."""
    names: Names | None = None
    """File names in the cache."""


def check_report_files(folder: Path) -> None:
    """Check whether :func:`write_report` may write into ``folder``.

    Raises:
        ForeignFileError: it would replace a file that arcage did not write.
    """
    refuse_foreign(HTML_MARK, folder / HTML)
    refuse_foreign(rb'\A\{\s*"measured": \{', folder / JSON)
    names = (*CAPTIONS, *ASSURANCE_CAPTIONS)
    refuse_foreign(PNG_MARK, *(folder / f"{name}.png" for name in names))


def write_report(folder: Path, evaluation: Evaluation, *, images: Sequence[Path] = ()) -> dict[str, Any]:
    """Write ``report.html``, a self-contained page, ``report.json`` and the plots into ``folder``.

    Args:
        folder: from :func:`arcage.report.prepare.prepare`.
        evaluation: what to report.
        images: the folders that were extracted; without them there are no thumbnails.

    Returns:
        The content of ``report.json``: the metrics, and ``measured``, ``intervals``, ``worst_sets``,
        ``curves`` and ``worst_faces``.

    Raises:
        OutputError: a file cannot be written.
    """
    faces, predictions = evaluation.faces, evaluation.predictions
    persons = faces.persons()
    worst = worst_faces(predictions, faces, evaluation.names)
    pictures = thumbnails(worst, images) if images else {}
    full = {
        "measured": _measured(evaluation),
        **evaluation.report,
        "intervals": intervals(predictions, faces.labels()),
        "worst_sets": worst_subgroups(evaluation.report),
        "curves": curves(predictions, faces.age, faces.gender, persons),
        "worst_faces": worst,
    }
    text = json.dumps(full, indent=2, allow_nan=False)

    def draw(colours: Colours) -> dict[str, bytes]:
        checks = draw_assurance_plots(full["age_assurance"], colours)
        return draw_plots(full, predictions.age, faces.age, colours) | checks

    plots = Plots.draw(draw)
    for name, png in plots.light.items():
        with atomic_write(folder / f"{name}.png") as picture:
            picture.write(png)
    with atomic_write(folder / JSON, "w") as file:
        file.write(text + "\n")
    with atomic_write(folder / HTML, "w") as file:
        file.write(evaluation_page(full, plots, pictures))
    return full


def _measured(evaluation: Evaluation) -> dict[str, Any]:
    """Return the description of the faces and the heads, so that the page is complete without them."""
    heads = evaluation.heads
    training = heads.manifest.get("training") or {}
    settings = heads.manifest.get("settings") or {}
    sampling = heads.manifest.get("sampling")
    if sampling:
        _check_sampling(heads, sampling)
    return {
        "labels": evaluation.labels,
        "faces": len(evaluation.faces),
        "holdout": evaluation.holdout,
        "warning": evaluation.warning,
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
            "sampling": sampling,
        },
    }


def _check_sampling(heads: Heads, sampling: dict[str, Any]) -> None:
    """Raise HeadsError if a manifest's comparisons of fits are not as arcage writes them."""
    try:
        sampling_text(sampling)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise HeadsError(
            f"the heads in {heads.folder} cannot be read: sampling in the manifest is not as arcage writes "
            "it; fit them again with `arcage fit`"
        ) from error
