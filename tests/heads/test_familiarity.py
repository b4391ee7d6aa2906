"""The measure of familiarity, with made-up numbers."""

from __future__ import annotations

import numpy as np
import pytest

from arcage.heads.familiarity import Familiarity, squared_lengths
from arcage.heads.layers import Linear

F = np.float32
CURVE = np.array([1, 10, 100], F), np.array([1, 0.1, 0.001], F)


def measure() -> Familiarity:
    """Columns 2 and 0, of which the second counts twice as much."""
    whitening = Linear(np.array([1, -1], F), np.array([[1, 0], [0, 2]], F), np.zeros(2, F))
    return Familiarity(np.array([2, 0]), whitening, *CURVE)


def test_distance_in_the_chosen_columns() -> None:
    x = np.array([[-1, 99, 1], [0, 99, 1], [-1, 99, 4], [1, 0, 0]], F)
    np.testing.assert_allclose(measure().distance(x), [0, 4, 9, 17])


def test_shares_are_interpolated_on_logarithms() -> None:
    distance = np.array([0, 1, 10 ** (1 / 2), 10, 10**1.5, 100, 1e9], F)
    expected = [1, 1, 10 ** (-1 / 2), 0.1, 0.01, 0.001, 0.001]
    np.testing.assert_allclose(measure().share(distance), expected, rtol=1e-5)
    x = np.array([[0, 0, 3.449]], F)
    assert measure()(x) == pytest.approx(0.1, rel=0.01)
    assert measure()(x).dtype == np.float32


def test_squared_lengths() -> None:
    assert squared_lengths(np.array([[3, 4], [0, 0]], F)).tolist() == [25, 0]
    assert squared_lengths(np.empty((0, 2), F)).shape == (0,)
