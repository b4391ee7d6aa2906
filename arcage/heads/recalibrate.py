"""Calibrate heads for a source of faces, given 50 to 500 labelled faces from it. The stages do not change.

Three things are fitted: a line from the predicted age to what is added to it; the quantiles of the
distribution; and the logistic curve of the gender.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from arcage.errors import UsageError
from arcage.heads.adapt import choose_penalty, logistic_ridge, robust_ridge
from arcage.heads.calibrate import contains_age, weighted_quantiles
from arcage.heads.callbacks import Report
from arcage.heads.distribution import HIGH, LEVELS, LOW, Distribution, scale
from arcage.heads.kernel import Fold
from arcage.heads.layers import Linear
from arcage.heads.model import AgeModel, GenderModel, Heads, Predictions, ages
from arcage.heads.settings import FOLDS, Settings
from arcage.heads.task import check_labels, same_age, split_folds
from arcage.text import counted
from arcage.types import F32, F64, Array, Labels

INNER_FOLDS = 5
"""Folds for the residuals that the distribution is calibrated on."""
LEAST_SLOPE = 0.01
"""Minimum factor of the log-odds of the gender: a calibration does not turn answers round."""
LEAST_SPREAD = 0.1
"""Minimum distance of the ends of a 90 % interval from the predicted age, in units of the scores."""
CONFIDENCE = 0.95


class RecalibratedHeads(NamedTuple):
    """The result of a calibration."""

    heads: Heads
    out_of_fold: Predictions
    """For each face by a calibration without it; those of the base heads for attributes without labels."""


def recalibrate_heads(
    base: Heads, x: F32, labels: Labels, *, seed: int = 0, report: Report = lambda _: None
) -> RecalibratedHeads:
    """Calibrate heads for a source of faces. Attributes that are not labelled stay the same.

    Args:
        base: heads with a distribution of the age, which are neither adapted nor calibrated for a source.
        x: shape (n, dimension), float32: descriptors of faces from the source.
        labels: of the n faces. All faces of a person are in the same fold.
        report: called with progress messages.

    Raises:
        UsageError: the heads are adapted or calibrated already, too few faces are labelled, or almost all of
            them have the same age.
        HeadsError: the heads have no distribution.
    """
    heads = calibrated_heads(base, x, labels, seed=seed, report=report)
    labels, out_of_fold = _of_attributes(base, labels), base.predict(x)
    report("measuring each face by a calibration without it")
    if base.age is not None and len(known := np.flatnonzero(np.isfinite(labels.age))):
        outputs, age = base.age.stack(x[known]), labels.age[known]
        folds, inner = _folds(known, labels, seed)
        for train, test in folds:
            model = _calibrated_age(base.age, outputs[train], age[train], inner(train), seed)
            _put(out_of_fold, known[test], model, outputs[test])
    if base.gender is not None and len(known := np.flatnonzero(np.isfinite(labels.gender))):
        score, gender = base.gender.stack(x[known])[:, 0], labels.gender[known]
        folds, _ = _folds(known, labels, seed)
        for train, test in folds:
            curve = _calibrated_gender(base.gender, score[train], gender[train], seed)
            out_of_fold.p_female[known[test]] = curve.probability(score[test])
    return RecalibratedHeads(heads, out_of_fold)


def calibrated_heads(
    base: Heads, x: F32, labels: Labels, *, seed: int = 0, report: Report = lambda _: None
) -> Heads:
    """Calibrate heads as :func:`recalibrate_heads` does, without measuring what it gains."""
    if base.adapted or (base.age is not None and base.age.shift is not None):
        raise UsageError(
            "these heads are adapted or calibrated for a source already: start again from those that they "
            "were made from"
        )
    labels = _of_attributes(base, labels)
    check_labels(labels, FOLDS)
    if same := same_age(labels):
        raise UsageError(same)
    heads = base
    if base.age is not None and len(known := np.flatnonzero(np.isfinite(labels.age))):
        base.check_distribution("a calibration")
        report(f"age: calibrating on {counted(len(known), 'face')}")
        _, inner = _folds(known, labels, seed)
        outputs, folds = base.age.stack(x[known]), inner(np.arange(len(known)))
        heads = replace(heads, age=_calibrated_age(base.age, outputs, labels.age[known], folds, seed))
    if base.gender is not None and len(known := np.flatnonzero(np.isfinite(labels.gender))):
        report(f"gender: calibrating on {counted(len(known), 'face')}")
        score = base.gender.stack(x[known])[:, 0]
        heads = replace(heads, gender=_calibrated_gender(base.gender, score, labels.gender[known], seed))
    return heads


def _of_attributes(base: Heads, labels: Labels) -> Labels:
    """Return the labels of the attributes that the heads predict."""
    lacking = [name for name, head in (("age", base.age), ("gender", base.gender)) if head is None]
    return labels.without(lacking)


def expected_coverage(faces: int, level: float) -> tuple[float, float]:
    """Return between which values the coverage of an interval lies with the probability :data:`CONFIDENCE`.

    The coverage of a conformal interval, given the faces that it was calibrated on, has a beta distribution
    (Vovk, Conditional validity of inductive conformal predictors, ACML 2012). Its mean is the level.

    Args:
        faces: number of the faces, each of another person.
        level: of the interval, 0 to 1.
    """
    from scipy.stats import beta

    outside = (faces + 1) * (1 - level)
    ends = beta.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], faces + 1 - outside, outside)
    return float(ends[0]), float(ends[1])


Inner = Callable[[Array], list[Fold]]


def _folds(known: Array, labels: Labels, seed: int) -> tuple[tuple[Fold, ...], Inner]:
    """Return folds of the labelled faces, and a function that splits some of these faces again."""

    def inner(rows: Array) -> list[Fold]:
        return list(split_folds(known[rows], labels.person, Settings(seed=seed, folds=INNER_FOLDS)))

    return split_folds(known, labels.person, Settings(seed=seed)), inner


def _put(predictions: Predictions, rows: Array, model: AgeModel, outputs: F32) -> None:
    predicted = ages(model.calibration, model.shifted(outputs))
    predictions.age[rows], predictions.quantiles[rows] = predicted.age, predicted.quantiles
    predictions.age_low[rows], predictions.age_high[rows] = predicted.low, predicted.high


def _calibrated_age(model: AgeModel, outputs: F32, age: F32, folds: list[Fold], seed: int) -> AgeModel:
    """Return the model with a shift and a distribution for these faces.

    The distribution keeps how that of the base heads depends on the face and on its predicted age. Its levels
    are calibrated, on residuals of shifts that were fitted without the face: if every tenth face is younger
    than the old quantile at 0.02, this quantile becomes that at 0.1.
    """
    base = model.calibration
    assert isinstance(base, Distribution)
    found = np.empty(len(age))
    for train, test in folds:
        moved = replace(model, shift=_shift(outputs[train], age[train], seed)).shifted(outputs[test])
        score = (age[test] - moved[:, 0]) / scale(moved)
        found[test] = [_normal(*both) for both in zip(base.scores_at(moved[:, 0]), score, strict=True)]
    levels = weighted_quantiles(found, np.ones(len(age)))
    table = np.stack([_from_normal(row, levels) for row in base.scores]).astype(np.float32)
    distribution = Distribution(base.centers, contains_age(table))
    return replace(model, shift=_shift(outputs, age, seed), calibration=distribution)


_INNER = slice(LOW, HIGH + 1)
_NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS[_INNER]])
"""Quantiles of the standard normal distribution at the levels of the 90 % interval."""


def _normal(quantiles: F32, score: float) -> float:
    """Map a score to the standard normal distribution, with the quantiles of its own distribution.

    Outside the 90 % interval, both are proportional: there, quantiles of few faces are not reliable.
    """
    inner = quantiles[_INNER]
    for end in (0, -1):
        limit = inner[end] if abs(inner[end]) > LEAST_SPREAD else np.copysign(LEAST_SPREAD, _NORMAL[end])
        if (score - limit) * _NORMAL[end] > 0:
            return float(score / limit * _NORMAL[end])
    return float(np.interp(score, inner, _NORMAL))


def _from_normal(quantiles: F32, normal: F64) -> F64:
    """Map values of the standard normal distribution to scores; the inverse of :func:`_normal`."""
    inner = quantiles[_INNER]
    out = np.interp(normal, _NORMAL, inner)
    for end in (0, -1):
        beyond = (normal - _NORMAL[end]) * _NORMAL[end] > 0
        limit = inner[end] if abs(inner[end]) > LEAST_SPREAD else np.copysign(LEAST_SPREAD, _NORMAL[end])
        out[beyond] = limit * normal[beyond] / _NORMAL[end]
    return np.maximum.accumulate(out)


def _shift(outputs: F32, age: F32, seed: int) -> Linear:
    """Fit what is added to the predicted age, shape (n, 1) -> (n, 1): a line, or nothing if that is better by
    cross-validation."""
    predicted = outputs[:, :1]
    residual: F64 = (age - outputs[:, 0]).astype(np.float64)

    def solve(rows: Array, penalty: float) -> Linear:
        return robust_ridge(predicted[rows], residual[rows], penalty)

    def loss(rows: Array, change: Linear) -> float:
        return float(np.abs(residual[rows] - change(predicted[rows])[:, 0]).sum())

    return choose_penalty(np.arange(len(age)), solve, loss, seed).change


def _calibrated_gender(model: GenderModel, score: F32, gender: F32, seed: int) -> GenderModel:
    """Return the model with another logistic curve, which has the old log-odds as its input."""
    odds = (model.slope * score + model.offset).astype(np.float32)
    sign = (2 * gender - 1).astype(np.float64)

    def solve(rows: Array, penalty: float) -> Linear:
        return logistic_ridge(odds[rows][:, None], odds[rows].astype(np.float64), sign[rows], penalty)

    def loss(rows: Array, change: Linear) -> float:
        moved = odds[rows] + change(odds[rows][:, None])[:, 0]
        return float(np.logaddexp(0, -sign[rows] * moved).sum())

    change = choose_penalty(np.arange(len(gender)), solve, loss, seed).change
    slope = max(1 + float(change.weights[0, 0]), LEAST_SLOPE)
    at_zero = float(change.bias[0]) - float(change.mean[0] * change.weights[0, 0])
    return replace(model, slope=slope * model.slope, offset=slope * model.offset + at_zero)
