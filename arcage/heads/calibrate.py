"""Out-of-fold answers -> intervals that cover and probabilities that are true."""

from __future__ import annotations

import numpy as np

from arcage.types import F32

COVERAGE = 0.9
MAX_RANGES = 10
FACES_PER_RANGE = 250
"""The ends of an interval are 5 % quantiles: with fewer faces they would rest on a handful."""


def conformal(answers: F32, age: F32) -> tuple[F32, F32, F32]:
    """Calibrate intervals by conformalised quantile regression, for each range of the predicted age.

    Romano et al., NeurIPS 2019, with each end calibrated by itself; ranges as in Mondrian conformal
    prediction (Vovk et al., 2005), so that coverage holds for the young and the old, not only on average.

    Args:
        answers: shape (n, 1) or (n, 3): out-of-fold age, and its lower and upper quantile where there
            are any.
        age: shape (n,): the labels.

    Returns:
        Where the ranges meet, shape (ranges - 1,), and how far the interval reaches below the lower and
        above the upper answer, shape (ranges,): years.
    """
    ranges = int(np.clip(len(age) // FACES_PER_RANGE, 1, MAX_RANGES))
    predicted = answers[:, 0]
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, ranges + 1)[1:-1])).astype(np.float32)
    # Tied predictions would leave the last range without a face.
    edges = edges[edges < predicted.max()]
    which = np.searchsorted(edges, predicted)
    below, above = np.empty(len(edges) + 1, np.float32), np.empty(len(edges) + 1, np.float32)
    for k in range(len(edges) + 1):
        rows = which == k
        low = answers[rows, 1 if answers.shape[1] == 3 else 0]
        high = answers[rows, 2 if answers.shape[1] == 3 else 0]
        below[k] = _upper_quantile(low - age[rows])
        above[k] = _upper_quantile(age[rows] - high)
    return edges, below, above


def _upper_quantile(scores: F32) -> float:
    """The smallest score that covers with the finite-sample correction of split conformal prediction."""
    n = len(scores)
    level = min(1.0, np.ceil((n + 1) * (1 + COVERAGE) / 2) / n)
    return float(np.quantile(scores, level, method="higher"))


def platt(score: F32, gender: F32) -> tuple[float, float]:
    """Slope and offset of the logistic curve from a score to the probability of female (Platt, 1999)."""
    from sklearn.linear_model import LogisticRegression

    curve = LogisticRegression(C=1e6).fit(score[:, None].astype(np.float64), gender)
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])
