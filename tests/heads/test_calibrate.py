"""Conformal intervals: coverage at every age."""

from __future__ import annotations

import numpy as np
import pytest

from arcage.heads.calibrate import conformal
from arcage.heads.distribution import OLDEST, YOUNGEST
from arcage.heads.model import AgeModel, Heads


def noisy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ages, and answers drawn to the middle as a regression's are, with errors that grow with age."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 80, n).astype(np.float32)
    predictions = 4 + 0.9 * truth + rng.normal(size=n) * (1 + truth / 10)
    return predictions.astype(np.float32)[:, None], truth


@pytest.mark.parametrize("quantiles", [False, True])
def test_conformal_covers_the_young_and_the_old(fitted: Heads, quantiles: bool) -> None:
    assert fitted.age is not None
    predictions, truth = noisy(5000, 0)
    if quantiles:
        # Far too narrow, and not in their order.
        predictions = np.concatenate([predictions, predictions + 0.1, predictions - 0.1], axis=1)
    curves = conformal(predictions[:2500], truth[:2500])
    assert all((np.diff(curve) > 0).all() for curve in curves)
    model = AgeModel(fitted.age.stack, *curves)
    age, low, high = model.interval(predictions[2500:])
    assert (age.dtype, low.dtype, high.dtype) == (np.float32,) * 3
    inside, width = (low <= truth[2500:]) & (truth[2500:] <= high), high - low
    for youngest in range(0, 80, 10):
        band = (truth[2500:] >= youngest) & (truth[2500:] < youngest + 10)
        # No age is below 0, and the interval has the answer in it: the youngest are covered more often.
        assert 0.84 <= inside[band].mean() <= (0.97 if youngest else 0.99)
    assert 0.87 <= inside.mean() <= 0.93
    assert width[truth[2500:] > 60].mean() > 2 * width[truth[2500:] < 20].mean()


def test_conformal_ends_stay_ages_and_keep_their_order(fitted: Heads) -> None:
    assert fitted.age is not None
    model = AgeModel(fitted.age.stack, *conformal(*noisy(300, 1)))
    predictions = np.linspace(-200, 300, 101, dtype=np.float32)[:, None]
    age, low, high = model.interval(predictions)
    for values in (age, low, high):
        assert (np.diff(values) >= 0).all()
        assert values.min() >= YOUNGEST
        assert values.max() <= OLDEST
    assert (low <= age).all()
    assert (age <= high).all()
    # Few faces make one band.
    ages, *_ = conformal(*noisy(60, 2))
    assert len(ages) == 3
