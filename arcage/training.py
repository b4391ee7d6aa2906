"""From a cache and labels to heads on disk, and from heads to a report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcage.cache import CacheTable
from arcage.card import model_card
from arcage.data.labelled import LabelledFaces
from arcage.errors import HeadsError, UsageError
from arcage.heads.compare import compare
from arcage.heads.evaluate import evaluate
from arcage.heads.fit import Progress, Settings, fit_heads
from arcage.heads.model import Heads
from arcage.heads.search import TRIALS, search
from arcage.heads.store import save_heads
from arcage.types import Array

if TYPE_CHECKING:
    from arcage.embedder.packs import Pack


_JOINED = " + "


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
    variants: Sequence[CacheTable] = (),
    search_seconds: float = 0,
    progress: Progress = lambda _: None,
) -> Fitted:
    """Fit heads and write them, with their model card, to a folder.

    Args:
        labels: what the labels came from, for the model card.
        holdout: share of the faces, chosen by person where known and otherwise by the image's content, that
            is left out and reported on, besides those that the labels' split holds out; see
            :meth:`~arcage.data.labelled.LabelledFaces.held_out`.
        variants: degraded descriptors of the same faces, fitted on as well; see
            :func:`arcage.heads.fit.fit_heads`.
        search_seconds: how long to look for better settings, before the fit and on the faces that are fitted
            on; every trial is kept beside the heads. See :mod:`arcage.heads.search`.

    Raises:
        UsageError: too few labelled faces are left to fit on.
        HeadsError, OutputError: the folder cannot be written.
    """
    _check_folder(out)
    aside = faces.held_out(holdout)
    train = faces.select(~aside)
    if not len(train):
        which = "the labels' split leaves none" if faces.has_split else "take a smaller --holdout"
        raise UsageError(f"all {len(faces):,} labelled faces are held out; {which}")
    degraded = []
    for number, table in enumerate(variants, 1):
        x, has = train.descriptors_in(table)
        if has.mean() < 0.5:
            raise UsageError(
                f"the cache has variant {number} of {has.mean():.0%} of the faces only: run `arcage extract` "
                f"with --augment {len(variants)} on the same images first"
            )
        degraded.append(x)
    descriptors, persons = train.descriptors(), train.persons()
    searched = None
    if search_seconds:
        chosen, trials = search(
            descriptors,
            train.age,
            train.gender,
            settings=settings,
            seconds=search_seconds,
            file=out / TRIALS,
            groups=persons,
            variants=degraded,
            progress=progress,
        )
        searched = {
            "trials": len(trials),
            "folds": chosen.settings.folds,
            "seconds": search_seconds,
            "chosen": chosen.number,
        }
        settings = replace(chosen.settings, folds=settings.folds)
    heads, seen = fit_heads(
        descriptors,
        train.age,
        train.gender,
        groups=persons,
        variants=degraded,
        fingerprint=fingerprint,
        settings=settings,
        progress=progress,
    )
    out_of_fold = evaluate(seen, train.age, train.gender, train.group, train.source)
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
            "variants": len(variants),
            "ages": [float(known.min()), float(known.max())] if len(known) else None,
            "held_out": int(aside.sum()),
            "held_out_share": holdout,
            "split": faces.has_split,
            "sources": _sizes(train.source),
            "images": asdict(faces.counts),
        },
        "search": searched,
        "out_of_fold": out_of_fold,
        "held_out": held_out,
    }
    heads = Heads(heads.fingerprint, heads.dimension, heads.age, heads.gender, manifest)
    save_heads(heads, out, model_card(manifest))
    return Fitted(heads, out_of_fold, held_out)


def fitted_on(heads: Heads, labels: str, holdout: float, split: bool = False) -> bool:
    """Whether heads may have been fitted on the faces that they are to be judged by: on labels of the same
    name, without leaving out the share, or the ``split``, that is asked for.

    Args:
        labels: names, joined as :func:`join_names_of_labels` joins them.
    """
    training = heads.manifest.get("training")
    if not isinstance(training, dict):
        return False
    fitted = training.get("labels")
    if not isinstance(fitted, str) or not set(fitted.split(_JOINED)) & set(labels.split(_JOINED)):
        return False
    if split != bool(training.get("split")):
        return True
    share = training.get("held_out_share")
    return not (isinstance(share, int | float) and (holdout > 0 or split) and holdout <= share)


def fitted_on_warning(heads: Heads, labels: str, holdout: float, split: bool = False) -> str:
    """What to say where :func:`fitted_on` is true; empty where it is not."""
    if not fitted_on(heads, labels, holdout, split):
        return ""
    return (
        "the heads were fitted on labels of this name: if on these images, the figures are too good; "
        "fit and evaluate with the same --holdout for honest ones"
    )


def join_names_of_labels(labels: Sequence[str]) -> str:
    """What labels came from, in words: where a file lies is nobody's business."""
    return _JOINED.join(Path(name).name for name in labels)


def _sizes(source: Array) -> dict[str, int]:
    """How many faces came from each of several sources."""
    names, counts = np.unique(source, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True)) if len(names) > 1 else {}


def _check_folder(folder: Path) -> None:
    """Ask before a fit, which takes minutes, whether its heads can be written."""
    there = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p) or not p.name)
    if not os.path.isdir(there):
        raise HeadsError(f"cannot write heads to {folder}: {there} is not a folder; choose another --out")
    if not os.access(there, os.W_OK):
        raise HeadsError(f"cannot write heads to {folder}: {there} is read-only; choose another --out")


def evaluate_labelled(heads: Heads, faces: LabelledFaces) -> dict[str, Any]:
    """The heads' report on labelled faces, as :func:`arcage.heads.evaluate.evaluate` gives it."""
    answers = heads.predict(faces.table.descriptors(faces.rows))
    return evaluate(answers, faces.age, faces.gender, faces.group, faces.source)


def compare_labelled(a: Heads, b: Heads, faces: LabelledFaces) -> dict[str, Any]:
    """Two heads on the same labelled faces, as :func:`arcage.heads.compare.compare` gives it."""
    x = faces.table.descriptors(faces.rows)
    return compare(
        a.predict(x), b.predict(x), faces.age, faces.gender, faces.group, faces.persons(), faces.source
    )
