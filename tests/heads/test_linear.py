"""Ridge regression in one pass, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from arcage.heads import linear
from arcage.heads.kernel import Fold
from arcage.heads.linear import PENALTIES, cross_ridge

N = 120
TESTS = np.arange(N).reshape(3, 40)
FOLDS = [Fold(np.setdiff1d(np.arange(N), test), test) for test in TESTS]


def data(noise: float, columns: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, columns)) * np.linspace(1, 20, columns) + 3
    target = 30 + x[:, 0] + noise * rng.normal(size=N)
    weight = rng.uniform(0.5, 2, N)
    return x.astype(np.float32), target.astype(np.float32), (weight / weight.mean()).astype(np.float32)


def reference(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray, penalty: float, train: np.ndarray
) -> np.ndarray:
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    fitted = Ridge(alpha=penalty).fit(z[train], target[train], sample_weight=weight[train])
    return np.asarray(fitted.predict(z))


def test_each_fold_is_fitted_without_its_test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "PENALTIES", np.array([50.0]))
    x, target, weight = data(noise=1)
    model, out_of_fold = cross_ridge(x, target, weight, FOLDS)
    everyone = reference(x, target, weight, 50, np.arange(N))
    np.testing.assert_allclose(model(x)[:, 0], everyone, rtol=1e-4)
    for train, test in FOLDS:
        expected = reference(x, target, weight, 50, train)[test]
        np.testing.assert_allclose(out_of_fold[test, 0], expected, rtol=1e-4)
        assert np.abs(expected - everyone[test]).max() > 0.1


@pytest.mark.parametrize(("noise", "expected"), [(0, PENALTIES[0]), (1, None), (1000, PENALTIES[-1])])
def test_the_penalty_is_the_best_on_the_first_fold(noise: float, expected: float | None) -> None:
    x, target, weight = data(noise)
    train, test = FOLDS[0]
    errors = [
        np.square(reference(x, target, weight, penalty, train)[test] - target[test]).mean()
        for penalty in PENALTIES
    ]
    best = PENALTIES[np.argmin(errors)]
    if expected is None:
        assert PENALTIES[0] < best < PENALTIES[-1]
    else:
        assert best == expected
    everyone = reference(x, target, weight, best, np.arange(N))
    np.testing.assert_allclose(cross_ridge(x, target, weight, FOLDS).model(x)[:, 0], everyone, rtol=1e-4)


def test_labels_without_a_weight_and_constant_columns_change_nothing() -> None:
    x, target, weight = data(noise=1)
    x[:, 4] = 7
    weight[TESTS[2]] = 0
    absurd = target.copy()
    absurd[TESTS[2]] = 1000
    model, out_of_fold = cross_ridge(x, target, weight, FOLDS)
    other, others = cross_ridge(x, absurd, weight, FOLDS)
    np.testing.assert_array_equal(model(x), other(x))
    np.testing.assert_array_equal(out_of_fold, others)
    assert model.weights[4] == 0
