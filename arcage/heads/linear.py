"""Cross-validated ridge regression in one pass over the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from arcage.heads.kernel import Fold
from arcage.heads.layers import Linear
from arcage.types import F32, F64

PENALTIES = np.logspace(1, 5, 9)


class CrossRidge(NamedTuple):
    """The result of :func:`cross_ridge`."""

    model: Linear
    out_of_fold: F32
    """Shape (n, 1)."""


def cross_ridge(x: F32, target: F32, weight: F32, folds: Sequence[Fold]) -> CrossRidge:
    """Fit ridge regression on standardised columns, with the penalty that is best on the first fold.

    The normal equations of a fold's training rows are those of all rows less those of its test rows, so the
    data are multiplied once for any number of folds.

    Args:
        x: shape (n, dimension), float32.
        target: shape (n,).
        weight: shape (n,), mean 1.
        folds: each row is in one test part.

    Returns:
        The regression on all rows, and the out-of-fold predictions.
    """
    mean = x.mean(axis=0, dtype=np.float64)
    spread = np.maximum(x.std(axis=0, dtype=np.float64), 1e-6)
    z = np.empty((len(x), x.shape[1] + 1), np.float32)
    z[:, :-1] = (x - mean.astype(np.float32)) / spread.astype(np.float32)
    z[:, -1] = 1
    parts = [_sums(z[test], target[test], weight[test]) for _, test in folds]
    gram, moment = np.sum([p[0] for p in parts], axis=0), np.sum([p[1] for p in parts], axis=0)

    # One fold is enough to choose a penalty: the error is flat around the best one.
    first, test = parts[0], folds[0][1]
    tried = [z[test] @ _solve(gram - first[0], moment - first[1], penalty) for penalty in PENALTIES]
    penalty = PENALTIES[int(np.argmin([np.square(t - target[test]).mean() for t in tried]))]

    out_of_fold = np.empty((len(x), 1), np.float32)
    for (_, test), (own_gram, own_moment) in zip(folds, parts, strict=True):
        out_of_fold[test, 0] = z[test] @ _solve(gram - own_gram, moment - own_moment, penalty)
    solution = _solve(gram, moment, penalty)
    weights = (solution[:-1] / spread)[:, None].astype(np.float32)
    return CrossRidge(Linear(mean.astype(np.float32), weights, solution[-1:].astype(np.float32)), out_of_fold)


def _sums(z: F32, target: F32, weight: F32) -> tuple[F64, F64]:
    """Return the Gram matrix and the moment of some rows."""
    weighted = weight[:, None] * z
    return (z.T @ weighted).astype(np.float64), weighted.T.astype(np.float64) @ target


def _solve(gram: F64, moment: F64, penalty: float) -> F64:
    """Return the weights, shape (columns + 1,); the last one, the intercept, is not penalised."""
    from scipy.linalg import solve

    ridge = np.full(len(gram), penalty)
    ridge[-1] = 0
    return np.asarray(solve(gram + np.diag(ridge), moment, assume_a="pos"))
