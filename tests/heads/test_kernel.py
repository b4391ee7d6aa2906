"""The kernel stage's sums, compared with what they stand for; and work done side by side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh, solve

from arcage.heads.kernel import (
    BLOCK,
    Fold,
    KernelSettings,
    KernelSums,
    cross_kernel,
    discriminant_axes,
    outputs,
    scatter,
)
from arcage.heads.layers import gaussian

N, DIMENSION, CLASSES = 900, 12, 5
SETTINGS = KernelSettings(centers=150, context_columns=4)
EQUAL = np.ones(N, np.float32)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Descriptors far from the origin, as raw levels are; classes; two targets that follow from them."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, N)
    x = rng.normal(size=(N, DIMENSION)) * np.linspace(1, 3, DIMENSION) + 20
    x[:, 1] += 1.5 * classes
    targets = np.stack([30 + 10 * classes + rng.normal(size=N), np.sin(x[:, 1])], axis=1)
    return x.astype(np.float32), classes, targets


@pytest.fixture(scope="module")
def sums(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[list, list[KernelSums]]:
    folds = [Fold(np.flatnonzero(np.arange(N) % 3 != k), np.arange(k, N, 3)) for k in range(3)]
    return folds, list(cross_kernel(*data, EQUAL, folds, SETTINGS, 0))


def assert_alike(a: np.ndarray, b: np.ndarray) -> None:
    """Up to single precision's rounding, which is far below the targets' own noise of 1."""
    assert np.abs(a - b).mean() < 0.02
    assert np.abs(a - b).max() < 0.3


def test_axes_of_all_less_some_are_those_of_the_rest(data: tuple[np.ndarray, ...]) -> None:
    x, classes, _ = data
    origin, rows = x[0], np.arange(N)
    some = rows[: N // 3]
    rest = scatter(x, classes, CLASSES, EQUAL, origin, rows).plus(
        scatter(x, classes, CLASSES, EQUAL, origin, some), sign=-1
    )
    axes = discriminant_axes(rest, 0.3)

    # Fisher's criterion as it is written: the eigenvectors of between and within.
    z, y = x[N // 3 :].astype(np.float64), classes[N // 3 :]
    total = np.cov(z.T, bias=True)
    means = np.stack([z[y == k].mean(axis=0) - z.mean(axis=0) for k in range(CLASSES)])
    between = (means * (np.bincount(y) / len(y))[:, None]).T @ means
    within = total - between
    within = 0.7 * within + 0.3 * np.trace(within) / DIMENSION * np.eye(DIMENSION)
    expected = eigh(between, within)[1][:, :-CLASSES:-1]
    assert axes.shape == (DIMENSION, CLASSES - 1)
    np.testing.assert_allclose(np.abs(axes.T @ within @ expected), np.eye(CLASSES - 1), atol=1e-3)


def test_weights_solve_the_regression_of_the_training_rows(
    data: tuple[np.ndarray, ...], sums: tuple[list, list[KernelSums]]
) -> None:
    x, _, targets = data
    folds, parts = sums
    assert len(parts) == len(folds) + 1
    for part, (train, test) in zip(parts, [*folds, (np.arange(N), np.arange(9))], strict=True):
        kernel = part.solve(0.3)
        assert len(kernel.centers) == SETTINGS.centers
        columns = gaussian(kernel.project(x[train]), kernel.centers).astype(np.float64)
        middle, mean = columns.mean(axis=0), targets[train].mean(axis=0)
        columns -= middle
        gram = columns.T @ columns + 0.3 * gaussian(kernel.centers, kernel.centers)
        weights = solve(gram, columns.T @ (targets[train] - mean))
        expected = (gaussian(kernel.project(x[test]), kernel.centers) - middle) @ weights + mean
        assert_alike(outputs(kernel, x, test), expected)
    test, age = folds[0][1], targets[:, 0]
    error = np.abs(outputs(parts[0].solve(0.3), x, test)[:, 0] - age[test]).mean()
    assert error < 0.6 * np.abs(age[test] - np.median(age)).mean()


def test_rounding_leaves_no_negative_squares_in_the_sums(
    data: tuple[np.ndarray, ...], sums: tuple[list, list[KernelSums]]
) -> None:
    """Centers that are close together leave eigenvalues near zero. With sums in single precision they were
    rounding, which the ridge did not always cover: once in a while a fold's answers were off by decades."""
    for part in sums[1]:
        values = eigh(part.gram, eigvals_only=True)
        assert values[0] > -1e-12 * values[-1]


def test_taking_rows_away_is_never_having_seen_them(
    data: tuple[np.ndarray, ...], sums: tuple[list, list[KernelSums]]
) -> None:
    x, _, targets = data
    (train, test), part = sums[0][0], sums[1][0]
    wrong = train[::10]
    nothing = part.add(x, targets, EQUAL, train, sign=-1)
    assert nothing.total[-1] == 0
    without = part.add(x, targets, EQUAL, wrong, sign=-1).solve(0.3)
    expected = nothing.add(x, targets, EQUAL, np.setdiff1d(train, wrong)).solve(0.3)
    assert_alike(outputs(without, x, test), outputs(expected, x, test))
    assert np.abs(outputs(without, x, test) - outputs(part.solve(0.3), x, test)).mean() > 0.1


def test_a_face_of_weight_two_is_one_that_comes_twice(
    data: tuple[np.ndarray, ...], sums: tuple[list, list[KernelSums]]
) -> None:
    x, classes, targets = data
    weight = np.where(np.arange(N) < 300, 2, 1).astype(np.float32)
    rows, twice = np.arange(N), np.concatenate([np.arange(N), np.arange(300)])
    a = scatter(x, classes, CLASSES, weight, x[0], rows)
    b = scatter(x, classes, CLASSES, EQUAL, x[0], twice)
    np.testing.assert_array_equal(a.count, b.count)
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(a.squares, b.squares, rtol=1e-4, atol=0.5)
    part = sums[1][-1]
    nothing = part.add(x, targets, EQUAL, rows, sign=-1)
    heavy = nothing.add(x, targets, weight, rows).solve(0.3)
    doubled, plain = nothing.add(x, targets, EQUAL, twice), part
    predictions, expected, other = (
        outputs(p, x, rows) for p in (heavy, doubled.solve(0.3), plain.solve(0.3))
    )
    assert np.abs(predictions - expected).mean() < 0.3 * np.abs(predictions - other).mean()


def test_faces_that_come_twice_do_not_stop_a_fit(data: tuple[np.ndarray, ...]) -> None:
    """Centers of equal faces leave the regression undetermined but for rounding."""
    x, classes, targets = (np.tile(part[:40], (60, *(1,) * (part.ndim - 1))) for part in data)
    weight = np.ones(len(x), np.float32)
    *_, part = cross_kernel(x, classes, targets, weight, [], KernelSettings(centers=1200), 0)
    predicted = outputs(part.solve(0.3), x, np.arange(40))
    assert np.abs(predicted[:, 0] - targets[:40, 0]).mean() < 2


def test_outputs_of_any_number_of_rows(data: tuple[np.ndarray, ...], sums: tuple[list, list]) -> None:
    kernel = sums[1][-1].solve(0.3)
    x = np.tile(data[0], (4, 1))
    assert len(x) > BLOCK
    np.testing.assert_allclose(outputs(kernel, x, np.arange(len(x))), kernel(x), rtol=1e-4, atol=1e-3)
    assert outputs(kernel, x, np.arange(0)).shape == (0, 2)


def test_sums_are_those_of_double_precision(
    data: tuple[np.ndarray, ...], sums: tuple[list, list[KernelSums]]
) -> None:
    """All of the Gram matrix that is large is in the leading directions."""
    x = data[0]
    part, (train, _) = sums[1][0], sums[0][0]
    columns = gaussian(part.kernel.project(x[train]), part.kernel.centers).astype(np.float64) - part.middle
    expected = np.tril(columns.T @ columns)
    rest = columns - columns @ part.leading @ part.leading.T
    assert np.square(rest).sum() < 0.02 * np.square(columns).sum()
    np.testing.assert_allclose(np.tril(part.gram), expected, rtol=1e-5, atol=1e-5)


def test_projections_of_many_rows_equal_those_of_the_layer(
    data: tuple[np.ndarray, ...], sums: tuple[list, list[KernelSums]]
) -> None:
    x, kernel = data[0], sums[1][-1].solve(0.3)
    selected = np.count_nonzero(kernel.projection, axis=0) == 1
    assert selected.sum() == SETTINGS.context_columns
    axes = kernel.project(x)
    np.testing.assert_allclose(outputs(kernel, x, np.arange(N)), kernel.from_axes(axes), rtol=1e-4, atol=1e-3)


def test_folds_that_share_axes_and_centers_are_fitted_on_their_own_training_rows(
    data: tuple[np.ndarray, ...],
) -> None:
    x, _, targets = data
    folds = [Fold(np.flatnonzero(np.arange(N) % 10 != k), np.arange(k, N, 10)) for k in range(10)]
    parts = list(cross_kernel(*data, EQUAL, folds, SETTINGS, 0))
    assert len(parts) == len(folds) + 1
    for first, second in zip(parts[:-1:2], parts[1:-1:2], strict=True):
        np.testing.assert_array_equal(first.kernel.centers, second.kernel.centers)
    assert not np.array_equal(parts[1].kernel.centers, parts[2].kernel.centers)
    for part, (train, test) in zip(parts, [*folds, (np.arange(N), np.arange(9))], strict=True):
        assert part.total[-1] == len(train)
        nothing = part.add(x, targets, EQUAL, train, sign=-1)
        expected = nothing.add(x, targets, EQUAL, train).solve(0.3)
        assert_alike(outputs(part.solve(0.3), x, test), outputs(expected, x, test))
    # A fold's axes and centers do not depend on its test faces: with other labels, they are the same.
    other = targets.copy()
    other[folds[0].test] += 100
    again = next(cross_kernel(x, data[1], other, EQUAL, folds, SETTINGS, 0))
    kernel, changed = parts[0].solve(0.3), again.solve(0.3)
    np.testing.assert_array_equal(kernel.projection, changed.projection)
    np.testing.assert_array_equal(kernel.weights, changed.weights)
