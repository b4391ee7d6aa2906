"""Fits of the measure of familiarity on made-up descriptors, whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest

from arcage.heads.fit_familiarity import COLUMNS, LOWEST, TAIL, FittedFamiliarity, fit_familiarity
from arcage.heads.kernel import Fold
from arcage.types import F32


def fit(x: F32, folds: int = 10) -> FittedFamiliarity:
    numbers = np.arange(len(x)) % folds
    splits = [Fold(np.flatnonzero(numbers != k), np.flatnonzero(numbers == k)) for k in range(folds)]
    return fit_familiarity(x, splits)


def normal(n: int, seed: int, columns: int = 20) -> F32:
    """Return correlated columns of different sizes."""
    mix = np.random.default_rng(7).normal(size=(columns, columns)) * np.geomspace(0.3, 3, columns)
    return (np.random.default_rng(seed).normal(size=(n, columns)) @ mix + 5).astype(np.float32)


def test_new_faces_are_uniformly_familiar() -> None:
    fitted = fit(normal(4000, 0))
    new = fitted.model(normal(20_000, 1))
    for share in (0.01, 0.1, 0.5, 0.9):
        assert (fitted.out_of_fold < share).mean() == pytest.approx(share, rel=0.1, abs=0.002)
        assert (new < share).mean() == pytest.approx(share, rel=0.15, abs=0.002)


def test_the_distance_undoes_size_and_correlation() -> None:
    """It is chi-square distributed: the mean is the number of columns, and the variance twice as large."""
    distance = fit(normal(20_000, 0)).model.distance(normal(20_000, 1))
    assert distance.mean() == pytest.approx(20, rel=0.05)
    assert distance.var() == pytest.approx(40, rel=0.1)


def test_training_faces_are_not_nearer_than_new_ones() -> None:
    """With few faces for the columns, a covariance that includes a face makes it look near."""
    x = normal(400, 0, 200)
    fitted = fit(x)
    new = fitted.model(normal(4000, 1, 200))
    assert np.median(new) == pytest.approx(0.5, abs=0.08)
    assert np.median(fitted.model(x)) > 0.6, "without folds"


def test_unlike_faces_are_unfamiliar_and_ranked_beyond_the_farthest() -> None:
    x = normal(4000, 0)
    model = fit(x).model
    farthest = np.argmax(model.distance(x))
    mean = x.mean(axis=0)
    far = model(mean + np.array([1, 1.1, 1.3, 1.6, 50], np.float32)[:, None] * (x[farthest] - mean))
    assert far[0] < 1 / 1000
    assert (np.diff(far) < 0).all()
    assert far[-1] == pytest.approx(LOWEST)


def test_the_tail_is_a_power_law() -> None:
    """Columns whose squared length has a Pareto tail, of which 20 times fewer faces are fitted."""

    def made(n: int, seed: int) -> F32:
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=(n, 10))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return (direction * (1 - rng.random((n, 1))) ** -0.1).astype(np.float32)

    new = fit(made(20_000, 0)).model(made(400_000, 1))
    assert (new < 1e-4).mean() == pytest.approx(1e-4, rel=0.5)
    assert (new < TAIL).mean() == pytest.approx(TAIL, rel=0.1)


def test_only_the_columns_with_the_largest_variance_count() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, COLUMNS + 5)).astype(np.float32)
    x[:, [3, 50]] *= 0.01
    model = fit(x).model
    assert len(model.columns) == COLUMNS
    assert not {3, 50} & set(model.columns.tolist())
    assert (np.diff(model.columns) > 0).all()


def test_very_few_faces_and_faces_that_are_all_alike() -> None:
    for x in (normal(3, 0), np.ones((40, 5), np.float32), np.zeros((20, 5), np.float32)):
        model, out_of_fold = fit(x, 3)
        assert np.isfinite(model(x)).all()
        assert ((out_of_fold > 0) & (out_of_fold <= 1)).all()
        assert model(x[:1] + 1000)[0] < 1e-3
