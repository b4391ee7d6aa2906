"""Calibration on out-of-fold predictions: intervals that cover, and probabilities."""

from __future__ import annotations

import numpy as np

from arcage.heads.distribution import HIGH, LEVELS, LOW, OLDEST, YOUNGEST, Distribution, scale
from arcage.heads.model import INTERVAL, Calibration, Curves
from arcage.heads.parallel import one_thread
from arcage.types import F32, F64

MAX_BANDS = 24
FACES_PER_BAND = 120
"""Minimum number of faces in a band: the bounds of an interval are 5 % quantiles of their scores."""
OVERLAP = 1.0
"""Half the width of a band of the distribution, in distances between neighbouring bands."""
BEYOND = 50.0
"""Years by which the curves are extended, with slope 1, below the lowest and above the highest band."""


def calibrated_like(calibration: Calibration, predictions: F32, age: F32) -> Calibration:
    """Calibrate a head for other faces in the same way as it is: with a distribution, or with an interval if
    it is of an older version."""
    return (conformal if isinstance(calibration, Curves) else predictive)(predictions, age)


def predictive(predictions: F32, age: F32) -> Distribution:
    """Calibrate the predictive distribution within bands of the predicted age.

    A Mondrian conformal predictive system (Vovk et al., Nonparametric predictive distributions based on
    conformal prediction, Machine Learning 2019; Bostrom et al., Mondrian conformal predictive distributions,
    COPA 2021). The scores are residuals in units of the spread that quantile regression predicts. So a
    probability holds among the faces that get about the same prediction. It does not hold for each true age:
    predictions of the oldest are too low, and whether a face is one of the oldest is not known when it is
    predicted.

    Bands overlap, with triangular weights, so that neighbouring ages have similar distributions. Quantiles
    beyond the most extreme scores follow the tails of a normal distribution.

    Args:
        predictions: shape (n, 1) or (n, 3): out-of-fold age, and if fitted its lower and upper quantile.
        age: shape (n,): the labels, years.
    """
    count = int(np.clip(len(age) // FACES_PER_BAND, 1, MAX_BANDS))
    score = ((age - predictions[:, 0]) / scale(predictions)).astype(np.float64)
    predicted = np.clip(predictions[:, 0], YOUNGEST, OLDEST)
    ordered = np.sort(predicted)

    def rank(ages: F32) -> F64:
        """Return the share of predictions below each age; half of equal ones count."""
        ends = np.searchsorted(ordered, ages, "left"), np.searchsorted(ordered, ages, "right")
        return np.asarray((ends[0] + ends[1]) / (2 * len(age)), np.float64)

    centers = np.unique(np.quantile(predicted, (np.arange(count) + 0.5) / count).astype(np.float32))
    table = np.empty((len(centers), len(LEVELS)), np.float32)
    own = rank(predicted)
    for row, middle in enumerate(rank(centers)):
        distance = np.abs(own - middle) * count / OVERLAP
        weight = np.maximum(1 - distance, 0) if len(centers) > 1 else np.ones(len(age))
        table[row] = weighted_quantiles(score[weight > 0], weight[weight > 0])
    return Distribution(centers, contains_age(table))


def contains_age(scores: F32) -> F32:
    """Return scores with which the predicted age is inside the 90 % interval, shape (bands, levels)."""
    out = scores.copy()
    out[:, : LOW + 1] = np.minimum(out[:, : LOW + 1], 0)
    out[:, HIGH:] = np.maximum(out[:, HIGH:], 0)
    return out


def weighted_quantiles(score: F64, weight: F64) -> F64:
    """Return the conformal quantiles of weighted scores at :data:`LEVELS`, shape (levels,)."""
    from scipy.special import ndtri

    order = np.argsort(score, kind="stable")
    score, below = score[order], np.cumsum(weight[order])
    effective = below[-1] ** 2 / np.square(weight).sum()
    # As split conformal prediction, which counts n + 1 scores: equal weights give i / (n + 1).
    share = below / below[-1] * effective / (effective + 1)
    out = np.interp(LEVELS, share, score)
    for end, beyond in ((0, np.less(LEVELS, share[0])), (-1, np.greater(LEVELS, share[-1]))):
        growth = ndtri(np.asarray(LEVELS)[beyond]) / ndtri(share[end])
        out[beyond] = score[end] * np.maximum(growth, 1) if len(growth) else out[beyond]
    return np.maximum.accumulate(out)


def conformal(predictions: F32, age: F32) -> Curves:
    """Calibrate the intervals of older heads by conformalised quantile regression within bands of the true
    age.

    Label-conditional conformal prediction (Vovk et al., Conditional validity of inductive conformal
    predictors, ACML 2012) with the conformity scores of Romano et al. (NeurIPS 2019), for each bound
    separately. An age is inside the interval unless its prediction is unusual among faces of that age. So the
    coverage holds at every age, also for the young and the old, whose predictions are biased towards the
    middle.

    Args:
        predictions: shape (n, 1) or (n, 3): out-of-fold age, and if fitted its lower and upper quantile.
        age: shape (n,): the labels, years.

    Returns:
        Curves that are inverted to find the bounds of an interval. ``low`` maps an age to the largest lower
        quantile with which a face of that age is inside its interval, so its inverse maps a predicted lower
        quantile to the lower bound.
    """
    bands = int(np.clip(len(age) // FACES_PER_BAND, 1, MAX_BANDS))
    edges = np.unique(np.quantile(age, np.linspace(0, 1, bands + 1)[1:-1]))
    which = np.digitize(age, edges)
    low, high = predictions[:, -2 if predictions.shape[1] == 3 else 0], predictions[:, -1]
    rows = [which == band for band in np.unique(which)]
    ages = np.array([age[r].mean(dtype=np.float64) for r in rows])
    largest = ages + [_upper_quantile(low[r] - age[r]) for r in rows]
    smallest = ages - [_upper_quantile(age[r] - high[r]) for r in rows]
    return Curves(_extended(ages), _extended(_increasing(largest)), _extended(_increasing(smallest)))


def _increasing(curve: F64) -> F64:
    # A small slope keeps the curve invertible if neighbouring bands are not in order.
    step = 1e-3 * np.arange(len(curve))
    return np.asarray(np.maximum.accumulate(curve - step) + step, np.float64)


def _extended(curve: F64) -> F32:
    return np.concatenate([[curve[0] - BEYOND], curve, [curve[-1] + BEYOND]]).astype(np.float32)


def _upper_quantile(scores: F32) -> float:
    """Return the conformal quantile of scores: a new score is below it with probability (1 + INTERVAL) / 2.

    This is the quantile of split conformal prediction, which counts n + 1 scores, interpolated between
    scores.
    """
    return float(np.quantile(scores, (1 + INTERVAL) / 2, method="weibull"))


def platt(score: F32, gender: F32) -> tuple[float, float]:
    """Fit the slope and offset of a logistic curve from a score to the probability of female (Platt,
    1999)."""
    from sklearn.linear_model import LogisticRegression

    with one_thread():
        curve = LogisticRegression(C=1e6).fit(score[:, None].astype(np.float64), gender)
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])
