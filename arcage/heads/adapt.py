"""Heads that know many faces learn a source of faces that they do not know, from a few hundred of it.

The heads stay as they are. What is fitted is a change of their answer: a strongly shrunken linear function of
what they say, within what they said of the new faces. It is faded out by how much a face looks like the new
source, as a logistic regression tells it from the old one. Faces of the old source are at hand without
its data: the landmarks of the kernel stage are some of them. So where faces look as they used to, the
answers stay as they were; where the two sources look alike, the change is held back until the landmarks'
ages move by no more than is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from arcage.errors import UsageError
from arcage.heads.calibrate import conformal
from arcage.heads.fit import FOLDS, Progress, Settings, _folds, check_labels
from arcage.heads.kernel import Folds
from arcage.heads.layers import Linear
from arcage.heads.model import Adaptation, AgeModel, GenderModel, Heads, Predictions, Seen, Stacked
from arcage.heads.parallel import each, one_thread
from arcage.text import counted
from arcage.types import F32, F64, Array

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, np.inf)
"""Of the change's weights, on standardised columns; with the last one nothing is changed."""
DOUBT = 1.5
"""Faces of the old source that are expected for each of the new one, unless what may be forgotten says
otherwise: to forget is worse than not to learn."""
FORGET = 0.25
"""Years by which the ages of the old source's faces move on average at most, and so the error on them grows,
unless something else is wanted; on the faces by which this was chosen it grew by half of it or less."""
SQUARED = 1.0
"""Years up to which an error counts by its square, above by itself: labels are whole years."""
REWEIGHTED = 10
"""Rounds of reweighting; twice as many change nothing that can be measured."""
INNER = 5
"""Folds by which a penalty is chosen."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """How one attribute was adapted."""

    faces: int
    penalty: float | None
    """Chosen by cross-validation; None where the heads answered best unchanged."""
    new: float
    """Mean weight of the new source among its own faces, by models that have not seen the face: 0 to 1."""
    landmarks: int
    """Faces of the old source that the heads keep."""
    old: float
    """Mean weight of the new source among these."""
    moved: float
    """Mean absolute change of the landmarks' answers: years, or log-odds. The error on faces like them cannot
    grow by more."""


Change = tuple[Linear, float]
"""A change and the penalty it was fitted with."""
FitChange = Callable[[Array, F32], Change]
"""From some of the new faces, and the weights of all, to their change."""


def adapt_heads(
    base: Heads,
    x: F32,
    age: F32,
    gender: F32,
    *,
    groups: Array | None = None,
    forget: float | None = None,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> tuple[Heads, Predictions, dict[str, Any]]:
    """Adapt heads to a source of faces; an attribute without labels, or that the heads lack, is left alone.

    Args:
        base: boosted heads, not yet adapted.
        x: shape (n, dimension), float32: descriptors of the new source.
        age, gender, groups: as for :func:`arcage.heads.fit.fit_heads`.
        forget: years, above 0, by which the ages of faces of the old source move on average: the more, the
            less has a face to look like the new source for the change to be made. Where all ages can be
            changed without moving as far, all are. None for :data:`FORGET` at most.

    Returns:
        The heads; the answers for ``x`` by models that have not seen the face, NaN where nothing was adapted;
        and by attribute how it was adapted, as :class:`Adapted`, ready for JSON.

    Raises:
        UsageError: the heads cannot be adapted, or there are too few labelled faces.
    """
    if base.adapted:
        raise UsageError(
            "these heads are adapted already: start again from those that they were adapted from, with all "
            "of your faces (several `labels` are joined)"
        )
    age = age if base.age is not None else np.full_like(age, np.nan)
    gender = gender if base.gender is not None else np.full_like(gender, np.nan)
    check_labels(age, gender, groups, FOLDS)
    out = {name: np.full(len(x), np.nan, np.float32) for name in ("age", "age_low", "age_high", "p_female")}
    report: dict[str, Any] = {}

    known = np.flatnonzero(np.isfinite(age))
    if base.age is not None and len(known):
        progress(f"age: adapting to {counted(len(known), 'face')}")
        model, ends, told = _adapt_age(
            base.age, x[known], age[known], _folds(known, groups, Settings(seed=seed)), forget, seed
        )
        base, report["age"] = replace(base, age=model), asdict(told)
        out["age"][known], out["age_low"][known], out["age_high"][known] = ends

    known = np.flatnonzero(np.isfinite(gender))
    if base.gender is not None and len(known):
        progress(f"gender: adapting to {counted(len(known), 'face')}")
        folds = _folds(known, groups, Settings(seed=seed))
        female, out["p_female"][known], told = _adapt_gender(
            base.gender, x[known], gender[known], folds, seed
        )
        base, report["gender"] = replace(base, gender=female), asdict(told)
    return base, Predictions(**out), report


def _adapt_age(
    model: AgeModel, x: F32, age: F32, folds: Folds, forget: float | None, seed: int
) -> tuple[AgeModel, tuple[F32, F32, F32], Adapted]:
    seen = _look(model.stack, x)
    said, missing = seen.said(), (age - seen.answers[:, 0]).astype(np.float64)

    def fit(rows: Array, weight: F32) -> Change:
        def solve(some: Array, penalty: float) -> Linear:
            return _robust_ridge(said[some], missing[some], penalty)

        def loss(some: Array, change: Linear) -> float:
            left = missing[some] - weight[some] * change(said[some])[:, 0]
            return float(np.abs(left).sum())

        return _choose(rows, solve, loss, seed)

    most, least = (FORGET, 0.0) if forget is None else (forget, -np.inf)
    adaptation, weight, shift, told = _cross_adapt(model.stack, seen, folds, fit, most, least)
    moved = seen.answers + shift
    curves = np.stack(conformal(moved, age))
    ends = np.empty((3, len(x)), np.float32)
    for train, test in folds:
        own = np.stack(conformal(moved[train], age[train]))
        ends[:, test] = model.blended(moved[test], weight[test], own)
    return replace(model, adapted=replace(adaptation, curves=curves)), (ends[0], ends[1], ends[2]), told


def _adapt_gender(
    model: GenderModel, x: F32, gender: F32, folds: Folds, seed: int
) -> tuple[GenderModel, F32, Adapted]:
    seen = _look(model.stack, x)
    said = seen.said()
    score = seen.answers[:, 0]
    odds = (model.slope * score + model.offset).astype(np.float64)
    sign = (2 * gender - 1).astype(np.float64)

    def fit(rows: Array, weight: F32) -> Change:
        def solve(some: Array, penalty: float) -> Linear:
            return _logistic(said[some], odds[some], sign[some], penalty)

        def loss(some: Array, change: Linear) -> float:
            moved = odds[some] + weight[some] * change(said[some])[:, 0]
            return float(np.logaddexp(0, -sign[some] * moved).sum())

        return _choose(rows, solve, loss, seed)

    # As doubt has it: of gender nothing was forgotten, whatever source was tried.
    adaptation, _, shift, told = _cross_adapt(model.stack, seen, folds, fit, np.inf, 0.0)
    return replace(model, adapted=adaptation), model.probability(score, shift[:, 0]), told


def _look(stack: Stacked, x: F32) -> Seen:
    if not stack.kernels:
        raise UsageError(
            "only boosted heads can be adapted: others keep nothing of the faces that they were fitted on; "
            "start from boosted heads of `arcage fit`, or from wheel"
        )
    return stack.look(x)


def _cross_adapt(
    stack: Stacked, seen: Seen, folds: Folds, fit: FitChange, most: float, least: float
) -> tuple[Adaptation, F32, F32, Adapted]:
    """The adaptation to all faces, held back as :func:`_held` does; and the weight, shape (n,), and the
    shift, shape (n, 1), of each face by one that has not seen it."""
    marks = [kernel.landmarks for kernel in stack.kernels]
    landmarks = np.concatenate(marks, axis=1)
    outputs = stack.of_projected(marks)
    # Of the landmarks only the kernel stage's answer is known; the last stage corrects it a little.
    guess = np.repeat(stack.start(outputs)[:, None], seen.answers.shape[1], axis=1)
    old = Seen(guess, outputs, landmarks)
    said, none = seen.said(), np.empty((3, 0), np.float32)

    def adapt(train: Array) -> tuple[Adaptation, float]:
        gate = _gate(seen.of(train), old)
        lowest, highest = said[train].min(axis=0), said[train].max(axis=0)
        unfinished = Adaptation(gate, lowest, highest, Linear(*([np.empty(0, np.float32)] * 3)), none)
        change, penalty = fit(train, unfinished.weight(seen))
        return _held(replace(unfinished, change=change), old, most, least), penalty

    everyone = np.arange(len(said))
    *parts, (final, penalty) = each(adapt, [*(train for train, _ in folds), everyone])
    weight, shift = np.empty(len(said), np.float32), np.empty((len(said), 1), np.float32)
    for (_, test), (part, _) in zip(folds, parts, strict=True):
        here = seen.of(test)
        weight[test] = part.weight(here)
        shift[test] = part.shift(here, weight[test])
    fading = final.weight(old)
    told = Adapted(
        faces=len(said),
        penalty=penalty if np.isfinite(penalty) else None,
        new=float(weight.mean()),
        landmarks=len(landmarks),
        old=float(fading.mean()),
        moved=float(np.abs(final.shift(old, fading)).mean()),
    )
    return final, weight, shift, told


def _held(adaptation: Adaptation, old: Seen, most: float, least: float) -> Adaptation:
    """With the gate lowered by ``least`` log-odds, or by so many more that ``old`` moves by ``most`` on
    average."""
    from scipy.optimize import brentq
    from scipy.special import expit

    gate = adaptation.gate
    odds = gate(old.source())[:, 0].astype(np.float64)
    full = np.abs(adaptation.shift(old, np.ones(len(odds), np.float32)))[:, 0]

    def excess(lowered: float) -> float:
        return float((full * expit(odds - lowered)).mean()) - most

    # Below this the gate is open to all of ``old``.
    lowered = max(least, odds.min() - 20)
    if excess(lowered) > 0:
        lowered = brentq(excess, lowered, odds.max() + np.log(full.mean() / most) + 1)
    return replace(adaptation, gate=replace(gate, bias=(gate.bias - lowered).astype(np.float32)))


def _gate(new: Seen, old: Seen) -> Linear:
    """The log-odds of the new source, however many faces of either were given."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([new.source(), old.source()]).astype(np.float64)
    mean, spread = x.mean(axis=0), _spread(x)
    # The axes keep their scale, by which the kernel compares faces: made equal, the many on which faces
    # hardly differ would drown the few that tell.
    spread[new.outputs.shape[1] :] = 1.0
    is_new = np.arange(len(x)) < len(new.outputs)
    with one_thread():
        model = LogisticRegression(class_weight="balanced", max_iter=2000)
        model.fit((x - mean) / spread, is_new)
    weights = (model.coef_.T / spread[:, None]).astype(np.float32)
    return Linear(mean.astype(np.float32), weights, (model.intercept_ - np.log(DOUBT)).astype(np.float32))


def _choose(
    rows: Array,
    solve: Callable[[Array, float], Linear],
    loss: Callable[[Array, Linear], float],
    seed: int,
) -> Change:
    """The change with the penalty that is best by cross-validation within ``rows``."""
    part = np.random.default_rng(seed).permutation(len(rows)) % INNER
    splits = [(rows[part != fold], rows[part == fold]) for fold in range(INNER)]
    losses = [sum(loss(test, solve(train, penalty)) for train, test in splits) for penalty in PENALTIES]
    penalty = PENALTIES[int(np.argmin(losses))]
    return solve(rows, penalty), penalty


def _robust_ridge(x: F32, target: F64, penalty: float) -> Linear:
    """Ridge regression with Huber's loss (1964) on standardised columns; with an infinite penalty nothing at
    all.

    Squares would let the few faces with a wrong label decide. By iteratively reweighted least squares
    (Holland and Welsch 1977).
    """
    from scipy.linalg import solve

    mean, spread, z = _columns(x)
    weights = np.zeros(z.shape[1])
    if np.isfinite(penalty):
        shrink = np.diag(np.append(np.full(x.shape[1], penalty), 0.0))
        trust = np.ones(len(x))
        for _ in range(REWEIGHTED):
            weighted = z * (trust / trust.mean())[:, None]
            weights = solve(weighted.T @ z + shrink, weighted.T @ target, assume_a="pos")
            trust = SQUARED / np.maximum(np.abs(target - z @ weights), SQUARED)
    return _linear(mean, spread, weights)


def _logistic(x: F32, odds: F64, sign: F64, penalty: float) -> Linear:
    """What is added to log-odds by a logistic regression on standardised columns; with an infinite penalty
    nothing at all."""
    from scipy.optimize import minimize

    mean, spread, z = _columns(x)

    def loss(weights: F64) -> tuple[float, F64]:
        margin = sign * (odds + z @ weights)
        shrunken = np.append(penalty * weights[:-1], 0.0)
        slope = -sign / (1 + np.exp(np.clip(margin, -500, 500)))
        total = np.logaddexp(0, -margin).sum() + 0.5 * float(shrunken @ weights)
        return float(total), z.T @ slope + shrunken

    weights = np.zeros(z.shape[1])
    if np.isfinite(penalty):
        weights = minimize(loss, weights, jac=True, method="L-BFGS-B").x
    return _linear(mean, spread, weights)


def _columns(x: F32) -> tuple[F64, F64, F64]:
    """The columns' means and spreads; and the columns standardised, with one of ones after them."""
    mean, spread = x.mean(axis=0, dtype=np.float64), _spread(x)
    return mean, spread, np.column_stack([(x - mean) / spread, np.ones(len(x))])


def _linear(mean: F64, spread: F64, weights: F64) -> Linear:
    """What ``weights`` of :func:`_columns` make of the columns as they were."""
    slopes = weights[:-1, None] / spread[:, None]
    return Linear(mean.astype(np.float32), slopes.astype(np.float32), weights[-1:].astype(np.float32))


def _spread(x: Array) -> F64:
    """Standard deviations; 1 for columns that never vary."""
    spread = np.asarray(x.std(axis=0, dtype=np.float64))
    return np.asarray(np.where(spread > 1e-6, spread, 1.0))
