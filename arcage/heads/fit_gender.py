"""Fit the gender head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arcage.heads.calibrate import platt
from arcage.heads.model import GenderModel, Stacked
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
from arcage.types import Array

BAND_EDGES = (1.5, 4.5, 9.5, 14.5, 19.5, 29.5, 44.5, 59.5, 74.5)
"""Edges, in years, of the age bands within which the axes separate the genders: its visible signs depend on
age."""
LABEL_NOISE_MARGIN = -0.5
"""A label is treated as wrong if the kernel stage's out-of-fold score (-1 male to 1 female), times the sign
of the label, is below this."""


def fit_gender(task: Task) -> CrossFit[GenderModel]:
    """Fit the gender model, and calibrate it on the out-of-fold predictions for the faces.

    Returns:
        The model; and out-of-fold scores, shape (faces,).
    """
    if task.settings.kind == "boosted":
        fitted = _fit_boosted(task)
    else:
        single = fit_single(task)
        stack = Stacked((), np.empty(0, np.int64), (single.model,))
        fitted = CrossFit(stack, single.out_of_fold)
    score = fitted.out_of_fold[: task.faces, 0]
    slope, offset = platt(score, task.target[: task.faces])
    return CrossFit(GenderModel(fitted.model, slope, offset), score)


def _fit_boosted(task: Task) -> CrossFit[Stacked]:
    faces, gender = task.faces, task.target
    sign = 2 * gender - 1
    targets = sign[:, None].astype(np.float64)
    sums = kernel_sums(task, _classes(task), targets)
    # Wrong labels are common in scraped data sets, and squared errors give them much influence. The face
    # decides, not its degraded variants, which show less.
    first = fit_kernel(task, sums, targets).out_of_fold
    trusted = np.tile(first[:faces, 0] * sign[:faces] > LABEL_NOISE_MARGIN, len(gender) // faces)
    kernel = fit_kernel(task, sums, targets, exclude=np.flatnonzero(~trusted))
    del sums
    # Boosting starts from log-odds.
    slope, offset = (np.float32(value) for value in platt(kernel.out_of_fold[:faces, 0], gender[:faces]))
    model = replace(
        kernel.model, weights=kernel.model.weights * slope, bias=kernel.model.bias * slope + offset
    )
    log_odds = kernel.out_of_fold * slope + offset
    columns = largest_variance(task.x, task.settings.context_columns)
    features = np.concatenate([log_odds, task.x[:, columns]], axis=1)
    models = (BoostedModel("boosting", task.settings.gender, "binary"),)
    boosted = fit_boosted(task, features, log_odds[:, 0], models, trusted)
    return CrossFit(Stacked((model,), columns, boosted.model), boosted.out_of_fold)


def _classes(task: Task) -> Array:
    """Return the classes that the kernel's axes separate: the genders within each age band."""
    age, gender = task.labels.age, task.labels.gender
    # np.digitize puts NaN into the last band; unknown ages get a band of their own.
    bands = np.where(np.isfinite(age), np.digitize(age, BAND_EDGES), len(BAND_EDGES) + 1)
    male, female = (merge_small(np.where(gender == g, bands, -1), task.fitted) for g in (0, 1))
    return np.where(gender == 0, 2 * male, 2 * female + 1)
