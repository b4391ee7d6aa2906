"""Distributions that mean what they say, and intervals that cover at every age."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from arcage.heads.calibrate import calibrated_like, conformal, predictive
from arcage.heads.distribution import HIGH, LEVELS, LOW, OLDEST, YOUNGEST, Distribution, probability_below
from arcage.heads.model import Curves, ages


def noisy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ages, and answers drawn to the middle as a regression's are, with errors that grow with age."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 80, n).astype(np.float32)
    predictions = 4 + 0.9 * truth + rng.normal(size=n) * (1 + truth / 10)
    return predictions.astype(np.float32)[:, None], truth


@pytest.mark.parametrize("quantiles", [False, True])
def test_conformal_covers_the_young_and_the_old(quantiles: bool) -> None:
    predictions, truth = noisy(5000, 0)
    if quantiles:
        # Far too narrow, and not in their order.
        predictions = np.concatenate([predictions, predictions + 0.1, predictions - 0.1], axis=1)
    curves = conformal(predictions[:2500], truth[:2500])
    assert all((np.diff(curve) > 0).all() for curve in (curves.ages, curves.low, curves.high))
    age, low, high, _ = ages(curves, predictions[2500:])
    assert (age.dtype, low.dtype, high.dtype) == (np.float32,) * 3
    inside, width = (low <= truth[2500:]) & (truth[2500:] <= high), high - low
    for youngest in range(0, 80, 10):
        band = (truth[2500:] >= youngest) & (truth[2500:] < youngest + 10)
        # No age is below 0, and the interval has the answer in it: the youngest are covered more often.
        assert 0.84 <= inside[band].mean() <= (0.97 if youngest else 0.99)
    assert 0.87 <= inside.mean() <= 0.93
    assert width[truth[2500:] > 60].mean() > 2 * width[truth[2500:] < 20].mean()


def test_conformal_ends_stay_ages_and_keep_their_order() -> None:
    curves = conformal(*noisy(300, 1))
    predictions = np.linspace(-200, 300, 101, dtype=np.float32)[:, None]
    age, low, high, _ = ages(curves, predictions)
    for values in (age, low, high):
        assert (np.diff(values) >= 0).all()
        assert values.min() >= YOUNGEST
        assert values.max() <= OLDEST
    assert (low <= age).all()
    assert (age <= high).all()
    # Few faces make one band.
    assert len(conformal(*noisy(60, 2)).ages) == 3


def planted(n: int, seed: int, *, quantiles: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, the standard deviation of the age given each of them, and ages drawn from it.

    The errors grow with the predicted age, are off by a third of their size, and the quantiles are twice too
    wide.
    """
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(30, 70, n)
    spread = predicted / 10
    truth = predicted + spread / 3 + spread * rng.normal(size=n)
    columns = [predicted, predicted - 4 * spread, predicted + 4 * spread] if quantiles else [predicted]
    return np.stack(columns, axis=1).astype(np.float32), spread, truth.astype(np.float32)


@pytest.mark.parametrize("quantiles", [False, True])
def test_the_planted_distribution_is_found(quantiles: bool) -> None:
    predictions, _, age = planted(20_000, 0, quantiles=quantiles)
    distribution = predictive(predictions, age)
    new, spread, truth = planted(20_000, 1, quantiles=quantiles)
    found = distribution(new)
    assert found.dtype == np.float32
    assert (np.diff(found, axis=1) >= 0).all()
    expected = new[:, :1] + spread[:, None] * (1 / 3 + norm.ppf(LEVELS))
    middle = slice(LOW, HIGH + 1)
    assert np.abs((found - expected) / spread[:, None])[:, middle].mean() < 0.07
    for level in (0.5, 0.8, 0.9, 0.95):
        low, high = (found[:, np.argmin(np.abs(np.subtract(LEVELS, (1 + s * level) / 2)))] for s in (-1, 1))
        for youngest in range(30, 70, 10):
            band = (new[:, 0] >= youngest) & (new[:, 0] < youngest + 10)
            assert abs(((low <= truth) & (truth <= high))[band].mean() - level) < 0.025
    # A probability is right wherever it is said.
    p = probability_below(found, 45)
    for least in np.arange(0, 1, 0.2):
        said = (p >= least) & (p < least + 0.2)
        assert abs(p[said].mean() - (truth < 45)[said].mean()) < 0.04


def test_few_faces_make_one_band_with_the_tails_of_a_normal_distribution() -> None:
    predictions, _, age = planted(100, 2, quantiles=True)
    distribution = predictive(predictions, age)
    assert distribution.scores.shape == (1, len(LEVELS))
    assert (np.diff(distribution.scores) >= 0).all()
    score = (age - predictions[:, 0]) / (predictions[:, 2] - predictions[:, 0])
    # The hundred scores say nothing about one in five hundred.
    assert distribution.scores[0, 0] < score.min()
    assert distribution.scores[0, -1] > score.max()
    inside = (score >= distribution.scores[0, LOW]) & (score <= distribution.scores[0, HIGH])
    assert 0.9 <= inside.mean() <= 0.94


def test_distributions_stay_ages_and_contain_the_predicted_age() -> None:
    for predictions, truth in (noisy(300, 1), noisy(2000, 2)):
        # Ages far above all predictions: the predicted age is inside the interval all the same.
        for shift in (0, 30):
            distribution = predictive(predictions, np.minimum(truth + shift, 110).astype(np.float32))
            wanted = np.array([-200, -1, 0, 50, 119, 300], np.float32)[:, None]
            age, low, high, quantiles = ages(distribution, wanted)
            assert quantiles.min() >= YOUNGEST
            assert quantiles.max() <= OLDEST
            assert (low <= age).all()
            assert (age <= high).all()


def test_equal_predictions_share_a_band() -> None:
    age = np.repeat(np.arange(20, 60, dtype=np.float32), 20)
    same = predictive(np.full((800, 1), 40, np.float32), age)
    np.testing.assert_array_equal(same.centers, [40])
    np.testing.assert_allclose(same.scores[0, [LOW, HIGH]], [-18, 17], atol=1.1)
    mostly = predictive(np.where(age < 50, 30, age)[:, None].astype(np.float32), age)
    assert (np.diff(mostly.centers) > 0).all()


def test_heads_of_older_versions_are_calibrated_as_they_were() -> None:
    predictions, truth = noisy(300, 1)
    old, new = conformal(predictions, truth), predictive(predictions, truth)
    assert isinstance(calibrated_like(old, predictions, truth), Curves)
    assert isinstance(calibrated_like(new, predictions, truth), Distribution)
    assert np.isnan(ages(old, predictions).quantiles).all()
