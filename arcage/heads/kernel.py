"""The supervised kernel stage: kernel ridge regression on discriminant axes of the descriptors.

It is fitted once without each fold and once on all faces. The sums that the discriminant axes need are those
of all faces minus those of some test faces, so they are computed once. The sums of the kernel regression
differ with the axes. Therefore a few folds share axes and centers, which are of the faces that all of them
are fitted on, and the sums over these faces. The sums are kept, so that a fit without some faces only has to
subtract those faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from typing import NamedTuple

import numpy as np

from arcage.heads.layers import Kernel, gaussian
from arcage.heads.parallel import parallel_map
from arcage.types import F32, F64, Array

BLOCK = 2048
"""Number of rows in one step, so that no (faces, centers) matrix is in memory as a whole."""
LEADING = 32
"""Number of leading directions of a kernel matrix whose products are computed separately."""
GROUPS = 5
"""Minimum number of groups of folds, so that axes and centers are of four fifths of the faces at least."""
CHUNKS = 8
"""Number of chunks whose sums are computed in parallel."""


class Fold(NamedTuple):
    """Indices of the training and test rows of a fold. Each row is in the test part of one fold."""

    train: Array
    test: Array


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Settings of the kernel stage; the defaults were chosen by cross-validation."""

    shrinkage: float = 0.15
    """Shrinkage of the within-class covariance towards a multiple of the identity, 0 to 1."""
    context: float = 0.5
    """Weight of descriptor columns relative to the discriminant axes."""
    context_columns: int = 256
    """Number of descriptor columns, those with the largest variance."""
    width: float = 0.3
    """Gaussian kernel: ``exp(-width * distance^2)``, with axes scaled to unit total variance."""
    ridge: float = 0.3
    centers: int = 2000
    """Maximum number of centers of the Nystroem approximation, which are randomly chosen faces."""


@dataclass(frozen=True, slots=True, eq=False)
class KernelSums:
    """The sums over faces that determine a kernel ridge regression.

    Single precision takes half the time of double precision, but if the products of the columns were rounded
    to it, the error would exceed their small eigenvalues, and an eigenvalue that is barely positive makes the
    weights huge. Therefore ``middle`` is subtracted from the columns, and their projection onto a few
    ``leading`` directions, which are nearly all of what is left, is multiplied separately. The rounding of
    the remainder is 1,000 times as small.
    """

    kernel: Kernel
    """Without weights; its bias is what is subtracted from the targets."""
    middle: F32
    """Shape (centers,): what is subtracted from the columns of the kernel matrix."""
    leading: F32
    """Shape (centers, directions): orthonormal directions with most of the variance of the columns."""
    gram: F64
    """Shape (centers, centers): products of the columns."""
    moment: F64
    """Shape (centers, outputs + 1): products of the columns with the targets, and with ones."""
    total: F64
    """Shape (outputs + 1,): sums of the targets, and of the weights."""

    def add(self, x: F32, targets: F64, weight: F32, rows: Array, sign: int = 1) -> KernelSums:
        """Return the sums with some rows of ``x`` added, or subtracted if ``sign`` is -1."""
        gram, moment, total = (np.zeros(part.shape) for part in (self.gram, self.moment, self.total))
        inner = np.zeros((self.leading.shape[1],) * 2)
        outer = np.zeros(self.leading.T.shape)
        project = _projection(self.kernel)
        for block in _blocks(rows):
            similar = gaussian(project(x[block]), self.kernel.centers)
            similar -= self.middle
            y = np.ones((len(block), len(total)), np.float32)
            y[:, :-1] = targets[block] - self.kernel.bias
            y *= weight[block, None]
            moment += similar.T @ y
            total += y.sum(axis=0, dtype=np.float64)
            similar *= np.sqrt(weight[block, None])
            part = similar @ self.leading
            similar -= part @ self.leading.T
            inner += part.T.astype(np.float64) @ part
            outer += part.T @ similar
            # NumPy computes half of a product with itself.
            gram += similar.T @ similar
        half = self.leading @ (outer + inner @ self.leading.T / 2)
        gram += half
        gram += half.T
        return replace(
            self,
            gram=self.gram + sign * gram,
            moment=self.moment + sign * moment,
            total=self.total + sign * total,
        )

    def solve(self, ridge: float) -> Kernel:
        """Solve the regression; the intercept is not penalised."""
        faces = self.total[-1]
        column, target = self.moment[:, -1] / faces, self.total[:-1] / faces
        gram = self.gram - faces * np.outer(column, column)
        gram += ridge * gaussian(self.kernel.centers, self.kernel.centers)
        weights = _solve(gram, self.moment[:, :-1] - faces * np.outer(column, target)).astype(np.float32)
        bias = self.kernel.bias + target - (self.middle + column) @ weights
        return replace(self.kernel, weights=weights, bias=bias.astype(np.float32))


def cross_kernel(
    x: F32,
    classes: Array,
    targets: F64,
    weight: F32,
    folds: Sequence[Fold],
    settings: KernelSettings,
    seed: int,
) -> Iterator[KernelSums]:
    """Compute the sums of kernel ridge regression on discriminant axes.

    Distances between descriptors mostly reflect identity. On the axes of a linear discriminant analysis
    between age bands (or between the genders within them) they reflect the label, and kernel regression is
    more accurate with fewer centers.

    Args:
        x: shape (n, dimension), float32.
        classes: shape (n,), int: the classes that the axes separate.
        targets: shape (n, outputs): what the regression predicts.
        weight: shape (n,), mean 1. Rows with the weight 0 are in no training part.

    Yields:
        The sums of the training rows of each fold, then of all rows.
    """
    names, index = np.unique(classes, return_inverse=True)
    rows = np.arange(len(x))
    origin = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    # With long descriptors, square matrices over their columns, in double precision, take the most memory.
    memory = 8 * (4 * x.shape[1] ** 2 + 5 * settings.centers**2)

    def scatter_of(chunk: Array) -> Scatter:
        return scatter(x, index, len(names), weight, origin, chunk)

    total = reduce(Scatter.plus, parallel_map(scatter_of, np.array_split(rows, CHUNKS), memory))

    def fit(group: Sequence[Fold]) -> list[KernelSums]:
        fitted = reduce(lambda left, fold: left.plus(scatter_of(fold.test), sign=-1), group, total)
        common = reduce(np.intersect1d, [fold.train for fold in group])
        kernel = _kernel(x, targets, fitted, origin, common, settings, seed)
        sums = _empty(kernel, targets.shape[1] + 1, seed).add(x, targets, weight, common)
        return [sums.add(x, targets, weight, np.setdiff1d(fold.train, common)) for fold in group]

    size = max(1, len(folds) // GROUPS)
    groups = [folds[start : start + size] for start in range(0, len(folds), size)]
    everything = Fold(np.flatnonzero(weight), rows[:0])
    return chain.from_iterable(parallel_map(fit, [*groups, [everything]], memory))


def outputs(kernel: Kernel, x: F32, rows: Array) -> F32:
    """Return the outputs of a kernel for some rows of ``x``, shape (len(rows), outputs)."""
    project = _projection(kernel)
    return np.concatenate([kernel.from_axes(project(x[block])) for block in _blocks(rows)] or [kernel(x[:0])])


def _empty(kernel: Kernel, outputs: int, seed: int) -> KernelSums:
    """Return the sums over no faces."""
    # The centers are a sample of the faces, so the means of their columns are close to those of all faces.
    columns = gaussian(kernel.centers, kernel.centers)
    middle = columns.mean(axis=0)
    return KernelSums(
        kernel,
        middle,
        _leading(columns - middle, seed),
        np.zeros(columns.shape),
        np.zeros((len(columns), outputs)),
        np.zeros(outputs),
    )


def _leading(columns: F32, seed: int) -> F32:
    """Return directions with most of the variance of some columns, by subspace iteration.

    They need not be accurate: apart from rounding, the sums are the same for any directions.
    """
    directions = np.random.default_rng(seed).normal(size=(len(columns), LEADING))
    for _ in range(2):
        directions = np.linalg.qr(columns.T @ (columns @ directions.astype(np.float32)))[0]
    return directions.astype(np.float32)


def _projection(kernel: Kernel) -> Callable[[F32], F32]:
    """Return a faster :meth:`~arcage.heads.layers.Kernel.project`, for many rows.

    Most columns of the projection select one column of the descriptors and need no matrix product.
    """
    select = np.count_nonzero(kernel.projection, axis=0) == 1
    source = np.abs(kernel.projection[:, select]).argmax(axis=0)
    scale = kernel.projection[source, select]
    dense = np.ascontiguousarray(kernel.projection[:, ~select])

    def project(x: F32) -> F32:
        centered = x - kernel.mean
        out = np.empty((len(x), len(select)), np.float32)
        out[:, ~select] = centered @ dense
        out[:, select] = centered[:, source] * scale
        return out

    return project


def _kernel(
    x: F32, targets: F64, fitted: Scatter, origin: F32, rows: Array, settings: KernelSettings, seed: int
) -> Kernel:
    """Return the kernel without its weights."""
    total = fitted.covariance()
    axes = discriminant_axes(fitted, settings.shrinkage)
    variance = np.diag(total)
    strongest = np.argsort(-variance, kind="stable")[: settings.context_columns]
    context = np.zeros((len(total), len(strongest)))
    context[strongest, np.arange(len(strongest))] = settings.context / np.sqrt(variance.sum())
    spread = np.einsum("ij,ij", axes, total @ axes)
    projection = np.concatenate([axes / np.sqrt(spread), context], axis=1) * np.sqrt(settings.width)
    chosen = np.random.default_rng(seed).permutation(len(rows))[: settings.centers]
    kernel = Kernel(
        mean=(origin + fitted.mean()).astype(np.float32),
        projection=projection.astype(np.float32),
        centers=np.empty((0, projection.shape[1]), np.float32),
        weights=np.empty((0, targets.shape[1]), np.float32),
        bias=targets[rows].mean(axis=0).astype(np.float32),
    )
    # Centers are stored in half precision; the weights are fitted to what will be loaded.
    centers = kernel.project(x[rows[np.sort(chosen)]]).astype(np.float16).astype(np.float32)
    return replace(kernel, centers=centers)


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """The sums over faces that determine the discriminant axes. An origin is subtracted from the
    descriptors."""

    count: F64
    """Shape (classes,): total weight of each class."""
    sums: F64
    """Shape (classes, dimension): sums of the descriptors of each class."""
    squares: F64
    """Shape (dimension, dimension): products of the columns."""

    def plus(self, other: Scatter, sign: int = 1) -> Scatter:
        """Return the sums with those of other faces added, or subtracted if ``sign`` is -1."""
        return Scatter(
            self.count + sign * other.count,
            self.sums + sign * other.sums,
            self.squares + sign * other.squares,
        )

    def mean(self) -> F64:
        """Return the mean descriptor, shape (dimension,)."""
        return np.asarray(self.sums.sum(axis=0) / self.count.sum())

    def covariance(self) -> F64:
        """Return the total covariance, shape (dimension, dimension)."""
        mean = self.mean()
        return np.asarray(self.squares / self.count.sum() - np.outer(mean, mean))


def scatter(x: F32, classes: Array, count: int, weight: F32, origin: F32, rows: Array) -> Scatter:
    """Compute the sums of some rows of ``x``; ``classes`` are integers from 0 to ``count - 1``."""
    sums, squares = np.zeros((count, x.shape[1])), np.zeros((x.shape[1], x.shape[1]))
    for block in _blocks(rows):
        part = x[block] - origin
        weighted = weight[block, None] * part
        squares += part.T @ weighted
        sums += (classes[block] == np.arange(count)[:, None]).astype(np.float32) @ weighted
    counts = np.bincount(classes[rows], weight[rows], count).astype(np.float64)
    return Scatter(counts, sums, squares)


def discriminant_axes(sums: Scatter, shrinkage: float) -> F64:
    """Compute Fisher's discriminant axes with a shrunk within-class covariance.

    Returns:
        Shape (dimension, axes), the most discriminant axis first, each with unit within-class variance.
    """
    from scipy.linalg import cholesky, solve_triangular, svd

    present = sums.count > 0
    share = sums.count[present] / sums.count.sum()
    means = (sums.sums[present] / sums.count[present, None] - sums.mean()) * np.sqrt(share)[:, None]
    within = sums.covariance() - means.T @ means
    scale = np.trace(within) / len(within)
    within *= 1 - shrinkage
    # Constant columns would make it singular.
    within[np.diag_indices_from(within)] += shrinkage * scale + 1e-9 * max(scale, 1e-30)
    # After whitening, all axes are in the subspace of the class means, so the whole covariance needs no
    # eigendecomposition.
    root = cholesky(within, lower=True, overwrite_a=True)
    plane = svd(solve_triangular(root, means.T, lower=True), full_matrices=False)[0]
    # A single class has no discriminant axis; an arbitrary one keeps the shapes valid.
    count = max(1, min(present.sum() - 1, len(within)))
    return np.asarray(solve_triangular(root, plane[:, :count], lower=True, trans="T"))


def _solve(gram: F64, moment: F64) -> F64:
    """Solve a linear system with a Gram matrix that is positive definite except for rounding errors.

    Only its lower triangle is read.

    If centers are close together, rounding errors can make it indefinite. Its diagonal is increased until it
    is positive definite.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    jitter = 1e-5
    while True:
        gram[np.diag_indices_from(gram)] += jitter
        try:
            return np.asarray(cho_solve(cho_factor(gram, lower=True, check_finite=False), moment))
        except LinAlgError:
            jitter *= 10


def _blocks(rows: Array) -> Iterator[Array]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
