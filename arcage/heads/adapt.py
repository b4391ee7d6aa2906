"""Adapt heads to a new source of faces, given a few hundred labelled faces from it.

The heads stay as they are. A correction of their predictions is fitted: a strongly regularised linear
function of their outputs, limited to the range of these outputs over the new faces. The correction is
weighted by the probability that a face is from the new source rather than the old one, by logistic
regression. The centers of the kernel stage serve as faces of the old source, so its data are not needed.
Predictions for faces that resemble the old source stay the same. Where the two sources overlap, the
correction is held back until the predicted ages of the centers move by no more than a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from arcage.errors import UsageError
from arcage.heads.calibrate import calibrated_like
from arcage.heads.callbacks import Report
from arcage.heads.kernel import Fold
from arcage.heads.layers import Linear
from arcage.heads.model import Adaptation, AgeModel, GenderModel, Heads, Predictions, Stacked, StackOutputs
from arcage.heads.parallel import one_thread, parallel_map
from arcage.heads.settings import FOLDS, Settings
from arcage.heads.task import check_labels, split_folds
from arcage.text import counted
from arcage.types import F32, F64, Array, Labels

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, np.inf)
"""Penalties of the correction's weights, on standardised columns; infinity gives no correction."""
PRIOR_ODDS = 1.5
"""Prior odds of the old source against the new one, if there is no limit on how far ages move: forgetting is
worse than not learning."""
MAX_SHIFT = 0.25
"""Default limit, in years, on how far the predicted ages of the old source move on average, and so on how
much their error increases. On the faces that it was chosen with, the error increased by half of it or
less."""
HUBER_THRESHOLD = 1.0
"""Errors up to this many years count by their square, larger ones linearly: labels are whole years."""
REWEIGHTING_ROUNDS = 10
"""Rounds of iterative reweighting; twice as many make no measurable difference."""
INNER_FOLDS = 5
"""Number of folds for the choice of a penalty."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """How one attribute was adapted."""

    faces: int
    penalty: float | None
    """The penalty chosen by cross-validation; None if no correction is best."""
    new: float
    """Mean out-of-fold weight of the correction over the new faces, 0 to 1."""
    centers: int
    """Number of centers, the faces of the old source."""
    old: float
    """Mean weight of the correction over the centers."""
    moved: float
    """Mean absolute change of the predictions for the centers, in years or log-odds: an upper limit on the
    increase of the error on such faces."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields for a manifest, under the names of the file format."""
        return {"landmarks" if name == "centers" else name: value for name, value in asdict(self).items()}


class AdaptedHeads(NamedTuple):
    """The result of an adaptation."""

    heads: Heads
    out_of_fold: Predictions
    """For the new faces by models that have not seen them; NaN for attributes that were not adapted."""
    attributes: dict[str, Adapted]
    """How each attribute was adapted."""


class Correction(NamedTuple):
    """A correction and the penalty it was fitted with."""

    change: Linear
    penalty: float


FitCorrection = Callable[[Array, F32], Correction]
"""Fits a correction to some of the new faces (indices), given the weights of all new faces."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on a correction."""

    max_shift: float
    """Maximum mean change of the predictions for the old source."""
    min_lowering: float
    """Minimum log-odds by which the gate is lowered."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossAdaptation:
    """An adaptation to all new faces, and its out-of-fold effect on them."""

    adaptation: Adaptation
    weight: F32
    """Shape (n,): out-of-fold weight of the correction."""
    shift: F32
    """Shape (n, 1): out-of-fold change of the predictions."""
    adapted: Adapted


def adapt_heads(
    base: Heads,
    x: F32,
    labels: Labels,
    *,
    forget: float | None = None,
    seed: int = 0,
    report: Report = lambda _: None,
) -> AdaptedHeads:
    """Adapt heads to a new source. Attributes that are not labelled, or that the heads lack, stay the same.

    Args:
        base: boosted heads that are not adapted.
        x: shape (n, dimension), float32: descriptors of faces from the new source.
        labels: as for :func:`arcage.heads.fit.fit_heads`.
        forget: mean change, in years, of the predicted ages of the old source, above 0. The larger it is,
            the more faces are corrected. If the correction of all faces changes ages by less, all are
            corrected. None for at most :data:`MAX_SHIFT`.
        report: called with progress messages.

    Raises:
        UsageError: the heads cannot be adapted, or there are too few labelled faces.
    """
    if base.adapted or (base.age is not None and base.age.shift is not None):
        raise UsageError(
            "these heads are adapted or calibrated for a source already: start again from those that they "
            "were made from, with all of your faces (several `labels` are joined)"
        )
    labels = labels.without(
        [name for name, head in (("age", base.age), ("gender", base.gender)) if head is None]
    )
    check_labels(labels, FOLDS)
    predictions = Predictions.empty(len(x))
    attributes: dict[str, Adapted] = {}

    known = np.flatnonzero(np.isfinite(labels.age))
    if base.age is not None and len(known):
        report(f"age: adapting to {counted(len(known), 'face')}")
        folds = split_folds(known, labels.person, Settings(seed=seed))
        age, own, attributes["age"] = _adapt_age(base.age, x[known], labels.age[known], folds, forget, seed)
        base = replace(base, age=age)
        for name in ("age", "age_low", "age_high", "quantiles"):
            getattr(predictions, name)[known] = getattr(own, name)

    known = np.flatnonzero(np.isfinite(labels.gender))
    if base.gender is not None and len(known):
        report(f"gender: adapting to {counted(len(known), 'face')}")
        folds = split_folds(known, labels.person, Settings(seed=seed))
        gender, predictions.p_female[known], attributes["gender"] = _adapt_gender(
            base.gender, x[known], labels.gender[known], folds, seed
        )
        base = replace(base, gender=gender)
    return AdaptedHeads(base, predictions, attributes)


def _adapt_age(
    model: AgeModel, x: F32, age: F32, folds: tuple[Fold, ...], forget: float | None, seed: int
) -> tuple[AgeModel, Predictions, Adapted]:
    """Return the adapted model, and out-of-fold predictions."""
    outputs = _forward(model.stack, x)
    features = outputs.features()
    residual = (age - outputs.predictions[:, 0]).astype(np.float64)

    def fit(rows: Array, weight: F32) -> Correction:
        def solve(subset: Array, penalty: float) -> Linear:
            return robust_ridge(features[subset], residual[subset], penalty)

        def loss(subset: Array, change: Linear) -> float:
            remaining = residual[subset] - weight[subset] * change(features[subset])[:, 0]
            return float(np.abs(remaining).sum())

        return choose_penalty(rows, solve, loss, seed)

    limits = Limits(MAX_SHIFT, 0.0) if forget is None else Limits(forget, -np.inf)
    result = _cross_adapt(model.stack, outputs, folds, fit, limits)
    moved = outputs.predictions + result.shift
    calibration = calibrated_like(model.calibration, moved, age)
    out = Predictions.empty(len(x))
    for train, test in folds:
        own = calibrated_like(model.calibration, moved[train], age[train])
        predicted = model.blended(moved[test], result.weight[test], own)
        out.age[test], out.age_low[test], out.age_high[test], out.quantiles[test] = predicted
    return replace(model, adapted=replace(result.adaptation, calibration=calibration)), out, result.adapted


def _adapt_gender(
    model: GenderModel, x: F32, gender: F32, folds: tuple[Fold, ...], seed: int
) -> tuple[GenderModel, F32, Adapted]:
    """Return the adapted model, and out-of-fold probabilities of female, shape (n,)."""
    outputs = _forward(model.stack, x)
    features = outputs.features()
    score = outputs.predictions[:, 0]
    odds = (model.slope * score + model.offset).astype(np.float64)
    sign = (2 * gender - 1).astype(np.float64)

    def fit(rows: Array, weight: F32) -> Correction:
        def solve(subset: Array, penalty: float) -> Linear:
            return logistic_ridge(features[subset], odds[subset], sign[subset], penalty)

        def loss(subset: Array, change: Linear) -> float:
            moved = odds[subset] + weight[subset] * change(features[subset])[:, 0]
            return float(np.logaddexp(0, -sign[subset] * moved).sum())

        return choose_penalty(rows, solve, loss, seed)

    # The prior odds are sufficient: gender accuracy on the old source decreased with none of the sources
    # tried.
    result = _cross_adapt(model.stack, outputs, folds, fit, Limits(np.inf, 0.0))
    p_female = model.probability(score, result.shift[:, 0])
    return replace(model, adapted=result.adaptation), p_female, result.adapted


def _forward(stack: Stacked, x: F32) -> StackOutputs:
    if not stack.kernels:
        raise UsageError(
            "only boosted heads can be adapted: other kinds keep no training faces; start from boosted "
            "heads, such as the bundled ones"
        )
    return stack.forward(x)


def _cross_adapt(
    stack: Stacked, new: StackOutputs, folds: tuple[Fold, ...], fit: FitCorrection, limits: Limits
) -> CrossAdaptation:
    centers = [kernel.centers for kernel in stack.kernels]
    kernel_outputs = stack.kernel_outputs(centers)
    # For the centers only the prediction of the kernel stage is known; the last stage changes it little.
    guess = np.repeat(stack.start(kernel_outputs)[:, None], new.predictions.shape[1], axis=1)
    old = StackOutputs(guess, kernel_outputs, np.concatenate(centers, axis=1))
    features = new.features()

    def adapt(train: Array) -> tuple[Adaptation, float]:
        gate = _gate(new.select(train), old)
        lowest, highest = features[train].min(axis=0), features[train].max(axis=0)
        no_change = Linear(*([np.empty(0, np.float32)] * 3))
        unfinished = Adaptation(gate, lowest, highest, no_change)
        change, penalty = fit(train, unfinished.weight(new))
        return _limit(replace(unfinished, change=change), old, limits), penalty

    rows = np.arange(len(features))
    *parts, (final, penalty) = parallel_map(adapt, [*(fold.train for fold in folds), rows])
    weight, shift = np.empty(len(features), np.float32), np.empty((len(features), 1), np.float32)
    for (_, test), (part, _) in zip(folds, parts, strict=True):
        held_out = new.select(test)
        weight[test] = part.weight(held_out)
        shift[test] = part.shift(held_out, weight[test])
    old_weight = final.weight(old)
    adapted = Adapted(
        faces=len(features),
        penalty=penalty if np.isfinite(penalty) else None,
        new=float(weight.mean()),
        centers=len(guess),
        old=float(old_weight.mean()),
        moved=float(np.abs(final.shift(old, old_weight)).mean()),
    )
    return CrossAdaptation(final, weight, shift, adapted)


def _limit(adaptation: Adaptation, old: StackOutputs, limits: Limits) -> Adaptation:
    """Lower the gate until the predictions for the old source change by no more than the limit on average."""
    from scipy.optimize import brentq
    from scipy.special import expit

    gate = adaptation.gate
    odds = gate(old.source_features())[:, 0].astype(np.float64)
    full = np.abs(adaptation.shift(old, np.ones(len(odds), np.float32)))[:, 0]

    def excess(lowered: float) -> float:
        return float((full * expit(odds - lowered)).mean()) - limits.max_shift

    # At the lower limit the gate is open for all centers.
    lowered = max(limits.min_lowering, odds.min() - 20)
    if excess(lowered) > 0:
        lowered = brentq(excess, lowered, odds.max() + np.log(full.mean() / limits.max_shift) + 1)
    return replace(adaptation, gate=replace(gate, bias=(gate.bias - lowered).astype(np.float32)))


def _gate(new: StackOutputs, old: StackOutputs) -> Linear:
    """Fit the log-odds of the new source, independent of how many faces of either source are given."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([new.source_features(), old.source_features()]).astype(np.float64)
    mean, spread = x.mean(axis=0), _spread(x)
    # Axes keep their scale, in which the kernel compares faces: otherwise the many axes on which faces hardly
    # differ would dominate.
    spread[new.outputs.shape[1] :] = 1.0
    is_new = np.arange(len(x)) < len(new.outputs)
    with one_thread():
        model = LogisticRegression(class_weight="balanced", max_iter=2000)
        model.fit((x - mean) / spread, is_new)
    weights = (model.coef_.T / spread[:, None]).astype(np.float32)
    bias = (model.intercept_ - np.log(PRIOR_ODDS)).astype(np.float32)
    return Linear(mean.astype(np.float32), weights, bias)


def choose_penalty(
    rows: Array,
    solve: Callable[[Array, float], Linear],
    loss: Callable[[Array, Linear], float],
    seed: int,
) -> Correction:
    """Fit a correction to ``rows`` with the penalty that is best by cross-validation within them."""
    part = np.random.default_rng(seed).permutation(len(rows)) % INNER_FOLDS
    splits = [Fold(rows[part != fold], rows[part == fold]) for fold in range(INNER_FOLDS)]
    losses = [sum(loss(test, solve(train, penalty)) for train, test in splits) for penalty in PENALTIES]
    penalty = PENALTIES[int(np.argmin(losses))]
    return Correction(solve(rows, penalty), penalty)


def robust_ridge(x: F32, target: F64, penalty: float) -> Linear:
    """Fit ridge regression with Huber's loss (1964) on standardised columns.

    A squared loss would give the few faces with a wrong label too much influence. The method is iteratively
    reweighted least squares (Holland and Welsch, 1977). An infinite penalty gives zero.
    """
    from scipy.linalg import solve

    columns = _standardise(x)
    weights = np.zeros(columns.z.shape[1])
    if np.isfinite(penalty):
        shrink = np.diag(np.append(np.full(x.shape[1], penalty), 0.0))
        trust = np.ones(len(x))
        for _ in range(REWEIGHTING_ROUNDS):
            weighted = columns.z * (trust / trust.mean())[:, None]
            weights = solve(weighted.T @ columns.z + shrink, weighted.T @ target, assume_a="pos")
            trust = HUBER_THRESHOLD / np.maximum(np.abs(target - columns.z @ weights), HUBER_THRESHOLD)
    return _linear(columns, weights)


def logistic_ridge(x: F32, odds: F64, sign: F64, penalty: float) -> Linear:
    """Fit what logistic regression on standardised columns adds to log-odds. An infinite penalty gives
    zero."""
    from scipy.optimize import minimize

    columns = _standardise(x)

    def loss(weights: F64) -> tuple[float, F64]:
        margin = sign * (odds + columns.z @ weights)
        shrunken = np.append(penalty * weights[:-1], 0.0)
        slope = -sign / (1 + np.exp(np.clip(margin, -500, 500)))
        total = np.logaddexp(0, -margin).sum() + 0.5 * float(shrunken @ weights)
        return float(total), columns.z.T @ slope + shrunken

    weights = np.zeros(columns.z.shape[1])
    if np.isfinite(penalty):
        weights = minimize(loss, weights, jac=True, method="L-BFGS-B").x
    return _linear(columns, weights)


class _Standardised(NamedTuple):
    mean: F64
    spread: F64
    z: F64
    """Shape (n, columns + 1): the standardised columns, and one of ones."""


def _standardise(x: F32) -> _Standardised:
    mean, spread = x.mean(axis=0, dtype=np.float64), _spread(x)
    return _Standardised(mean, spread, np.column_stack([(x - mean) / spread, np.ones(len(x))]))


def _linear(columns: _Standardised, weights: F64) -> Linear:
    """Convert weights of standardised columns to a function of the original ones."""
    slopes = weights[:-1, None] / columns.spread[:, None]
    return Linear(columns.mean.astype(np.float32), slopes.astype(np.float32), weights[-1:].astype(np.float32))


def _spread(x: Array) -> F64:
    """Return the standard deviation of each column; 1 for constant columns."""
    spread = np.asarray(x.std(axis=0, dtype=np.float64))
    return np.asarray(np.where(spread > 1e-6, spread, 1.0))
