"""Fit the measure of familiarity."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from arcage.heads.familiarity import TINY, Familiarity, squared_lengths
from arcage.heads.kernel import Fold, Scatter, scatter
from arcage.heads.layers import Linear
from arcage.heads.parallel import parallel_map
from arcage.heads.stages import largest_variance
from arcage.types import F32, F64

COLUMNS = 384
"""Maximum number of descriptor columns. With fewer, blurred faces stand out more, and covered ones less."""
TAIL, LEAST = 0.01, 20
"""The share of the training faces whose distances are the tail, and their minimum number."""
QUANTILES = 100
"""Number of quantiles of the distances before the tail."""
LOWEST = 1e-12
"""Lowest familiarity."""


class FittedFamiliarity(NamedTuple):
    """The result of a fit."""

    model: Familiarity
    out_of_fold: F32
    """Shape (n,): the familiarity of each training face to the faces of the other folds."""


def fit_familiarity(x: F32, folds: Sequence[Fold]) -> FittedFamiliarity:
    """Fit the measure of familiarity.

    New faces are compared with the distances of training faces to the mean of the *other* folds: a training
    face is nearer to a mean and a covariance that include it.

    Args:
        x: shape (n, dimension): the training faces. Degraded variants are left out: they would be taken for
            ordinary faces.
        folds: of the n faces.
    """
    columns = largest_variance(x, COLUMNS)
    own = x[:, columns]
    origin = own.mean(axis=0, dtype=np.float64).astype(np.float32)
    one, equal = np.zeros(len(x), np.int64), np.ones(len(x), np.float32)
    parts = list(parallel_map(lambda fold: scatter(own, one, 1, equal, origin, fold.test), folds))
    total = reduce(Scatter.plus, parts)

    def distances(fold: tuple[Fold, Scatter]) -> F32:
        others = total.plus(fold[1], sign=-1)
        return squared_lengths(_whitening(others, origin)(own[fold[0].test]))

    distance = np.empty(len(x), np.float32)
    found = parallel_map(distances, list(zip(folds, parts, strict=True)))
    for (_, test), there in zip(folds, found, strict=True):
        distance[test] = there
    (whitening,) = parallel_map(lambda sums: _whitening(sums, origin), [total])
    model = Familiarity(columns, whitening, *_curve(distance))
    return FittedFamiliarity(model, model.share(distance))


def _whitening(sums: Scatter, origin: F32) -> Linear:
    """Return the transform to coordinates with mean 0, variance 1 and no correlation.

    The covariance is shrunk towards a multiple of the identity: oracle approximating shrinkage (Chen et al.,
    IEEE Transactions on Signal Processing 58, 2010).
    """
    from scipy.linalg import cholesky, solve_triangular

    covariance = sums.covariance()
    size, count = len(covariance), float(sums.count.sum())
    trace, squares = np.trace(covariance), np.square(covariance).sum()
    spread = (count + 1 - 2 / size) * (squares - trace**2 / size)
    shrinkage = min(1.0, ((1 - 2 / size) * squares + trace**2) / spread) if spread > 0 else 1.0
    covariance *= 1 - shrinkage
    # The second term is for faces that are all alike.
    covariance[np.diag_indices(size)] += shrinkage * trace / size + 1e-6 * trace / size + TINY
    root = cholesky(covariance, lower=True)
    weights = solve_triangular(root, np.eye(size), lower=True).T
    mean, zero = origin + sums.mean(), np.zeros(size)
    return Linear(*(np.ascontiguousarray(part, np.float32) for part in (mean, weights, zero)))


def _curve(distance: F32) -> tuple[F32, F32]:
    """Return distances and the share of the faces that are farther.

    These are quantiles, followed by a power law (Hill, Annals of Statistics 3, 1975): the training faces do
    not show how rare distances beyond their farthest one are.
    """
    tail = min(0.5, max(TAIL, LEAST / len(distance)))
    shares = np.linspace(1, tail, QUANTILES)
    points: F64 = np.maximum(np.quantile(distance.astype(np.float64), 1 - shares), TINY)
    beyond = distance[distance > points[-1]].astype(np.float64)
    # Without faces beyond, as if they were all alike.
    index = max(float(np.log(beyond / points[-1]).mean()), 1e-3) if len(beyond) else 1e-3
    points = np.append(points, points[-1] * (tail / LOWEST) ** index).astype(np.float32)
    shares = np.append(shares, LOWEST).astype(np.float32)
    # Interpolation needs distances that increase.
    keep = np.append(points[1:] > points[:-1], True)
    return points[keep], shares[keep]
