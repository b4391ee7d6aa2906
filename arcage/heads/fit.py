"""Fit age and gender heads on labelled descriptors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from arcage.errors import UsageError
from arcage.heads.boosting import load_lightgbm
from arcage.heads.callbacks import Callback
from arcage.heads.fit_age import fit_age
from arcage.heads.fit_familiarity import fit_familiarity
from arcage.heads.fit_gender import fit_gender
from arcage.heads.model import AgeModel, GenderModel, Heads, Predictions, ages
from arcage.heads.settings import Settings, versions
from arcage.heads.task import MIN_FACES, NO_WEIGHT, Attribute, Task, check_labels, make_task, split_folds
from arcage.types import F32, Array, Labels

MAX_WEIGHT_RATIO = 1e6
"""Maximum ratio of two weights; beyond it, rounding errors dominate."""


class FittedHeads(NamedTuple):
    """The result of a fit."""

    heads: Heads
    out_of_fold: Predictions
    """For each face by models that have not seen it; NaN where unlabelled."""


def fit_heads(
    x: F32,
    labels: Labels,
    *,
    fingerprint: str,
    settings: Settings | None = None,
    variants: Sequence[F32] = (),
    weight: F32 | None = None,
    min_faces: int = MIN_FACES,
    callback: Callback | None = None,
) -> FittedHeads:
    """Fit age and gender heads. Attributes without labels are omitted.

    Args:
        x: shape (n, dimension), float32: descriptors of one pipeline, one row per face.
        labels: of the n faces. All faces of a person are in the same fold.
        fingerprint: of the pipeline.
        variants: arrays with the shape of ``x``: descriptors of degraded variants of the same faces. They are
            in the same fold as their face and have half of its weight. Calibration uses ``x`` alone.
        weight: shape (n,), weight of each face in the fit; None for equal weights. Faces with the weight 0
            are not fitted on. Calibration and out-of-fold predictions include all faces, with equal weights.
        min_faces: minimum number of labelled faces.
        callback: called after each step. It does not influence the result.

    Raises:
        UsageError: there are too few labelled faces, or the weights are too far apart.
    """
    settings = settings or Settings()
    weight = np.ones(len(x), np.float32) if weight is None else weight
    _check_weight(weight)
    age, gender = (np.where(weight > 0, y, np.float32(np.nan)) for y in (labels.age, labels.gender))
    check_labels(replace(labels, age=age, gender=gender), settings.folds, min_faces)
    if settings.kind != "linear":
        load_lightgbm()  # if this fails, it fails before minutes of work

    def make(attribute: Attribute, known: Array) -> Task:
        return make_task(
            attribute,
            x,
            labels,
            known,
            variants=variants,
            weight=weight,
            settings=settings,
            callback=callback,
        )

    models = _fit(labels, make)
    rows = np.flatnonzero(np.isfinite(age) | np.isfinite(gender))
    own = x if len(rows) == len(x) else x[rows]
    familiarity = fit_familiarity(own, split_folds(rows, labels.person, settings))
    models.out_of_fold.familiarity[:] = familiarity.model(x)
    models.out_of_fold.familiarity[rows] = familiarity.out_of_fold
    manifest = {"settings": settings.as_json(), "versions": versions()}
    heads = Heads(fingerprint, x.shape[1], models.age, models.gender, manifest, familiarity=familiarity.model)
    return FittedHeads(heads, models.out_of_fold)


class _Models(NamedTuple):
    age: AgeModel | None
    gender: GenderModel | None
    out_of_fold: Predictions


def _fit(labels: Labels, make: Callable[[Attribute, Array], Task]) -> _Models:
    """Fit the labelled attributes.

    Args:
        make: makes the task of an attribute for some rows.
    """
    predictions = Predictions.empty(len(labels))
    age_model = gender_model = task = None
    known_age = np.flatnonzero(np.isfinite(labels.age))
    if len(known_age):
        task = make("age", known_age)
        age = fit_age(task)
        age_model = age.model
        predicted = ages(age_model.calibration, age.out_of_fold)
        predictions.age[known_age], predictions.quantiles[known_age] = predicted.age, predicted.quantiles
        predictions.age_low[known_age], predictions.age_high[known_age] = predicted.low, predicted.high

    known = np.flatnonzero(np.isfinite(labels.gender))
    if len(known):
        if task is not None and np.array_equal(known, known_age):
            task = replace(task, attribute="gender")
        else:
            task = None  # Free its memory before the same amount is allocated again.
            task = make("gender", known)
        gender = fit_gender(task)
        gender_model = gender.model
        predictions.p_female[known] = gender_model.probability(gender.out_of_fold)
    return _Models(age_model, gender_model, predictions)


def _check_weight(weight: F32) -> None:
    if len(weight) and not weight.any():
        raise UsageError(NO_WEIGHT)
    lightest, heaviest = weight[weight > 0].min(initial=np.inf), weight.max(initial=0)
    if heaviest > MAX_WEIGHT_RATIO * lightest:
        raise UsageError(
            f"the weights go from {lightest:g} to {heaviest:g}, a ratio of more than "
            f"{MAX_WEIGHT_RATIO:,.0f}: the lowest would have no effect; set them to 0, or use weights that "
            "are closer together"
        )
