"""Calibration on out-of-fold predictions: intervals that cover, and probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arcage.heads.parallel import one_thread
from arcage.types import F32, F64

COVERAGE = 0.9
MAX_BANDS = 24
FACES_PER_BAND = 120
"""Minimum number of faces in a band: the bounds of an interval are 5 % quantiles of their scores."""
BEYOND = 50.0
"""Years by which the curves are extended, with slope 1, below the lowest and above the highest band."""


class ConformalCurves(NamedTuple):
    """The calibration of intervals as a function of age; each of shape (points,), years, increasing."""

    ages: F32
    low: F32
    """The largest lower quantile with which a face of that age is inside its interval."""
    high: F32
    """The smallest upper quantile with which a face of that age is inside its interval."""


def conformal(predictions: F32, age: F32) -> ConformalCurves:
    """Calibrate intervals by conformalised quantile regression within bands of the true age.

    Label-conditional conformal prediction (Vovk et al., Conditional validity of inductive conformal
    predictors, ACML 2012) with the conformity scores of Romano et al. (NeurIPS 2019), for each bound
    separately. An age is inside the interval unless its prediction is unusual among faces of that age. So the
    coverage holds at every age, also for the young and the old, whose predictions are biased towards the
    middle.

    Args:
        predictions: shape (n, 1) or (n, 3): out-of-fold age, and if fitted its lower and upper quantile.
        age: shape (n,): the labels, years.

    Returns:
        Curves that are inverted to find the bounds of an interval: ``low`` maps an age to a lower quantile,
        so its inverse maps a predicted lower quantile to the lower bound.
    """
    bands = int(np.clip(len(age) // FACES_PER_BAND, 1, MAX_BANDS))
    edges = np.unique(np.quantile(age, np.linspace(0, 1, bands + 1)[1:-1]))
    which = np.digitize(age, edges)
    low, high = predictions[:, -2 if predictions.shape[1] == 3 else 0], predictions[:, -1]
    rows = [which == band for band in np.unique(which)]
    ages = np.array([age[r].mean(dtype=np.float64) for r in rows])
    largest = ages + [_upper_quantile(low[r] - age[r]) for r in rows]
    smallest = ages - [_upper_quantile(age[r] - high[r]) for r in rows]
    return ConformalCurves(_extended(ages), _extended(_increasing(largest)), _extended(_increasing(smallest)))


def _increasing(curve: F64) -> F64:
    # A small slope keeps the curve invertible if neighbouring bands are not in order.
    step = 1e-3 * np.arange(len(curve))
    return np.asarray(np.maximum.accumulate(curve - step) + step, np.float64)


def _extended(curve: F64) -> F32:
    return np.concatenate([[curve[0] - BEYOND], curve, [curve[-1] + BEYOND]]).astype(np.float32)


def _upper_quantile(scores: F32) -> float:
    """Return the conformal quantile of scores: a new score is below it with probability (1 + COVERAGE) / 2.

    This is the quantile of split conformal prediction, which counts n + 1 scores, interpolated between
    scores.
    """
    return float(np.quantile(scores, (1 + COVERAGE) / 2, method="weibull"))


def platt(score: F32, gender: F32) -> tuple[float, float]:
    """Fit the slope and offset of a logistic curve from a score to the probability of female (Platt,
    1999)."""
    from sklearn.linear_model import LogisticRegression

    with one_thread():
        curve = LogisticRegression(C=1e6).fit(score[:, None].astype(np.float64), gender)
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])
