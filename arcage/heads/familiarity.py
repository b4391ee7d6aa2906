"""How familiar a face is to heads: the share of their training faces that are farther from the average face.

The measure is the squared Mahalanobis distance of a descriptor to the mean of the training faces, in the
columns with the largest variance (Lee et al., NeurIPS 2018, with a single class). It knows neither age nor
gender, so it is the same for all kinds of heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arcage.heads.layers import Linear
from arcage.types import F32, Array

UNFAMILIAR = 5e-5
"""Faces with a lower familiarity are unlike the training faces: one training face in 20,000 is as far from
the average. Of ordinary photos from other cameras, at most 2 % are below (docs/evidence/method.md)."""
TINY = 1e-30
"""Lower limit of the squared distances, whose logarithm is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """The measure of familiarity; see :func:`arcage.heads.fit_familiarity.fit_familiarity`."""

    columns: Array
    """Shape (k,), int64: the columns of the descriptor that are compared."""
    whitening: Linear
    """From these columns to k coordinates; the distance is the sum of their squares."""
    distances: F32
    """Shape (points,), above 0, increasing."""
    shares: F32
    """Shape (points,), at most 1, above 0, decreasing: the share of the training faces that are farther."""

    def __call__(self, x: F32) -> F32:
        """Return the familiarity of faces, shape (n,), 0 to 1, given descriptors, shape (n, dimension)."""
        return self.share(self.distance(x))

    def distance(self, x: F32) -> F32:
        """Return the squared distance to the mean of the training faces, shape (n,)."""
        return squared_lengths(self.whitening(x[:, self.columns]))

    def share(self, distance: F32) -> F32:
        """Return the share of the training faces that are farther, shape (n,), by log-log interpolation."""
        points, shares = np.log(self.distances), np.log(self.shares)
        share = np.exp(np.interp(np.log(np.maximum(distance, TINY)), points, shares))
        return np.asarray(share, np.float32)


def squared_lengths(x: F32) -> F32:
    """Return the sum of the squares of each row, shape (n,)."""
    return np.asarray(np.einsum("ij,ij->i", x, x), np.float32)
