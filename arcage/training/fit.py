"""From a cache and labels to heads on disk, and from heads to a report."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcage.cache import CacheTable
from arcage.data.labelled import LabelledFaces
from arcage.data.sampling import Sampling
from arcage.errors import ForeignFileError, HeadsError, UsageError
from arcage.evaluation.bootstrap import intervals
from arcage.evaluation.comparison import compare
from arcage.evaluation.metrics import evaluate
from arcage.files import refuse_foreign
from arcage.heads.adapt import FORGET, adapt_heads
from arcage.heads.calibrate import COVERAGE
from arcage.heads.fit import FOLDS, Progress, Settings, fit_heads, lacking, versions
from arcage.heads.layers import gaussian
from arcage.heads.model import BATCH, Heads, Predictions
from arcage.heads.search import TRIALS, search
from arcage.heads.store import (
    ARRAYS,
    CARD,
    IMAGES,
    MANIFEST,
    are_among,
    digests,
    fitted_images,
    save_heads,
)
from arcage.heads.watch import Curves, Watch
from arcage.report import boosting_curves
from arcage.report.boosting_curves import write_curves
from arcage.text import counted, percent
from arcage.training.model_card import model_card
from arcage.types import F32, Array

if TYPE_CHECKING:
    from arcage.embedder.packs.record import Pack


_JOINED = " + "
EVERYBODY = Sampling()
SAME = 0.1
"""Maximum distance between a landmark and the same face. Half precision moves a face by 0.003 at most, and
re-encoding (JPEG of quality 50, or three quarters of the size) by 0.08; the nearest of 1,194 faces of other
data sets is at 0.22."""
FEW_COPIES = 0.1
"""Share of the faces up to which re-encoded copies are not reported: data sets contain some on both sides
of a fair split."""
CERTAIN = 7
"""Minimum expected number of landmarks among faces if all were fitted on; the probability of finding none is
then 0.1 %."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Heads and how well they do on faces that they have not seen."""

    heads: Heads
    out_of_fold: dict[str, Any]
    """Report by cross-fitting on the training faces; see :func:`arcage.evaluation.metrics.evaluate`."""
    held_out: dict[str, Any] | None
    """Report on the faces that were left out of the fit, where any were."""
    left_out: dict[str, str]
    """Why an attribute that has labels is not fitted: ``age``, ``gender``."""


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
    sampling: Sampling = EVERYBODY,
    search_seconds: float = 0,
    progress: Progress = lambda _: None,
    watch: Watch = lambda _: None,
) -> Fitted:
    """Fit heads and write them, with their model card, to a folder.

    Args:
        labels: what the labels came from, for the model card.
        holdout: share of the faces, chosen by person where known and otherwise by the image's content, that
            is left out and reported on, besides those that the labels' split holds out; see
            :meth:`~arcage.data.labelled.LabelledFaces.held_out`.
        variants: degraded descriptors of the same faces, fitted on as well; see
            :func:`arcage.heads.fit.fit_heads`.
        sampling: what is fitted on of the training part. For each of its options another fit is made without
            it, and the two are compared.
        search_seconds: how long to look for better settings, before the fit and on the faces that are fitted
            on; every trial is kept beside the heads. See :mod:`arcage.heads.search`.
        progress: told in words what is being done.
        watch: told each step of the fit. The curves of the boosting rounds are kept beside the heads.

    If only age or only gender can be fitted, the labels of the other are left out; see :class:`Fitted`.

    Raises:
        UsageError: too few labelled faces are left to fit on.
        HeadsError, OutputError: the folder cannot be written.
    """
    _check_folder(out)
    sampling.check(faces)
    aside, inside = faces.held_out(holdout), sampling.inside(faces)
    train, judged = faces.select(~aside & inside), faces.select(aside & inside)
    if not len(train):
        if not inside.all():
            raise UsageError("no face of these ages is left to fit on: widen `ages`")
        which = "the labels' split leaves none" if faces.has_split else "take a smaller `holdout`"
        raise UsageError(f"all labelled faces ({len(faces):,}) are held out; {which}")
    degraded = _degraded(train, variants)
    weight = sampling.weight(train, settings.seed)
    left_out = _cannot_be_fitted(train.select(weight > 0), settings.folds)
    faces, train, judged = (_without(some, left_out) for some in (faces, train, judged))
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
            weight=weight,
            progress=progress,
        )
        searched = {
            "trials": len(trials),
            "folds": chosen.settings.folds,
            "seconds": search_seconds,
            "chosen": chosen.number,
        }
        settings = replace(chosen.settings, folds=settings.folds)
    curves = Curves(watch)
    heads, seen = fit_heads(
        descriptors,
        train.age,
        train.gender,
        groups=persons,
        variants=degraded,
        fingerprint=fingerprint,
        settings=settings,
        weight=weight,
        watch=curves,
    )
    del descriptors, degraded
    out_of_fold = report_on(seen, train)
    held_out = None
    reported, answers = train, seen
    if len(judged):
        reported, answers = judged, answers_for(heads, judged)
        held_out = report_on(answers, judged)
    effects = {}
    for option, without in sampling.options.items():
        progress(f"the same without {option}, to see what it costs and gives")
        other = _answers_without(faces.select(~aside), judged, without, sampling, settings, variants, watch)
        effects[option] = compare(
            other,
            answers,
            reported.age,
            reported.gender,
            reported.group,
            reported.persons(),
            reported.source,
        )
    progress("confidence intervals")
    fitted = train.select(weight > 0)
    training = _training(fitted, judged, labels, holdout, faces.has_split)
    manifest = {
        **heads.manifest,
        **_of_pack(pack),
        "training": {**training, "variants": len(variants)},
        "search": searched,
        "out_of_fold": out_of_fold,
        "held_out": held_out,
        "intervals": _intervals(answers, reported),
    }
    if effects:
        manifest["sampling"] = {
            **asdict(sampling),
            "outside": int((~inside).sum()),
            "thinned": int(((weight == 0) & ~(train.weight == 0)).sum()),
            "effects": effects,
        }
    heads = replace(heads, manifest=manifest)
    save_heads(heads, out, model_card(manifest), digests(_keys(fitted)))
    if lacking := write_curves(out, curves.rows()):
        progress(lacking)
    return Fitted(heads, out_of_fold, held_out, left_out)


def _without(faces: LabelledFaces, attributes: Collection[str]) -> LabelledFaces:
    """Return the faces without the labels of some attributes."""
    unknown = np.full(len(faces), np.nan, np.float32)
    return replace(
        faces,
        age=unknown if "age" in attributes else faces.age,
        gender=unknown if "gender" in attributes else faces.gender,
    )


def _cannot_be_fitted(train: LabelledFaces, folds: int) -> dict[str, str]:
    """Return why attributes with labels cannot be fitted; raises UsageError if none can."""
    labels = {
        what: label
        for what, label in (("age", train.age), ("gender", train.gender))
        if np.isfinite(label).any()
    }
    persons = train.persons()
    reasons = {what: lacking(what, label, persons, folds) for what, label in labels.items()}
    years, counts = np.unique(train.age[np.isfinite(train.age)], return_counts=True)
    # The interval would be that age alone.
    if len(years) and counts.max() >= COVERAGE * counts.sum():
        who = "all" if len(years) == 1 else f"{counts.max():,} of {counts.sum():,}"
        same = f"{who} labelled faces have the same age, {years[counts.argmax()]:g}: add other ages"
        reasons["age"] = reasons["age"] or same
    reasons = {what: reason for what, reason in reasons.items() if reason}
    if reasons and len(reasons) == len(labels):
        raise UsageError("; ".join(reasons.values()))
    return reasons


def _degraded(faces: LabelledFaces, variants: Sequence[CacheTable]) -> list[F32]:
    out = []
    for number, table in enumerate(variants, 1):
        x, has = faces.descriptors_in(table)
        if has.mean() < 0.5:
            raise UsageError(
                f"the cache has variant {number} of {percent(has.mean())} of the faces only: run "
                f"`arcage extract` with `augment` {len(variants)} on the same images first"
            )
        out.append(x)
    return out


def _answers_without(
    training: LabelledFaces,
    judged: LabelledFaces,
    without: Sampling,
    sampling: Sampling,
    settings: Settings,
    variants: Sequence[CacheTable],
    watch: Watch,
) -> Predictions:
    """What heads of another sampling say of the same faces: of those judged, or else of those of the training
    part that ``sampling`` has, each without having seen it."""
    train = training.select(without.inside(training))
    heads, seen = fit_heads(
        train.descriptors(),
        train.age,
        train.gender,
        groups=train.persons(),
        variants=_degraded(train, variants),
        fingerprint="",
        settings=settings,
        weight=without.weight(train, settings.seed),
        watch=watch,
    )
    if len(judged):
        return answers_for(heads, judged)
    here = sampling.inside(train)
    return Predictions(*(getattr(seen, field.name)[here] for field in fields(seen)))


@dataclass(frozen=True, slots=True)
class Refitted:
    """Adapted heads, and comparisons with what they were adapted from (A before, B after), as
    :func:`arcage.evaluation.comparison.compare` gives them."""

    heads: Heads
    own: dict[str, Any]
    """On the user's faces: those held out, or else all, each by models that did not see it."""
    rest: dict[str, Any] | None
    """On other faces, where any were given."""
    notes: tuple[str, ...]
    """What is to be said about what the old heads know, and what the new ones forget."""


def adapt_labelled(
    faces: LabelledFaces,
    *,
    base: Heads,
    called: str,
    pack: Pack,
    labels: str,
    out: Path,
    holdout: float = 0.0,
    rest: LabelledFaces | None = None,
    rest_labels: str = "",
    forget: float | None = None,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> Refitted:
    """Adapt heads to labelled faces and write them, with their model card, to a folder.

    Args:
        base, called: the heads to start from, and their name for the model card.
        labels, holdout: as for :func:`fit_labelled`.
        rest: faces of other sources, by which the heads are only judged. Of those that the old heads may know
            by their labels' name, only the ones that these held out, where they did. Faces that are among
            ``faces`` do not count.
        forget: as for :func:`arcage.heads.adapt.adapt_heads`.

    Raises:
        UsageError: the heads cannot be adapted, or too few labelled faces are left.
        HeadsError, OutputError: the folder cannot be written.
    """
    _check_folder(out)
    aside = faces.held_out(holdout)
    train, judged = faces.select(~aside), faces.select(aside)
    if not len(train):
        raise UsageError(f"all labelled faces ({len(faces):,}) are held out; take a smaller `holdout`")
    others, note = _rest(base, rest, rest_labels, faces) if rest is not None else (None, "")
    x, persons = train.descriptors(), train.persons()
    heads, seen, told = adapt_heads(
        base, x, train.age, train.gender, groups=persons, forget=forget, seed=seed, progress=progress
    )
    notes = [note] if note else []
    if known := fitted_words(base, judged if len(judged) else train, labels, holdout, faces.has_split):
        notes = [f"the old heads {known}: their metrics before are too optimistic", *notes]
    if ages := told.get("age"):
        if others is None:
            notes.append(
                f"without `reference`: of {counted(ages['landmarks'], 'face')} that the old heads keep, the "
                f"ages move by {ages['moved']:.2f} years on average"
            )
        if forget is None and ages["moved"] > 0.99 * FORGET:
            notes.append(
                f"held back, so that the ages move by {FORGET:g} years at most: with more (`forget` YEARS) "
                "these faces may gain, and others lose"
            )
    out_of_fold = report_on(seen, train)
    if len(judged):
        own = compare_labelled(base, heads, judged)
    else:
        own = compare(base.predict(x), seen, train.age, train.gender, train.group, persons, train.source)
    compared = compare_labelled(base, heads, others) if others is not None else None
    answers = answers_for(heads, judged) if len(judged) else seen
    manifest = {
        "settings": {**asdict(Settings(seed=seed)), **_part(base, "settings"), "folds": FOLDS},
        "versions": versions(),
        **_of_pack(pack),
        "training": _training(train, judged, labels, holdout, faces.has_split),
        "search": None,
        "out_of_fold": out_of_fold,
        "held_out": report_on(answers, judged) if len(judged) else None,
        "intervals": _intervals(answers, judged if len(judged) else train),
        "adapted": {
            "from": called,
            "training": _part(base, "training"),
            "forget": forget,
            **told,
            "own": own,
            "rest": compared,
        },
    }
    heads = replace(heads, manifest=manifest, folder=None)
    before = fitted_images(base)
    images = None if before is None else np.unique([*before, *digests(_keys(train))], axis=0)
    save_heads(heads, out, model_card(manifest), images)
    write_curves(out, [])  # of heads that were there before
    return Refitted(heads, own, compared, tuple(notes))


def _rest(base: Heads, rest: LabelledFaces, labels: str, own: LabelledFaces) -> tuple[LabelledFaces, str]:
    others = rest.select(~np.isin(rest.sha256(), own.sha256()))
    note = ""
    images = fitted_images(base)
    if images is not None:
        known = are_among(_keys(others), images)
        if known.any() and known.all():
            note = "the old heads were fitted on the rest: its figures are too good, before and after"
        else:
            others = others.select(~known)
    elif fitted_on(base, labels, 0):
        training = base.manifest["training"]
        share, split = float(training.get("held_out_share") or 0), others.has_split
        if fitted_on(base, labels, share, split):
            note = "the old heads were fitted on the rest: its figures are too good, before and after"
        else:
            others = others.select(others.held_out(share))
    if not len(others):
        raise UsageError("no face of `reference` is left that the heads can be judged by: give other ones")
    return others, note


def only(faces: LabelledFaces, attribute: str) -> LabelledFaces:
    """The faces with a label of one attribute, and no other label.

    Args:
        attribute: ``age`` or ``gender``.
    """
    if attribute == "age":
        return _without(faces, ["gender"]).select(np.isfinite(faces.age))
    return _without(faces, ["age"]).select(np.isfinite(faces.gender))


def _of_pack(pack: Pack) -> dict[str, Any]:
    """What the manifest says of the models."""
    return {
        "pack": pack.name,
        "models": [m.name for m in pack.models],
        "research_only": pack.research_only,
    }


def _part(heads: Heads, name: str) -> dict[str, Any]:
    """A part of a manifest that may not be of our making; empty where it is none."""
    part = heads.manifest.get(name)
    return part if isinstance(part, dict) else {}


def _training(
    train: LabelledFaces, held_out: LabelledFaces, labels: str, holdout: float, split: bool
) -> dict[str, Any]:
    """What the manifest says of the faces."""
    known = train.age[np.isfinite(train.age)]
    return {
        "labels": labels,
        "faces": len(train),
        "variants": 0,
        "ages": [float(known.min()), float(known.max())] if len(known) else None,
        "held_out": len(held_out),
        "held_out_share": holdout,
        "split": split,
        "sources": _sizes(train.source),
        "images": asdict(train.counts),
    }


def fitted_on(heads: Heads, labels: str, holdout: float, split: bool = False) -> bool:
    """Whether heads, or those that they were adapted from, may have been fitted on the faces that they are to
    be judged by: on labels of the same name, without leaving out the share, or the ``split``, that is asked
    for.

    Args:
        labels: names, joined as :func:`join_names_of_labels` joins them.
    """
    trainings = [heads.manifest.get("training"), _part(heads, "adapted").get("training")]
    return any(_trained_on(training, labels, holdout, split) for training in trainings)


def _trained_on(training: object, labels: str, holdout: float, split: bool) -> bool:
    if not isinstance(training, dict):
        return False
    fitted = training.get("labels")
    if not isinstance(fitted, str) or not set(fitted.split(_JOINED)) & set(labels.split(_JOINED)):
        return False
    if split != bool(training.get("split")):
        return True
    share = training.get("held_out_share")
    return not (isinstance(share, int | float) and (holdout > 0 or split) and holdout <= share)


def fitted_words(heads: Heads, faces: LabelledFaces, labels: str, holdout: float, split: bool = False) -> str:
    """Return on how many of the faces heads were fitted, as in ``were fitted on 120 of these 400 faces``;
    empty for none.

    Heads recognise faces by the digests of their images; heads of older versions have no digests. The number
    of re-encoded copies is estimated from the landmarks of the kernel stage among the other faces. If too few
    landmarks are expected and there are no digests, the name of the labels decides, as in :func:`fitted_on`.
    """
    images = fitted_images(heads)
    same = np.zeros(len(faces), bool) if images is None else are_among(_keys(faces), images)
    others, known = faces.select(~same), int(same.sum())
    found, share = _landmarks_among(heads, others)
    copies = min(len(others), round(found / share)) if found else 0
    if copies and (images is None or copies >= FEW_COPIES * len(others)):
        about = f"were fitted on about {known + copies:,} of these {len(faces):,} faces"
        return about if images is None else f"{about}, some as re-encoded copies"
    if known:
        return f"were fitted on {known:,} of these {len(faces):,} faces"
    if images is None and share * len(faces) < CERTAIN and fitted_on(heads, labels, holdout, split):
        return "were fitted on labels of this name, which may be these images"
    return ""


def _landmarks_among(heads: Heads, faces: LabelledFaces) -> tuple[int, float]:
    """Return the number of landmarks among the faces, and the share of landmarks among training faces."""
    model = heads.age or heads.gender
    training = _part(heads, "adapted").get("training") or _part(heads, "training")
    size = training.get("faces") if isinstance(training, dict) else None
    if model is None or not model.stack.kernels or not isinstance(size, int) or size < 1:
        return 0, 0.0
    kernel = model.stack.kernels[0]
    times = training.get("variants")
    rows = size * (1 + (times if isinstance(times, int) else 0))
    x = faces.descriptors()
    found = 0
    for start in range(0, len(x), BATCH):
        near = gaussian(kernel.project(x[start : start + BATCH]), kernel.landmarks)
        found += int((near.max(axis=1) > np.exp(-(SAME**2))).sum())
    return found, min(1.0, len(kernel.landmarks) / rows)


def _keys(faces: LabelledFaces) -> Array:
    return faces.table.keys[faces.rows]


def join_names_of_labels(labels: Sequence[str]) -> str:
    """What labels came from, in words: where a file lies is nobody's business."""
    return _JOINED.join(Path(name).name for name in labels)


def _sizes(source: Array) -> dict[str, int]:
    """How many faces came from each of several sources."""
    names, counts = np.unique(source, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True)) if len(names) > 1 else {}


def check_heads_folder(folder: Path) -> None:
    """Check whether heads may be written to a folder: an empty one, or one with heads.

    Raises:
        ForeignFileError: it contains something else.
    """
    if not os.path.isdir(folder):
        return
    refuse_foreign(rb'"arrays": \{\s*"file": "heads.npz"', folder / MANIFEST)
    refuse_foreign(rb"\A# Model card: age and gender heads\r?\n", folder / CARD)
    refuse_foreign(rb'\A\{"curves": \[', folder / boosting_curves.JSON)
    # A stopped fit may have left files without a manifest.
    ours = {
        MANIFEST,
        ARRAYS,
        CARD,
        IMAGES,
        TRIALS,
        boosting_curves.JSON,
        boosting_curves.PNG,
        boosting_curves.EVENTS,
    }
    if not os.path.exists(folder / MANIFEST) and any(
        path.name not in ours and not path.name.startswith(".") for path in folder.iterdir()
    ):
        raise ForeignFileError(folder)


def _check_folder(folder: Path) -> None:
    """Ask before a fit, which takes minutes, whether its heads can be written."""
    there = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p) or not p.name)
    if not os.path.isdir(there):
        raise HeadsError(f"cannot write heads to {folder}: {there} is not a folder; choose another `out`")
    if not os.access(there, os.W_OK):
        raise HeadsError(f"cannot write heads to {folder}: {there} is read-only; choose another `out`")


def evaluate_labelled(heads: Heads, faces: LabelledFaces) -> dict[str, Any]:
    """The heads' report on labelled faces, as :func:`arcage.evaluation.metrics.evaluate` gives it."""
    return report_on(answers_for(heads, faces), faces)


def answers_for(heads: Heads, faces: LabelledFaces) -> Predictions:
    """The heads' answers for labelled faces, in their order."""
    return heads.predict(faces.table.descriptors(faces.rows))


def report_on(answers: Predictions, faces: LabelledFaces) -> dict[str, Any]:
    """What answers are worth by the faces' labels, as :func:`arcage.evaluation.metrics.evaluate` gives it."""
    return evaluate(answers, faces.age, faces.gender, faces.group, faces.source)


def _intervals(answers: Predictions, faces: LabelledFaces) -> dict[str, Any]:
    return intervals(answers, faces.age, faces.gender, faces.group, faces.persons(), faces.source)


def compare_labelled(a: Heads, b: Heads, faces: LabelledFaces) -> dict[str, Any]:
    """Two heads on the same labelled faces, as :func:`arcage.evaluation.comparison.compare` gives it."""
    x = faces.table.descriptors(faces.rows)
    return compare(
        a.predict(x), b.predict(x), faces.age, faces.gender, faces.group, faces.persons(), faces.source
    )
