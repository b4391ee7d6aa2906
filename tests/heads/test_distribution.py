"""The predictive distribution: quantiles, intervals and probabilities of planted distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from arcage.heads.distribution import HIGHEST_LEVEL, LEVELS, Distribution, probability_below, quantile

MEANS = np.array([30, 45, 60], np.float32)
NORMAL = (MEANS[:, None] + 5 * norm.ppf(LEVELS)).astype(np.float32)
"""Quantiles of normal distributions, shape (3, levels)."""


def test_the_levels_are_symmetric_and_reach_into_the_tails() -> None:
    assert list(LEVELS) == sorted(set(LEVELS))
    np.testing.assert_allclose(np.add(LEVELS, LEVELS[::-1]), 1, atol=1e-12)
    assert LEVELS[0] <= 0.005 < 0.995 <= LEVELS[-1]
    assert {0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975} <= set(LEVELS)
    assert pytest.approx(LEVELS[-1] - LEVELS[0]) == HIGHEST_LEVEL


def test_quantiles_of_a_normal_distribution() -> None:
    for q in LEVELS:
        np.testing.assert_allclose(quantile(NORMAL, q), MEANS + 5 * norm.ppf(q), rtol=1e-5)
    for q in (0.007, 0.33, 0.62, 0.97):
        # Between the levels, interpolated.
        np.testing.assert_allclose(quantile(NORMAL, q), MEANS + 5 * norm.ppf(q), atol=0.3)
    np.testing.assert_allclose(quantile(NORMAL, (1 - HIGHEST_LEVEL) / 2), NORMAL[:, 0])
    for q in (0.0, 0.001, 0.999, 1.0, np.nan):
        with pytest.raises(ValueError, match="between"):
            quantile(NORMAL, q)


def test_probability_of_being_younger_in_a_normal_distribution() -> None:
    for age in np.arange(15, 80, 0.5):
        p = probability_below(NORMAL, float(age))
        assert p.dtype == np.float32
        np.testing.assert_allclose(p, norm.cdf((age - MEANS) / 5), atol=0.005)
    np.testing.assert_allclose(probability_below(NORMAL, MEANS), 0.5, atol=1e-6)
    # It is the inverse of the quantiles.
    for q in (0.003, 0.05, 0.4, 0.93):
        np.testing.assert_allclose(probability_below(NORMAL, quantile(NORMAL, q)), q, atol=1e-5)


def test_probabilities_increase_with_the_age_from_0_to_1() -> None:
    young = np.maximum(NORMAL - 28, 0)  # Several quantiles are 0 years.
    p = np.stack([probability_below(young, float(age)) for age in np.linspace(0, 120, 481)])
    assert (np.diff(p, axis=0) >= 0).all()
    assert (p[0] == 0).all()
    assert (p[-1] == 1).all()
    assert (probability_below(young, -1.0) == 0).all()
    assert (probability_below(young, 130.0) == 1).all()


def test_a_certain_age_is_a_step() -> None:
    certain = np.full((1, len(LEVELS)), 20, np.float32)
    np.testing.assert_allclose(probability_below(certain, 20.01), 1, atol=0.003)
    np.testing.assert_allclose(probability_below(certain, 20), 0, atol=0.003)


def test_unknown_distributions_stay_unknown() -> None:
    unknown = np.full((2, len(LEVELS)), np.nan, np.float32)
    assert np.isnan(quantile(unknown, 0.5)).all()
    assert np.isnan(probability_below(unknown, 18)).all()
    assert probability_below(np.empty((0, len(LEVELS)), np.float32), 18).shape == (0,)


def test_scores_between_two_predicted_ages_are_interpolated() -> None:
    scores = np.stack([np.subtract(LEVELS, 0.5), 3 * np.subtract(LEVELS, 0.5)]).astype(np.float32)
    distribution = Distribution(np.array([20, 40], np.float32), scores)
    found = distribution.scores_at(np.array([10, 20, 30, 40, 90], np.float32))
    np.testing.assert_allclose(found[:, -1], np.multiply(scores[0, -1], [1, 1, 2, 3, 3]), rtol=1e-6)
    predictions = np.array([[30, 24, 32], [30, 30.5, 30]], np.float32)
    # The scale is half the distance of the quantiles, and at least one year.
    ages = distribution(predictions)
    np.testing.assert_allclose(ages[:, -1], 30 + 2 * scores[0, -1] * np.array([4, 1]), rtol=1e-6)
