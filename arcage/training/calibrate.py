"""Calibrate heads on labelled faces of a source, and write them to a folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from arcage.data.labelled import LabelledFaces
from arcage.evaluation.distribution import evaluate_distribution
from arcage.evaluation.metrics import compute_metrics
from arcage.heads.callbacks import Report
from arcage.heads.model import Heads, Predictions
from arcage.heads.packed import CARD, read_heads_file
from arcage.heads.recalibrate import CONFIDENCE, expected_coverage, recalibrate_heads
from arcage.heads.store import MAX_CARD, digests, fitted_images, save_heads
from arcage.report.boosting_curves import write_curves
from arcage.text import percent
from arcage.training.calibration_text import ROWS
from arcage.training.folder import check_writable
from arcage.training.model_card import calibrated_card
from arcage.training.options import CalibrateOptions
from arcage.training.overlap import fitted_words
from arcage.types import Labels


@dataclass(frozen=True, slots=True, eq=False)
class CalibrateResult:
    """Calibrated heads, and what they gain on the labelled faces."""

    heads: Heads
    report: dict[str, Any]
    """``faces``; ``before`` and ``after``, metrics by the names in :data:`ROWS`, where those after are of
    calibrations without the face; and ``guarantee``."""
    notes: tuple[str, ...]


def calibrate_labelled(
    faces: LabelledFaces, options: CalibrateOptions, *, report: Report = lambda _: None
) -> CalibrateResult:
    """Calibrate heads on labelled faces, and write them with their model card to a folder.

    Args:
        faces: all are calibrated on, and judged by calibrations without them.
        options: the heads and the folder.
        report: called with progress messages.

    Raises:
        UsageError: the heads cannot be calibrated, or there are too few labelled faces.
        HeadsError, OutputError: the heads have no distribution, or the folder cannot be written.
    """
    check_writable(options.out)
    base, x, labels = options.base, faces.descriptors(), faces.labels()
    result = recalibrate_heads(base, x, labels, seed=options.seed, report=report)
    known = int(np.isfinite(labels.age).sum())
    measured = {
        "from": options.base_name,
        "labels": options.labels,
        "faces": len(faces),
        "images": asdict(faces.counts),
        "before": _metrics(base.predict(x), labels),
        "after": _metrics(result.out_of_fold, labels),
        "guarantee": _guarantee(known) if base.age is not None and known else "",
    }
    heads = replace(result.heads, manifest={**base.manifest, "calibrated": measured}, folder=None)
    before = fitted_images(base)
    images = None if before is None else np.unique([*before, *digests(faces.keys())], axis=0)
    # Before the folder is written: it may be that of the base heads.
    fitted = fitted_words(base, faces, options.labels, 0, faces.has_split)
    save_heads(heads, options.out, calibrated_card(measured, _card(base)), images)
    write_curves(options.out, [])  # Remove those of previous heads.
    notes = (f"the heads {fitted}: calibrate on other faces",) if fitted else ()
    return CalibrateResult(heads, measured, notes)


def _card(heads: Heads) -> str:
    """Return the model card of heads; empty if it cannot be read."""
    if heads.folder is None:
        return ""
    try:
        return read_heads_file(heads.folder, CARD, MAX_CARD).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _metrics(predictions: Predictions, labels: Labels) -> dict[str, float | int | None]:
    found = evaluate_distribution(predictions, labels)
    distribution = {} if found is None else found["overall"]
    return {name: {**compute_metrics(predictions, labels), **distribution}.get(name) for _, name, _ in ROWS}


def _guarantee(faces: int) -> str:
    low, high = (percent(end, 1) for end in expected_coverage(faces, 0.9))
    return (
        "If new faces are like the labelled ones, a 90 % interval contains the age of 90 % of them, on "
        f"average over all choices of {faces:,} labelled faces. With this choice, it contains between {low} "
        f"and {high}, with a probability of {percent(CONFIDENCE)}; more labelled faces narrow this range. It "
        "holds over all faces of the source together, not for each age or group."
    )
