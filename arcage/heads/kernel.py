"""The supervised kernel stage: descriptors -> smooth answers on axes that know about the labels.

It is fitted once for each fold and once on all faces. What folds have in common is computed once: the sums
that the discriminant axes need are those of all faces less those of the fold's test faces. The kernel's
sums have to be made for each fold, since each has its own axes; they are kept, so that a fit without some
faces needs a look at those faces only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from arcage.heads.layers import Kernel, gaussian
from arcage.heads.parallel import each
from arcage.types import F32, F64, Array

Folds = list[tuple[Array, Array]]
"""Training and test rows; each row is in one test part."""

BLOCK = 2048
"""Rows at a time: no matrix of (faces, landmarks) is ever whole in memory."""
PARTS = 8
"""In which all faces are added up, side by side."""


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Settings of the kernel stage, chosen by cross-validation (docs/evidence/method.md)."""

    shrinkage: float = 0.15
    """Of the within-class covariance towards its diagonal mean, 0 to 1."""
    context: float = 0.5
    """Weight of the descriptor's own strongest columns beside the supervised axes."""
    context_columns: int = 256
    width: float = 0.3
    """Gaussian kernel: ``exp(-width * distance^2)``, with axes scaled to unit total variance."""
    ridge: float = 0.3
    landmarks: int = 2000


@dataclass(frozen=True, slots=True, eq=False)
class KernelSums:
    """Kernel ridge regression on some faces as sums over them: the weights follow from these alone.

    A column of the kernel is much the same for all faces. Taking ``middle`` away first leaves small numbers,
    whose products single precision adds up well enough.
    """

    kernel: Kernel
    """Without weights as yet; its bias is what was taken from the targets."""
    middle: F32
    """Shape (landmarks,)."""
    gram: F64
    """Shape (landmarks, landmarks): of the columns less ``middle``."""
    moment: F64
    """Shape (landmarks, outputs + 1): of the columns with the targets less the bias, and with ones."""
    total: F64
    """Shape (outputs + 1,): the targets less the bias, and the faces' weight."""

    def add(self, x: F32, targets: F64, weight: F32, rows: Array, sign: int = 1) -> KernelSums:
        """The sums with some more rows of ``x``, or without them where ``sign`` is -1."""
        gram, moment, total = self.gram.copy(), self.moment.copy(), self.total.copy()
        for block in _blocks(rows):
            similar = gaussian(self.kernel.project(x[block]), self.kernel.landmarks)
            similar -= self.middle
            y = np.ones((len(block), len(total)), np.float32)
            y[:, :-1] = targets[block] - self.kernel.bias
            # In double precision: of sums in single precision the small eigenvalues are rounding, and one
            # that is only just positive blows the weights up. A matrix times itself costs half a product.
            root = np.sqrt(weight[block, None], dtype=np.float64) * similar
            y *= weight[block, None]
            gram += sign * (root.T @ root)
            moment += sign * (similar.T @ y)
            total += sign * y.sum(axis=0, dtype=np.float64)
        return replace(self, gram=gram, moment=moment, total=total)

    def solve(self, ridge: float) -> Kernel:
        """The regression, whose intercept is not penalised."""
        faces = self.total[-1]
        column, target = self.moment[:, -1] / faces, self.total[:-1] / faces
        gram = self.gram - faces * np.outer(column, column)
        gram += ridge * gaussian(self.kernel.landmarks, self.kernel.landmarks)
        weights = _solve(gram, self.moment[:, :-1] - faces * np.outer(column, target)).astype(np.float32)
        bias = self.kernel.bias + target - (self.middle + column) @ weights
        return replace(self.kernel, weights=weights, bias=bias.astype(np.float32))


def cross_kernel(
    x: F32, classes: Array, targets: F64, weight: F32, folds: Folds, settings: KernelSettings, seed: int
) -> Iterator[KernelSums]:
    """Kernel ridge regression on discriminant axes: for the training rows of each fold, then for all rows.

    Distances between descriptors are mostly about who somebody is. On the axes of a linear
    discriminant analysis between age bands (or genders within them) they are about the label: kernel
    regression there is both better and smaller than on the descriptors.

    Args:
        x: shape (n, dimension), float32.
        classes: shape (n,), int: what the axes have to tell apart.
        targets: shape (n, outputs): what the kernel regression predicts.
        weight: shape (n,): how much each face counts; 1 on average. What has none is in no training part.
    """
    names, index = np.unique(classes, return_inverse=True)
    everyone = np.arange(len(x))
    origin = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    # Square matrices over the columns, in double precision, are what takes memory with long descriptors.
    memory = 8 * (4 * x.shape[1] ** 2 + 3 * settings.landmarks**2)

    def sums_of(rows: Array) -> Scatter:
        return scatter(x, index, len(names), weight, origin, rows)

    whole = reduce(Scatter.plus, each(sums_of, np.array_split(everyone, PARTS), memory))

    def fit(fold: tuple[Array, Array]) -> KernelSums:
        train, test = fold
        seen = whole.plus(sums_of(test), sign=-1) if len(test) else whole
        kernel = _kernel(x, targets, seen, origin, train, settings, seed)
        # The landmarks are some of the faces: their columns' means are near those of all.
        columns = gaussian(kernel.landmarks, kernel.landmarks)
        middle = columns.mean(axis=0)
        outputs = targets.shape[1] + 1
        nothing = KernelSums(
            kernel, middle, np.zeros(columns.shape), np.zeros((len(columns), outputs)), np.zeros(outputs)
        )
        return nothing.add(x, targets, weight, train)

    return each(fit, [*folds, (np.flatnonzero(weight), everyone[:0])], memory)


def outputs(kernel: Kernel, x: F32, rows: Array) -> F32:
    """The stage's outputs for some rows of ``x``, shape (len(rows), outputs)."""
    return np.concatenate([kernel(x[block]) for block in _blocks(rows)] or [kernel(x[:0])])


def _kernel(
    x: F32, targets: F64, seen: Scatter, origin: F32, rows: Array, settings: KernelSettings, seed: int
) -> Kernel:
    """All but the weights."""
    total = seen.covariance()
    axes = discriminant_axes(seen, settings.shrinkage)
    variance = np.diag(total)
    strongest = np.argsort(-variance, kind="stable")[: settings.context_columns]
    context = np.zeros((len(total), len(strongest)))
    context[strongest, np.arange(len(strongest))] = settings.context / np.sqrt(variance.sum())
    spread = np.einsum("ij,ij", axes, total @ axes)
    projection = np.concatenate([axes / np.sqrt(spread), context], axis=1) * np.sqrt(settings.width)
    chosen = np.random.default_rng(seed).permutation(len(rows))[: settings.landmarks]
    kernel = Kernel(
        mean=(origin + seen.mean()).astype(np.float32),
        projection=projection.astype(np.float32),
        landmarks=np.empty((0, projection.shape[1]), np.float32),
        weights=np.empty((0, targets.shape[1]), np.float32),
        bias=targets[rows].mean(axis=0).astype(np.float32),
    )
    # Landmarks are stored in half precision: the weights must fit what will be read back.
    landmarks = kernel.project(x[rows[np.sort(chosen)]]).astype(np.float16).astype(np.float32)
    return replace(kernel, landmarks=landmarks)


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """Sums over faces, of descriptors less one origin: all that discriminant axes depend on."""

    count: F64
    """Shape (classes,): weight of the faces of each class."""
    sums: F64
    """Shape (classes, dimension)."""
    squares: F64
    """Shape (dimension, dimension)."""

    def plus(self, part: Scatter, sign: int = 1) -> Scatter:
        """With some more faces, or without them where ``sign`` is -1."""
        return Scatter(
            self.count + sign * part.count, self.sums + sign * part.sums, self.squares + sign * part.squares
        )

    def mean(self) -> F64:
        return np.asarray(self.sums.sum(axis=0) / self.count.sum())

    def covariance(self) -> F64:
        mean = self.mean()
        return np.asarray(self.squares / self.count.sum() - np.outer(mean, mean))


def scatter(x: F32, classes: Array, count: int, weight: F32, origin: F32, rows: Array) -> Scatter:
    """The sums of some rows of ``x``; ``classes`` are numbers below ``count``."""
    sums, squares = np.zeros((count, x.shape[1])), np.zeros((x.shape[1], x.shape[1]))
    for block in _blocks(rows):
        part = x[block] - origin
        weighted = weight[block, None] * part
        squares += part.T @ weighted
        sums += (classes[block] == np.arange(count)[:, None]).astype(np.float32) @ weighted
    counts = np.bincount(classes[rows], weight[rows], count).astype(np.float64)
    return Scatter(counts, sums, squares)


def discriminant_axes(seen: Scatter, shrinkage: float) -> F64:
    """Fisher's discriminant axes with a shrunk within-class covariance, shape (dimension, axes),
    each with unit within-class variance, the most telling first."""
    from scipy.linalg import cholesky, solve_triangular, svd

    there = seen.count > 0
    share = seen.count[there] / seen.count.sum()
    means = (seen.sums[there] / seen.count[there, None] - seen.mean()) * np.sqrt(share)[:, None]
    within = seen.covariance() - means.T @ means
    scale = np.trace(within) / len(within)
    within *= 1 - shrinkage
    # Columns that never vary would make it singular.
    within[np.diag_indices_from(within)] += shrinkage * scale + 1e-9 * max(scale, 1e-30)
    # Between few classes there are few axes, all in the plane of their means: no eigenvalues of the
    # whole covariance are needed once it is made round.
    root = cholesky(within, lower=True, overwrite_a=True)
    plane = svd(solve_triangular(root, means.T, lower=True), full_matrices=False)[0]
    # With one class nothing can be told apart; one axis keeps the shapes, and is harmless.
    count = max(1, min(there.sum() - 1, len(within)))
    return np.asarray(solve_triangular(root, plane[:, :count], lower=True, trans="T"))


def _solve(gram: F64, moment: F64) -> F64:
    """The ridge keeps ``gram`` definite but for rounding, which is felt where landmarks lie close together:
    then a little more is added to its diagonal until it is."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    more = 1e-5
    while True:
        gram[np.diag_indices_from(gram)] += more
        try:
            return np.asarray(cho_solve(cho_factor(gram), moment))
        except LinAlgError:
            more *= 10


def _blocks(rows: Array) -> Iterator[Array]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
