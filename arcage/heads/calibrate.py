"""Out-of-fold answers -> intervals that cover and probabilities that are true."""

from __future__ import annotations

import numpy as np

from arcage.heads.parallel import one_thread
from arcage.types import F32, F64

COVERAGE = 0.9
MAX_BANDS = 24
FACES_PER_BAND = 120
"""The ends of an interval are 5 % quantiles: with fewer faces they would rest on a handful."""
BEYOND = 50.0
"""Years by which the curves go on, straight, below the youngest and above the oldest band."""


def conformal(answers: F32, age: F32) -> tuple[F32, F32, F32]:
    """Calibrate intervals by conformalised quantile regression, for each band of the true age.

    Conformal prediction conditional on the label (Vovk et al., Conditional validity of inductive conformal
    predictors, ACML 2012) with the scores of Romano et al. (NeurIPS 2019), each end by itself: an age lies in
    the interval if, among faces of that age, an answer like this one is no rarity. So coverage holds for the
    young and the old, whom regression draws to the middle, and not only on average.

    Args:
        answers: shape (n, 1) or (n, 3): out-of-fold age, and its lower and upper quantile where there
            are any.
        age: shape (n,): the labels.

    Returns:
        Three arrays of shape (points,), years, all increasing: ages; and the largest lower answer, and the
        smallest upper one, that faces of such an age may get and still be covered. Read backwards, the
        second turns a lower answer into the interval's lower end, and the third an upper one.
    """
    bands = int(np.clip(len(age) // FACES_PER_BAND, 1, MAX_BANDS))
    edges = np.unique(np.quantile(age, np.linspace(0, 1, bands + 1)[1:-1]))
    which = np.digitize(age, edges)
    low, high = answers[:, -2 if answers.shape[1] == 3 else 0], answers[:, -1]
    rows = [which == band for band in np.unique(which)]
    ages = np.array([age[r].mean(dtype=np.float64) for r in rows])
    largest = ages + [_upper_quantile(low[r] - age[r]) for r in rows]
    smallest = ages - [_upper_quantile(age[r] - high[r]) for r in rows]
    return _extended(ages), _extended(_increasing(largest)), _extended(_increasing(smallest))


def _increasing(curve: F64) -> F64:
    # A small step keeps the curve invertible where neighbouring bands contradict their order.
    step = 1e-3 * np.arange(len(curve))
    return np.asarray(np.maximum.accumulate(curve - step) + step, np.float64)


def _extended(curve: F64) -> F32:
    return np.concatenate([[curve[0] - BEYOND], curve, [curve[-1] + BEYOND]]).astype(np.float32)


def _upper_quantile(scores: F32) -> float:
    """A score that a new face of the same kind stays below with a probability of (1 + COVERAGE) / 2: that is
    the (n + 1)-th part of split conformal prediction, between two scores where it falls between them."""
    return float(np.quantile(scores, (1 + COVERAGE) / 2, method="weibull"))


def platt(score: F32, gender: F32) -> tuple[float, float]:
    """Slope and offset of the logistic curve from a score to the probability of female (Platt, 1999)."""
    from sklearn.linear_model import LogisticRegression

    with one_thread():
        curve = LogisticRegression(C=1e6).fit(score[:, None].astype(np.float64), gender)
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])
