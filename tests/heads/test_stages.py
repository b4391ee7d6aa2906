"""Stages on their own: what their folds see, and the bands and columns that they are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from faces import FAST, faces

from arcage.heads.boosting import Boosting
from arcage.heads.callbacks import Step
from arcage.heads.kernel import KernelSettings
from arcage.heads.layers import Linear
from arcage.heads.stages import (
    BoostedModel,
    cross_fit,
    fit_boosted,
    fit_kernel,
    fit_single,
    kernel_sums,
    largest_variance,
    merge_small,
)
from arcage.heads.task import Task, make_task
from arcage.types import Labels

N = 300
X, AGE, GENDER = faces(N, 0)
SETTINGS = replace(FAST, kernel=KernelSettings(centers=50), folds=3)
BOOSTED = (BoostedModel("boosting", Boosting(rounds=5), "l1"),)


def task(
    age: np.ndarray = AGE,
    weight: np.ndarray | None = None,
    variants: int = 0,
    steps: list[Step] | None = None,
) -> Task:
    return make_task(
        "age",
        X,
        Labels(age, GENDER),
        np.arange(N),
        variants=[X + 0.01] * variants,
        weight=np.ones(N, np.float32) if weight is None else weight,
        settings=SETTINGS,
        callback=None if steps is None else steps.append,
    )


def without(rows: np.ndarray) -> np.ndarray:
    """Ages of which those of some rows are absurd."""
    age = AGE.copy()
    age[rows] = 120 - age[rows]
    return age


def kernel_of(made: Task, exclude: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    targets = made.target[:, None].astype(np.float64)
    sums = kernel_sums(made, np.digitize(AGE, [20, 50]), targets)
    fitted = fit_kernel(made, sums, targets, exclude)
    return fitted.model(X), fitted.out_of_fold


def test_the_kernel_stage_predicts_rows_that_it_has_not_seen() -> None:
    steps: list[Step] = []
    test = task().folds[1].test
    model, out_of_fold = kernel_of(task(steps=steps))
    assert [str(step) for step in steps] == [
        *(f"age: kernel stage, fold {n} of 3" for n in (1, 2, 3)),
        "age: kernel stage, all faces",
    ]
    other, others = kernel_of(task(without(test)))
    np.testing.assert_allclose(others[test], out_of_fold[test], rtol=1e-3, atol=1e-2)
    rest = np.setdiff1d(np.arange(N), test)
    assert np.abs(others[rest] - out_of_fold[rest]).mean() > 3
    assert np.abs(other - model).mean() > 3


def test_excluded_rows_are_taken_out_of_the_kernel_stage() -> None:
    exclude = np.arange(0, N, 5)
    wrong = task(without(exclude))
    for one, other in zip(kernel_of(task(), exclude), kernel_of(wrong, exclude), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-2)
    assert np.abs(kernel_of(wrong)[0] - kernel_of(wrong, exclude)[0]).mean() > 1


def test_the_boosted_stage_is_fitted_on_trusted_rows_and_predicts_the_faces() -> None:
    trusted = np.tile(np.arange(N) % 3 > 0, 2)
    one, other = (
        fit_boosted(made, made.x, np.full(2 * N, 40, np.float32), BOOSTED, trusted)
        for made in (task(variants=1), task(without(np.flatnonzero(~trusted[:N])), variants=1))
    )
    assert one.out_of_fold.shape == (N, 1)
    np.testing.assert_array_equal(one.out_of_fold, other.out_of_fold)
    np.testing.assert_array_equal(one.model[0](X), other.model[0](X))
    # The trees go on from the start; the out-of-fold predictions include it.
    assert np.abs(one.model[0](X)).mean() < 20
    assert np.abs(one.out_of_fold[:, 0] - AGE).mean() < np.abs(40 - AGE).mean()


def test_a_stage_of_ones_own_is_cross_fitted() -> None:
    """A stage that answers with the mean of its training labels."""

    def mean(x: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Linear:
        none = np.zeros(x.shape[1], np.float32)
        return Linear(none, none[:, None], np.array([np.average(target, weights=weight)], np.float32))

    weight = np.where(np.arange(N) < 100, 0, np.where(np.arange(N) < 200, 1, 3)).astype(np.float32)
    steps: list[Step] = []
    made = task(weight=weight, steps=steps)
    fitted = cross_fit(made, mean)
    np.testing.assert_allclose(fitted.model(X[:1]), [[np.average(AGE, weights=weight)]], rtol=1e-5)
    for train, test in made.folds:
        expected = np.average(AGE[train], weights=weight[train])
        np.testing.assert_allclose(fitted.out_of_fold[test], np.full((len(test), 1), expected), rtol=1e-5)
    assert [(step.stage, step.model, step.models) for step in steps] == [
        ("boosted", n, 4) for n in (1, 2, 3, 4)
    ]


def test_a_linear_score_of_gender_is_around_zero() -> None:
    made = replace(task(), attribute="gender", settings=replace(SETTINGS, kind="linear"))
    score = fit_single(made).out_of_fold[:, 0]
    assert ((score > 0) == (GENDER == 1)).mean() > 0.8
    assert score[GENDER == 1].mean() == pytest.approx(-score[GENDER == 0].mean(), abs=0.15)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({0: 20, 1: 20}, {0: 20, 1: 20}),
        ({0: 25, 1: 5, 4: 25}, {0: 30, 4: 25}),
        ({0: 25, 3: 5, 4: 25}, {0: 25, 4: 30}),
        ({0: 5, 1: 5, 2: 15}, {1: 25}),
        ({3: 4}, {3: 4}),
    ],
)
def test_small_bands_join_the_nearest(counts: dict[int, int], expected: dict[int, int]) -> None:
    bands = np.repeat(list(counts), list(counts.values()))
    merged = merge_small(bands, np.ones(len(bands), bool))
    assert (
        dict(zip(*(part.tolist() for part in np.unique(merged, return_counts=True)), strict=True)) == expected
    )
    # Rows that are not fitted on do not make a band large, and go where it goes.
    twice = merge_small(np.tile(bands, 2), np.arange(2 * len(bands)) < len(bands))
    np.testing.assert_array_equal(twice, np.tile(merged, 2))


def test_the_columns_of_the_largest_variance() -> None:
    x = np.random.default_rng(0).normal(size=(500, 5)) * [1, 5, 0.1, 3, 4] + [0, 0, 100, 0, 0]
    assert largest_variance(x.astype(np.float32), 3).tolist() == [1, 3, 4]
    assert largest_variance(x.astype(np.float32), 9).tolist() == [0, 1, 2, 3, 4]
    assert largest_variance(np.eye(4, dtype=np.float32), 2).tolist() == [0, 1]
