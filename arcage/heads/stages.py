"""The fitted stages of heads, and their cross-fitting.

Boosted heads have a kernel stage (:func:`kernel_sums`, :func:`fit_kernel`) and a boosted stage on its outputs
(:func:`fit_boosted`). The other kinds have a single stage, listed in :data:`SINGLE_STAGE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, TypeVar

import numpy as np

from arcage.heads.boosting import LOSSES, Boosting, Objective, boost, dataset, mean_loss, subset
from arcage.heads.callbacks import Step
from arcage.heads.kernel import Fold, KernelSums, cross_kernel, outputs
from arcage.heads.layers import Kernel, Linear, Trees
from arcage.heads.linear import cross_ridge
from arcage.heads.parallel import parallel_map
from arcage.heads.task import Task
from arcage.types import F32, F64, Array

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit(Generic[Model]):
    """A model of all rows, and the predictions of models that have not seen the row."""

    model: Model
    out_of_fold: F32
    """Shape (rows, outputs): at least for the task's faces."""


@dataclass(frozen=True, slots=True)
class BoostedModel:
    """The settings of one model of the boosted stage."""

    stage: str
    """The name that is reported; see :class:`~arcage.heads.callbacks.Step`."""
    settings: Boosting
    objective: Objective
    alpha: float = 0.5
    """The quantile, for ``quantile``."""


def kernel_sums(task: Task, classes: Array, targets: F64, stage: str = "kernel stage") -> list[KernelSums]:
    """Compute the sums of the kernel stage without each fold's test rows, then of all rows."""
    sums = []
    settings = task.settings
    for part in cross_kernel(
        task.x, classes, targets, task.weight, task.folds, settings.kernel, settings.seed
    ):
        sums.append(part)
        task.report(Step(task.attribute, stage, len(sums), task.models))
    return sums


def fit_kernel(
    task: Task, sums: list[KernelSums], targets: F64, exclude: Array | None = None
) -> CrossFit[Kernel]:
    """Solve the kernel stage, without the rows ``exclude``.

    The boosted stage is fitted on the out-of-fold outputs, which are distributed as they will be for new
    faces.
    """
    tests = [*(fold.test for fold in task.folds), np.empty(0, np.int64)]

    def solve(i: int) -> tuple[Kernel, F32]:
        part = sums[i]
        if exclude is not None:
            part = part.add(task.x, targets, task.weight, np.setdiff1d(exclude, tests[i]), sign=-1)
        kernel = part.solve(task.settings.kernel.ridge)
        return kernel, outputs(kernel, task.x, tests[i])

    solved = list(parallel_map(solve, range(len(sums))))
    out_of_fold = np.empty(targets.shape, np.float32)
    for test, (_, predicted) in zip(tests, solved, strict=True):
        out_of_fold[test] = predicted
    return CrossFit(solved[-1][0], out_of_fold)


def fit_boosted(
    task: Task,
    features: F32,
    start: F32 | None,
    models: tuple[BoostedModel, ...],
    trusted: Array | None = None,
) -> CrossFit[tuple[Trees, ...]]:
    """Fit the boosted stage on all rows that have a weight and are trusted.

    Args:
        features: shape (n, columns).
        start: shape (n,): where the boosting starts; see :func:`~arcage.heads.boosting.dataset`.
        trusted: shape (n,), bool; None for all rows.

    Returns:
        The trees of each model; and out-of-fold predictions, shape (faces, models).
    """
    data = dataset(features, task.target, task.weight, start)

    def fit(item: tuple[BoostedModel, int]) -> tuple[Trees, F32]:
        model, number = item
        train, test = splits[number - 1]
        held_out = subset(data, test) if task.callback is not None and len(test) else None
        trees = fit_one(model, number, subset(data, train), test, held_out)
        predicted = trees(features[test])[:, 0]
        return trees, predicted if start is None else start[test] + predicted

    def fit_one(model: BoostedModel, number: int, rows: Any, test: Array, held_out: Any) -> Trees:
        def report(round_: int, error: float | None) -> None:
            rounds, loss = model.settings.rounds, LOSSES[model.objective]
            task.report(Step(task.attribute, model.stage, number, task.models, round_, rounds, loss, error))

        if held_out is not None and start is not None:
            initial = start[test] if model.objective != "binary" else 1 / (1 + np.exp(-start[test]))
            report(0, mean_loss(model.objective, model.alpha, initial, task.target[test]))
        return boost(
            rows,
            model.settings,
            objective=model.objective,
            alpha=model.alpha,
            seed=task.settings.seed,
            held_out=held_out,
            report=report if task.callback is not None else None,
        )

    fitted = task.fitted if trusted is None else task.fitted & trusted
    splits = [
        *(
            Fold(
                fold.train if trusted is None else fold.train[trusted[fold.train]],
                fold.test[fold.test < task.faces],
            )
            for fold in task.folds
        ),
        Fold(np.flatnonzero(fitted), np.arange(0)),
    ]
    numbers = range(1, len(splits) + 1)
    # The first model has the most rounds. Its fits go first, so that all cores have work until the end.
    done = list(parallel_map(fit, list(product(models, numbers))))
    out_of_fold = np.empty((task.faces, len(models)), np.float32)
    for column in range(len(models)):
        for fold, (_, predicted) in zip(splits, done[column * len(splits) :], strict=False):
            out_of_fold[fold.test, column] = predicted
    return CrossFit(tuple(trees for trees, _ in done[len(splits) - 1 :: len(splits)]), out_of_fold)


def cross_fit(task: Task, fit: Callable[[F32, F32, F32], Linear | Trees]) -> CrossFit[Linear | Trees]:
    """Fit a single-stage model without each fold's test rows, then on all rows that have a weight.

    Args:
        fit: maps descriptors, labels and weights of the training rows to a model.
    """
    out_of_fold = np.empty((len(task.x), 1), np.float32)
    kind = task.settings.kind
    for number, (train, test) in enumerate(task.folds, 1):
        out_of_fold[test] = fit(task.x[train], task.target[train], task.weight[train])(task.x[test])
        task.report(Step(task.attribute, kind, number, task.models))
    rows = np.flatnonzero(task.weight)
    model = fit(task.x[rows], task.target[rows], task.weight[rows])
    task.report(Step(task.attribute, kind, task.models, task.models))
    return CrossFit(model, out_of_fold)


def _linear(task: Task) -> CrossFit[Linear | Trees]:
    target = task.target if task.attribute == "age" else 2 * task.target - 1
    model, out_of_fold = cross_ridge(task.x, target, task.weight, task.folds)
    task.report(Step(task.attribute, "ridge regression", 1, 1))
    return CrossFit(model, out_of_fold)


_ROUNDS = {"age": 600, "gender": 400}
"""Rounds of boosting if it is the only stage."""


def _lightgbm(task: Task) -> CrossFit[Linear | Trees]:
    objective: Objective = "l1" if task.attribute == "age" else "binary"
    model = BoostedModel("boosting", Boosting(_ROUNDS[task.attribute]), objective)
    fitted = fit_boosted(task, task.x, None, (model,))
    return CrossFit(fitted.model[0], fitted.out_of_fold)


SINGLE_STAGE: dict[str, Callable[[Task], CrossFit[Linear | Trees]]] = {
    "linear": _linear,
    "lightgbm": _lightgbm,
}
"""Kinds of heads without a kernel stage. Predictions are years, or a score that is higher for female."""


def fit_single(task: Task) -> CrossFit[Linear | Trees]:
    """Fit heads of a single stage."""
    return SINGLE_STAGE[task.settings.kind](task)


def merge_small(bands: Array, fitted: Array, least: int = 20) -> Array:
    """Merge each band with fewer than ``least`` fitted rows into the nearest band.

    Args:
        bands: shape (n,), int.
        fitted: shape (n,), bool.
    """
    merged = bands.copy()
    for band in np.unique(bands)[::-1]:
        names = np.unique(merged[fitted])
        if (merged[fitted] == band).sum() < least and len(names) > 1:
            others = names[names != band]
            merged[merged == band] = others[np.abs(others - band).argmin()]
    return merged


def largest_variance(x: F32, count: int) -> Array:
    """Return the indices, in ascending order, of the ``count`` columns with the largest variance."""
    # No intermediate array has the size of x.
    mean = x.mean(axis=0, dtype=np.float64)
    variance = np.einsum("ij,ij->j", x, x, dtype=np.float64) / len(x) - np.square(mean)
    return np.sort(np.argsort(-variance, kind="stable")[:count])
