"""From a cache and labels to heads on disk, and from heads to a report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcage.card import model_card
from arcage.data.labelled import LabelledFaces
from arcage.heads.evaluate import evaluate
from arcage.heads.fit import Progress, Settings, fit_heads
from arcage.heads.model import Heads, Predictions
from arcage.heads.store import save_heads

if TYPE_CHECKING:
    from arcage.embedder.packs import Pack


@dataclass(frozen=True, slots=True)
class Fitted:
    """Heads and how well they do on faces that they have not seen."""

    heads: Heads
    out_of_fold: dict[str, Any]
    """Report by cross-fitting on the training faces; see :func:`arcage.heads.evaluate.evaluate`."""
    held_out: dict[str, Any] | None
    """Report on the faces that were left out of the fit, where any were."""


def fit_labelled(
    faces: LabelledFaces,
    *,
    pack: Pack,
    fingerprint: str,
    labels: str,
    out: Path,
    settings: Settings,
    holdout: float = 0.0,
    progress: Progress = lambda _: None,
) -> Fitted:
    """Fit heads and write them, with their model card, to a folder.

    Args:
        labels: what the labels came from, for the model card.
        holdout: share of the images, chosen by their content, that is left out and reported on.

    Raises:
        UsageError: there are too few labelled faces.
        HeadsError, OutputError: the folder cannot be written.
    """
    aside = faces.held_out(holdout)
    train = faces.select(~aside)
    heads, seen = fit_heads(
        train.descriptors(),
        train.age,
        train.gender,
        groups=train.person if train.person.size and (train.person != "").all() else None,
        fingerprint=fingerprint,
        settings=settings,
        progress=progress,
    )
    out_of_fold = evaluate(
        Predictions(seen.age, seen.age_low, seen.age_high, seen.p_female),
        train.age,
        train.gender,
        train.group,
    )
    held_out = evaluate_labelled(heads, faces.select(aside)) if aside.any() else None
    known = train.age[np.isfinite(train.age)]
    manifest = {
        **heads.manifest,
        "pack": pack.name,
        "models": [m.name for m in pack.models],
        "research_only": pack.research_only,
        "training": {
            "labels": labels,
            "faces": len(train),
            "ages": [float(known.min()), float(known.max())] if len(known) else None,
            "held_out_share": holdout,
            "images": asdict(faces.counts),
        },
        "out_of_fold": out_of_fold,
        "held_out": held_out,
    }
    heads = Heads(heads.fingerprint, heads.dimension, heads.age, heads.gender, manifest)
    save_heads(heads, out, model_card(manifest))
    return Fitted(heads, out_of_fold, held_out)


def evaluate_labelled(heads: Heads, faces: LabelledFaces) -> dict[str, Any]:
    """The heads' report on labelled faces, as :func:`arcage.heads.evaluate.evaluate` gives it."""
    answers = heads.predict(faces.table.descriptors(faces.rows))
    return evaluate(answers, faces.age, faces.gender, faces.group)
