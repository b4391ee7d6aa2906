"""Fit heads on labelled faces, and write them to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from arcage.cache import CacheTable
from arcage.data.labelled import LabelledFaces
from arcage.data.sampling import Sampling
from arcage.errors import UsageError
from arcage.evaluation.assurance import age_assurance
from arcage.evaluation.assurance_text import summary
from arcage.evaluation.bootstrap import intervals
from arcage.evaluation.comparison import compare
from arcage.evaluation.distribution import evaluate_distribution
from arcage.evaluation.metrics import evaluate
from arcage.heads.callbacks import Callback, LossCurves, Report
from arcage.heads.fit import FittedHeads, fit_heads
from arcage.heads.model import Heads, Predictions
from arcage.heads.search import TRIALS, search
from arcage.heads.settings import Settings
from arcage.heads.store import digests, save_heads
from arcage.heads.task import Attribute, same_age, why_not_fitted
from arcage.report.boosting_curves import write_curves
from arcage.text import percent
from arcage.training.evaluate import predict_labelled
from arcage.training.folder import check_writable
from arcage.training.manifest import pack_section, training_section
from arcage.training.model_card import model_card
from arcage.training.options import FitOptions
from arcage.types import F32, Array, Labels


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Heads and their errors on faces that they have not seen."""

    heads: Heads
    out_of_fold: dict[str, Any]
    """Report on the training faces, out of fold; see :func:`arcage.evaluation.metrics.evaluate`."""
    held_out: dict[str, Any] | None
    """Report on the held-out faces, if there are any."""
    left_out: dict[str, str]
    """Why an attribute (``age``, ``gender``) that has labels is not fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class _Faces:
    """Labelled faces, divided for a fit."""

    train: LabelledFaces
    held_out: LabelledFaces
    pool: LabelledFaces
    """All faces that are not held out, including those that the sampling excludes by age."""
    weight: F32
    """Shape (len(train),); see :meth:`arcage.data.sampling.Sampling.weight`."""
    outside: int
    """Number of faces that the sampling excludes by age."""
    left_out: dict[str, str]
    """As in :class:`Fitted`; these labels are removed."""

    @property
    def fitted(self) -> LabelledFaces:
        """The training faces that have a weight."""
        return self.train.select(self.weight > 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """A fit and its settings."""

    fitted: FittedHeads
    settings: Settings
    search: dict[str, Any] | None
    """The manifest's description of the search."""


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluated:
    """Predictions for the held-out faces, or else out-of-fold predictions for the training faces."""

    predictions: Predictions
    labels: Labels


def fit_labelled(
    faces: LabelledFaces,
    options: FitOptions,
    *,
    report: Report = lambda _: None,
    callback: Callback = lambda _: None,
) -> Fitted:
    """Fit heads, and write them with their model card to a folder.

    If only age or only gender can be fitted, the labels of the other are ignored; see :class:`Fitted`.

    Args:
        report: called with progress messages.
        callback: called after each step of the fit. The loss curves are written to the folder of the heads.

    Raises:
        UsageError: too few labelled faces are left to fit on.
        HeadsError, OutputError: the folder cannot be written.
    """
    check_writable(options.out)
    options.sampling.check(faces)
    parts = _divide(faces, options)
    curves = LossCurves(callback)
    result = _fit(parts, options, report, curves)
    heads, predictions = result.fitted
    labels = parts.train.labels()
    out_of_fold = evaluate(predictions, labels)
    evaluated, held_out = _Evaluated(predictions, labels), None
    if len(parts.held_out):
        evaluated = _Evaluated(predict_labelled(heads, parts.held_out), parts.held_out.labels())
        held_out = evaluate(evaluated.predictions, evaluated.labels)
    effects = {}
    for option, sampling in options.sampling.options.items():
        report(f"fitting without {option}, for comparison")
        other = _predict_with(sampling, parts, options, result.settings, callback)
        effects[option] = compare(other, evaluated.predictions, evaluated.labels)
    report("confidence intervals")
    fitted = parts.fitted
    training = training_section(fitted, parts.held_out, options.labels, options.holdout, faces.has_split)
    checks = age_assurance(evaluated.predictions, evaluated.labels, training["images"])
    manifest = {
        **heads.manifest,
        **pack_section(options.pack),
        "training": {**training, "variants": len(options.variants)},
        "search": result.search,
        "out_of_fold": out_of_fold,
        "held_out": held_out,
        "intervals": intervals(evaluated.predictions, evaluated.labels),
        "distribution": evaluate_distribution(evaluated.predictions, evaluated.labels),
        "age_assurance": checks and summary(checks),
    }
    if effects:
        thinned = (parts.weight == 0) & ~(parts.train.weight == 0)
        manifest["sampling"] = {
            **asdict(options.sampling),
            "outside": parts.outside,
            "thinned": int(thinned.sum()),
            "effects": effects,
        }
    heads = replace(heads, manifest=manifest)
    save_heads(heads, options.out, model_card(manifest), digests(fitted.keys()))
    if missing := write_curves(options.out, curves.rows()):
        report(missing)
    return Fitted(heads, out_of_fold, held_out, parts.left_out)


def _divide(faces: LabelledFaces, options: FitOptions) -> _Faces:
    held_out, inside = faces.held_out(options.holdout), options.sampling.inside(faces)
    train = faces.select(~held_out & inside)
    if not len(train):
        if not inside.all():
            raise UsageError("no face of these ages is left to fit on: widen `ages`")
        which = "the labels' split leaves none" if faces.has_split else "take a smaller `holdout`"
        raise UsageError(f"all labelled faces ({len(faces):,}) are held out; {which}")
    weight = options.sampling.weight(train, options.settings.seed)
    left_out = _not_fitted(train.select(weight > 0), options.settings.folds)
    return _Faces(
        train.without(left_out),
        faces.select(held_out & inside).without(left_out),
        faces.select(~held_out).without(left_out),
        weight,
        int((~inside).sum()),
        left_out,
    )


def _not_fitted(train: LabelledFaces, folds: int) -> dict[str, str]:
    """Return why attributes with labels cannot be fitted.

    Raises:
        UsageError: none can be fitted.
    """
    labels = train.labels()
    columns: dict[Attribute, Array] = {"age": labels.age, "gender": labels.gender}
    reasons = {
        attribute: why_not_fitted(attribute, labels, folds)
        for attribute, column in columns.items()
        if np.isfinite(column).any()
    }
    labelled = len(reasons)
    if same := same_age(labels):
        reasons["age"] = reasons["age"] or same
    found: dict[str, str] = {attribute: reason for attribute, reason in reasons.items() if reason}
    if found and len(found) == labelled:
        raise UsageError("; ".join(found.values()))
    return found


def _fit(parts: _Faces, options: FitOptions, report: Report, callback: Callback) -> _Result:
    """Fit the heads, after a search for settings if requested."""
    settings, searched = options.settings, None
    variants = _variants(parts.train, options.variants)
    x, labels = parts.train.descriptors(), parts.train.labels()
    if options.search_seconds:
        chosen, trials = search(
            x,
            labels,
            settings=settings,
            seconds=options.search_seconds,
            file=options.out / TRIALS,
            variants=variants,
            weight=parts.weight,
            report=report,
        )
        searched = {
            "trials": len(trials),
            "folds": chosen.settings.folds,
            "seconds": options.search_seconds,
            "chosen": chosen.number,
        }
        settings = replace(chosen.settings, folds=settings.folds)
    fitted = fit_heads(
        x,
        labels,
        fingerprint=options.fingerprint,
        settings=settings,
        variants=variants,
        weight=parts.weight,
        callback=callback,
    )
    return _Result(fitted, settings, searched)


def _variants(faces: LabelledFaces, tables: Sequence[CacheTable]) -> list[F32]:
    """Return the descriptors of the faces' degraded variants.

    Raises:
        UsageError: a cache lacks the variants of most faces.
    """
    out = []
    for number, table in enumerate(tables, 1):
        x, has = faces.descriptors_in(table)
        if has.mean() < 0.5:
            raise UsageError(
                f"the cache has variant {number} of {percent(has.mean())} of the faces only: run "
                f"`arcage extract` with `augment` {len(tables)} on the same images first"
            )
        out.append(x)
    return out


def _predict_with(
    sampling: Sampling, parts: _Faces, options: FitOptions, settings: Settings, callback: Callback
) -> Predictions:
    """Return predictions for the evaluated faces by heads that are fitted with another sampling."""
    train = parts.pool.select(sampling.inside(parts.pool))
    heads, out_of_fold = fit_heads(
        train.descriptors(),
        train.labels(),
        fingerprint="",
        settings=settings,
        variants=_variants(train, options.variants),
        weight=sampling.weight(train, settings.seed),
        callback=callback,
    )
    if len(parts.held_out):
        return predict_labelled(heads, parts.held_out)
    return out_of_fold.select(options.sampling.inside(train))
