"""Planted predictions of ages, whose errors in age checks are known."""

from __future__ import annotations

import math

import numpy as np

from arcage.heads.distribution import LEVELS
from arcage.heads.model import Predictions
from arcage.types import Labels

SPREAD = 4.0
"""Standard deviation of the planted predictions, years."""
OLDEST = 60
EACH = 300
"""Faces of each year of age."""


def normal(z: np.ndarray) -> np.ndarray:
    """The distribution function of the standard normal distribution."""
    return np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)))(z)


def posterior(predicted: np.ndarray) -> np.ndarray:
    """Return the quantiles of the ages of the planted faces, given their predictions."""
    # Ages are uniform, so this is a normal distribution, truncated to the planted ages.
    first, last = (normal((end - 0.5 - predicted) / SPREAD)[:, None] for end in (0, OLDEST))
    level = np.clip(first + np.array(LEVELS) * (last - first), 1e-12, 1 - 1e-12)
    z = np.linspace(-8, 8, 4001)
    ages = predicted[:, None] + SPREAD * np.interp(level, normal(z), z)
    return np.clip(ages, 0, OLDEST).astype(np.float32)


def predictions_of(age: np.ndarray, quantiles: np.ndarray | None = None) -> Predictions:
    unknown = np.full(len(age), np.nan, np.float32)
    if quantiles is None:
        return Predictions(age, unknown, unknown, unknown)
    return Predictions(age, unknown, unknown, unknown, quantiles)


def planted(each: int = EACH) -> tuple[Predictions, Labels]:
    """Return faces of each age from 0 to 59 years, with normal errors and the true distributions."""
    rng = np.random.default_rng(0)
    age = np.repeat(np.arange(OLDEST), each).astype(np.float32)
    # The faces of 17 years look 16.5 to 17.5 years old.
    predicted = (age + rng.uniform(-0.5, 0.5, len(age)) + rng.normal(0, SPREAD, len(age))).astype(np.float32)
    gender = (np.arange(len(age)) % 2).astype(np.float32)
    return predictions_of(predicted, posterior(predicted)), Labels(age, gender, np.where(age % 3, "b", "a"))
