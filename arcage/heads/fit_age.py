"""Fit the age head."""

from __future__ import annotations

import numpy as np

from arcage.heads.calibrate import predictive
from arcage.heads.layers import Kernel
from arcage.heads.model import AgeModel, Stacked
from arcage.heads.stages import (
    BoostedModel,
    CrossFit,
    fit_boosted,
    fit_kernel,
    fit_single,
    kernel_sums,
    largest_variance,
    merge_small,
)
from arcage.heads.task import Task
from arcage.types import F32, F64, Array

BAND_EDGES = (7.5, 18.5, 30.5, 50.5)
"""Edges, in years, of the age bands whose discriminant axes are computed. Few and wide: each class adds an
axis, and axes that separate neighbouring ages contain more noise than information about age."""
BAND_EDGES_BY_GENDER = (3.5, 12.5, 19.5, 25.5, 32.5, 45.5, 60.5, 75.5)
"""Edges of the age bands for the axes that separate bands of women and of men."""
NODES = (1, 3, 5, 8, 12, 16, 20, 24, 26, 28, 32, 36, 40, 45, 50, 55, 60, 65, 70, 76, 84, 92)
"""Ages, in years, whose soft indicators the kernel stage predicts in addition to the age."""


def fit_age(task: Task) -> CrossFit[AgeModel]:
    """Fit the age model, and calibrate its distribution on the out-of-fold predictions for the faces.

    Returns:
        The model; and out-of-fold outputs of its stack, shape (faces, 1) or (faces, 3).
    """
    if task.settings.kind == "boosted":
        fitted = _fit_boosted(task)
    else:
        single = fit_single(task)
        stack = Stacked((), np.empty(0, np.int64), (single.model,))
        fitted = CrossFit(stack, single.out_of_fold)
    out_of_fold = fitted.out_of_fold[: task.faces]
    distribution = predictive(out_of_fold, task.target[: task.faces])
    return CrossFit(AgeModel(fitted.model, distribution), out_of_fold)


def _fit_boosted(task: Task) -> CrossFit[Stacked]:
    targets = _targets(task.target)
    kernels: list[Kernel] = []
    outputs: list[F32] = []
    for classes, stage in zip(_classes(task), ("kernel stage", "kernel stage by gender"), strict=False):
        sums = kernel_sums(task, classes, targets, stage)
        kernel = fit_kernel(task, sums, targets)
        del sums
        kernels.append(kernel.model)
        outputs.append(kernel.out_of_fold)
    columns = largest_variance(task.x, task.settings.context_columns)
    features = np.concatenate([*outputs, task.x[:, columns]], axis=1)
    start = np.mean([predicted[:, 0] for predicted in outputs], axis=0)
    models = (
        BoostedModel("boosting", task.settings.age, "l1"),
        BoostedModel("lower quantile", task.settings.quantiles, "quantile", 0.05),
        BoostedModel("upper quantile", task.settings.quantiles, "quantile", 0.95),
    )
    boosted = fit_boosted(task, features, start, models)
    return CrossFit(Stacked(tuple(kernels), columns, boosted.model), boosted.out_of_fold)


def _classes(task: Task) -> list[Array]:
    """Return the classes that each kernel's axes separate: age bands, and age bands of each gender.

    Women and men age differently. The errors of the two kernels are partly independent, so their mean is more
    accurate than either, and the boosting weighs them.
    """
    age, gender = task.labels.age, task.labels.gender
    classes = [merge_small(np.digitize(age, BAND_EDGES), task.fitted)]
    genders = np.select([gender == 0, gender == 1], [0, 1], 2)
    if len(np.unique(genders[task.fitted])) > 1:
        bands = merge_small(np.digitize(age, BAND_EDGES_BY_GENDER), task.fitted)
        classes.append(3 * bands + genders)
    return classes


def _targets(age: F32) -> F64:
    """Return the age and its proximity to each node, shape (n, 1 + nodes)."""
    nodes = np.sqrt(np.array(NODES) + 3.0)
    near = np.exp(-0.5 * ((np.sqrt(age.astype(np.float64) + 3)[:, None] - nodes) / 0.25) ** 2)
    return np.concatenate([age[:, None], 10 * near / near.sum(axis=1, keepdims=True)], axis=1)
