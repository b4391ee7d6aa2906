"""Adapt heads to labelled faces from a new source, and write them to a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arcage.data.labelled import LabelledFaces
from arcage.errors import UsageError
from arcage.evaluation.bootstrap import intervals
from arcage.evaluation.comparison import compare
from arcage.evaluation.distribution import evaluate_distribution
from arcage.evaluation.metrics import evaluate
from arcage.heads.adapt import MAX_SHIFT, AdaptedHeads, adapt_heads
from arcage.heads.callbacks import Report
from arcage.heads.model import Heads
from arcage.heads.settings import FOLDS, Settings, versions
from arcage.heads.store import are_among, digests, fitted_images, save_heads
from arcage.report.boosting_curves import write_curves
from arcage.text import counted
from arcage.training.evaluate import compare_labelled, predict_labelled
from arcage.training.folder import check_writable
from arcage.training.manifest import pack_section, section, training_section
from arcage.training.model_card import model_card
from arcage.training.options import AdaptOptions
from arcage.training.overlap import fitted_on, fitted_words

KNOWN_REFERENCE = (
    "the old heads were fitted on the reference set: its metrics are too optimistic, before and after"
)


@dataclass(frozen=True, slots=True, eq=False)
class AdaptResult:
    """Adapted heads, with comparisons of the old heads (A) and the adapted ones (B).

    The comparisons are as returned by :func:`arcage.evaluation.comparison.compare`.
    """

    heads: Heads
    new: dict[str, Any]
    """On the new faces: the held-out ones, or else all, out of fold."""
    reference: dict[str, Any] | None
    """On the reference set, if there is one."""
    notes: tuple[str, ...]
    """Notes for the user on the faces that the old heads were fitted on, and on how far ages moved."""


def adapt_labelled(
    faces: LabelledFaces, options: AdaptOptions, *, report: Report = lambda _: None
) -> AdaptResult:
    """Adapt heads to labelled faces, and write them with their model card to a folder.

    Args:
        report: called with progress messages.

    Raises:
        UsageError: the heads cannot be adapted, or too few labelled faces are left.
        HeadsError, OutputError: the folder cannot be written.
    """
    check_writable(options.out)
    base = options.base
    mask = faces.held_out(options.holdout)
    train, held_out = faces.select(~mask), faces.select(mask)
    if not len(train):
        raise UsageError(f"all labelled faces ({len(faces):,}) are held out; take a smaller `holdout`")
    reference, note = _reference(options, faces)
    x, labels = train.descriptors(), train.labels()
    adapted = adapt_heads(base, x, labels, forget=options.forget, seed=options.seed, report=report)
    if len(held_out):
        evaluated, predictions = held_out, predict_labelled(adapted.heads, held_out)
        new = compare_labelled(base, adapted.heads, held_out)
    else:
        evaluated, predictions = train, adapted.out_of_fold
        new = compare(base.predict(x), predictions, labels)
    compared = compare_labelled(base, adapted.heads, reference) if reference is not None else None
    evaluated_labels = evaluated.labels()
    manifest = {
        "settings": {
            **Settings(seed=options.seed).as_json(),
            **section(base, "settings"),
            "folds": FOLDS,
        },
        "versions": versions(),
        **pack_section(options.pack),
        "training": training_section(train, held_out, options.labels, options.holdout, faces.has_split),
        "search": None,
        "out_of_fold": evaluate(adapted.out_of_fold, labels),
        "held_out": evaluate(predictions, evaluated_labels) if len(held_out) else None,
        "intervals": intervals(predictions, evaluated_labels),
        "distribution": evaluate_distribution(predictions, evaluated_labels),
        "adapted": {
            "from": options.base_name,
            "training": section(base, "training"),
            "forget": options.forget,
            **{name: one.as_json() for name, one in adapted.attributes.items()},
            "own": new,
            "rest": compared,
        },
    }
    heads = replace(adapted.heads, manifest=manifest, folder=None)
    before = fitted_images(base)
    images = None if before is None else np.unique([*before, *digests(train.keys())], axis=0)
    # Before the folder is written: it may be that of the base heads.
    notes = _notes(options, evaluated, faces.has_split, note, adapted)
    save_heads(heads, options.out, model_card(manifest), images)
    write_curves(options.out, [])  # Remove those of previous heads.
    return AdaptResult(heads, new, compared, notes)


def _notes(
    options: AdaptOptions,
    evaluated: LabelledFaces,
    has_split: bool,
    reference_note: str,
    adapted: AdaptedHeads,
) -> tuple[str, ...]:
    notes = [reference_note] if reference_note else []
    if known := fitted_words(options.base, evaluated, options.labels, options.holdout, has_split):
        notes = [f"the old heads {known}: their metrics before are too optimistic", *notes]
    if age := adapted.attributes.get("age"):
        if options.reference is None:
            notes.append(
                f"without a reference set: the predicted ages of {counted(age.centers, 'face')} from the old "
                f"source move by {age.moved:.2f} years on average"
            )
        if options.forget is None and age.moved > 0.99 * MAX_SHIFT:
            notes.append(
                f"the correction is held back, so that ages of the old source move by {MAX_SHIFT:g} years at "
                "most: with more (`forget`) the new faces may gain, and others lose"
            )
    return tuple(notes)


def _reference(options: AdaptOptions, faces: LabelledFaces) -> tuple[LabelledFaces | None, str]:
    """Return the reference faces that the old heads were not fitted on, and a note if there are only
    others."""
    if options.reference is None:
        return None, ""
    base, labels = options.base, options.reference_labels
    others = options.reference.select(~np.isin(options.reference.sha256(), faces.sha256()))
    note = ""
    images = fitted_images(base)
    if images is not None:
        known = are_among(others.keys(), images)
        if known.any() and known.all():
            note = KNOWN_REFERENCE
        else:
            others = others.select(~known)
    elif fitted_on(base, labels, 0):
        training = base.manifest["training"]
        share = float(training.get("held_out_share") or 0)
        if fitted_on(base, labels, share, others.has_split):
            note = KNOWN_REFERENCE
        else:
            others = others.select(others.held_out(share))
    if not len(others):
        raise UsageError(
            "no face of the reference set is left to compare the heads on: give a set of other faces"
        )
    return others, note
