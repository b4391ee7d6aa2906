"""The predictive distribution of an age: quantiles at fixed levels.

Everything that is said about the uncertainty of an age comes from these quantiles: intervals of any level,
and the probability of being younger than a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from arcage.types import F32, Array

YOUNGEST, OLDEST = 0.0, 120.0
"""Range of predicted ages, years."""
_TAIL = (0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
LEVELS = (*_TAIL, 0.5, *(round(1 - level, 3) for level in reversed(_TAIL)))
"""Probabilities of the quantiles. Symmetric, and denser in the tails."""
HIGHEST_LEVEL = 0.996
"""Highest level of an interval: from the first quantile to the last one."""
LOW, HIGH = LEVELS.index(0.05), LEVELS.index(0.95)
"""Columns of the bounds of the 90 % interval."""
LEAST_SCALE = 1.0
"""Minimum unit of the scores, years. Labels are whole years, and quantiles are fitted independently of each
other and may cross."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """The predictive distribution of an age, given the outputs of a stack.

    It has the quantiles of the scores ``(age - predicted age) / scale`` for some predicted ages, which are
    interpolated. :func:`arcage.heads.calibrate.predictive` calibrates them.
    """

    centers: F32
    """Shape (bands,), predicted ages, years, increasing."""
    scores: F32
    """Shape (bands, len(LEVELS)), non-decreasing along the levels; at most 0 up to :data:`LOW` and at least 0
    from :data:`HIGH` on, so that the predicted age is inside the 90 % interval."""

    def __call__(self, predictions: F32) -> F32:
        """Return the quantiles for outputs of a stack.

        Args:
            predictions: shape (n, 1) or (n, 3): age, and if fitted its lower and upper quantile.

        Returns:
            Shape (n, len(LEVELS)), years, from :data:`YOUNGEST` to :data:`OLDEST`.
        """
        age = predictions[:, :1]
        score = self.scores_at(age[:, 0])
        ages = np.clip(age + score * scale(predictions)[:, None], YOUNGEST, OLDEST)
        return np.asarray(ages, np.float32)

    def scores_at(self, age: F32) -> F32:
        """Return the quantiles of the scores for predicted ages, shape (n,) -> (n, len(LEVELS))."""
        last = len(self.centers) - 1
        place = np.interp(age, self.centers, np.arange(last + 1))
        place[np.isnan(age)] = 0
        band = np.minimum(place.astype(np.intp), max(last - 1, 0))
        share = (place - band).astype(np.float32)[:, None]
        low, high = self.scores[band], self.scores[np.minimum(band + 1, last)]
        return np.asarray((1 - share) * low + share * high, np.float32)


def scale(predictions: F32) -> F32:
    """Return the years that a score of 1 stands for, shape (n,): half the distance between the predicted
    quantiles of the age, or 1 year for heads without quantiles."""
    if predictions.shape[1] != 3:
        return np.ones(len(predictions), np.float32)
    return np.maximum((predictions[:, 2] - predictions[:, 1]) / 2, np.float32(LEAST_SCALE))


def quantile(quantiles: F32, q: float) -> F32:
    """Return the ages below which a face is with the probability ``q``.

    Args:
        quantiles: shape (n, len(LEVELS)), years, non-decreasing.
        q: from the first to the last of :data:`LEVELS`. Quantiles in between are interpolated.

    Returns:
        Shape (n,), years; NaN where the quantiles are NaN.

    Raises:
        ValueError: ``q`` is outside this range.
    """
    # A level that is computed from another, such as (1 - 0.9) / 2, is rounded in its last digits.
    if not LEVELS[0] - 1e-9 <= q <= LEVELS[-1] + 1e-9:
        raise ValueError(f"a quantile is between {LEVELS[0]} and {LEVELS[-1]}, not {q}")
    place = float(np.interp(round(q, 9), LEVELS, np.arange(len(LEVELS))))
    lower = min(int(place), len(LEVELS) - 2)
    share = np.float32(place - lower)
    low, high = quantiles[:, lower], quantiles[:, lower + 1]
    return low + share * (high - low)


def probability_below(quantiles: F32, age: ArrayLike) -> F32:
    """Return the probability that a face is younger than an age.

    Between the quantiles, probabilities are interpolated. Beyond them, they go on to 0 at the age of
    :data:`YOUNGEST` and to 1 at :data:`OLDEST`.

    Args:
        quantiles: as for :func:`quantile`.
        age: years; one number, or shape (n,).

    Returns:
        Shape (n,), 0 to 1; NaN where the quantiles or the ages are NaN.
    """
    ends = np.full((len(quantiles), 1), YOUNGEST, np.float32)
    ages = np.concatenate([ends, quantiles, np.full_like(ends, OLDEST)], axis=1)
    levels = np.array([0.0, *LEVELS, 1.0], np.float32)
    wanted = np.broadcast_to(np.asarray(age, np.float32), len(quantiles))
    # The last quantile below the age: where several are equal, as at 0 years, none of them is below it.
    before = np.clip((ages < wanted[:, None]).sum(axis=1) - 1, 0, len(levels) - 2)
    rows = np.arange(len(quantiles))
    low, high = ages[rows, before], ages[rows, before + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((wanted - low) / (high - low), 0, 1)
    share[(wanted <= low) & (high <= low)] = 0
    known = ~np.isnan(quantiles[:, 0]) & ~np.isnan(wanted)
    p: Array = np.where(known, levels[before] + share * (levels[before + 1] - levels[before]), np.nan)
    return p.astype(np.float32)
