"""Choose the faces whose labels would help a fit most.

The criterion is that of active learning for Gaussian processes: the variance that is left in the predictions
for all faces, once the chosen ones have labels (Cohn, Neural Networks 9, 1996; Seo et al., IJCNN 2000). The
variance does not depend on the labels, only on the faces. A face counts if it is unlike the labelled ones,
and if many others are like it; of two similar faces, only one counts. Faces that are like no other, such as
blurred ones, count little.
"""

from __future__ import annotations

import numpy as np

from arcage.heads.layers import gaussian
from arcage.heads.model import Heads
from arcage.heads.stages import largest_variance
from arcage.types import F32, Array

NOISE = 0.3
"""Variance of the noise of a label, relative to that of the ages; the ridge of the kernel stage."""
COLUMNS = 256
"""Number of descriptor columns that are compared without heads."""


def compared_axes(heads: Heads | None, x: F32, reference: F32) -> F32:
    """Return the axes in which faces are compared; see :func:`arcage.heads.layers.gaussian`.

    These are the axes of the heads' kernel stage, in which faces of similar age and gender are near. Without
    one, they are the descriptor columns with the largest variance.

    Args:
        heads: None for no heads.
        x: descriptors, shape (n, dimension).
        reference: descriptors of faces of the same kind, for the scale of the columns.

    Returns:
        Shape (n, axes), float32.
    """
    for head in () if heads is None else (heads.age, heads.gender):
        if head is not None and head.stack.kernels:
            return head.stack.kernels[0].project(x)
    columns = largest_variance(reference, COLUMNS)
    own = reference[:, columns]
    scale = np.sqrt(2 * np.maximum(own.var(axis=0, dtype=np.float64).sum(), 1e-12))
    return np.asarray((x[:, columns] - own.mean(axis=0)) / scale, np.float32)


def choose_faces(candidates: F32, labelled: F32, reference: F32, number: int) -> Array:
    """Choose faces one after the other, each so that the least variance is left.

    Takes memory for ``candidates`` times ``labelled`` and ``number``, and ``number`` times as much time.

    Args:
        candidates: faces without a label, shape (n, axes), by :func:`compared_axes`.
        labelled: faces with a label, shape (m, axes).
        reference: the faces whose variance counts, a sample of all, shape (k, axes).
        number: of faces to choose.

    Returns:
        Indices of candidates, shape (at most ``number``,), the most useful face first.
    """
    from scipy.linalg import cholesky, solve_triangular

    number = min(number, len(candidates))
    known = len(labelled)
    # The Cholesky factor: a row for each face with a label, before or now, and a column for each candidate.
    factor = np.zeros((known + number, len(candidates)), np.float32)
    covariance = gaussian(candidates, reference)
    if known:
        root = gaussian(labelled, labelled).astype(np.float64)
        root[np.diag_indices_from(root)] += NOISE
        root = cholesky(root, lower=True, overwrite_a=True).astype(np.float32)
        factor[:known] = solve_triangular(root, gaussian(labelled, candidates), lower=True)
        covariance -= factor[:known].T @ solve_triangular(root, gaussian(labelled, reference), lower=True)
    variance = 1 - np.square(factor[:known]).sum(axis=0)
    gain = np.square(covariance).sum(axis=1)
    chosen = np.empty(number, np.int64)
    for i in range(number):
        left = gain / (variance + NOISE)
        left[chosen[:i]] = -np.inf
        best = int(np.argmax(left))
        chosen[i] = best
        spread = np.sqrt(variance[best] + NOISE)
        rows = factor[: known + i]
        own = gaussian(candidates, candidates[best : best + 1])[:, 0] - rows.T @ rows[:, best]
        own /= spread
        shared = covariance[best] / spread
        gain += own * (own * (shared @ shared) - 2 * (covariance @ shared))
        covariance -= np.outer(own, shared)
        variance -= np.square(own)
        factor[known + i] = own
    return chosen
