"""The supervised kernel stage: descriptors -> smooth answers on axes that know about the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arcage.heads.parts import Kernel, gaussian
from arcage.types import F32, F64, Array


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Settings of the kernel stage, chosen by cross-validation (docs/method.md)."""

    shrinkage: float = 0.3
    """Of the within-class covariance towards its diagonal mean, 0 to 1."""
    context: float = 0.5
    """Weight of the descriptor's own strongest columns beside the supervised axes."""
    context_columns: int = 256
    width: float = 0.3
    """Gaussian kernel: ``exp(-width * distance^2)``, with axes scaled to unit total variance."""
    ridge: float = 0.3
    landmarks: int = 2000


def fit_kernel(x: F32, classes: Array, targets: F64, settings: KernelSettings, seed: int) -> Kernel:
    """Fit kernel ridge regression on discriminant axes.

    Distances between descriptors are mostly about who somebody is. On the axes of a linear
    discriminant analysis between age bands (or genders within them) they are about the label: kernel
    regression there is both better and smaller than on the descriptors.

    Args:
        x: shape (n, dimension), float32.
        classes: shape (n,), int: what the axes have to tell apart.
        targets: shape (n, outputs): what the kernel regression predicts.
    """
    from scipy.linalg import solve

    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = x - mean
    axes = discriminant_axes(centred, classes, settings.shrinkage)
    variance = np.square(centred).mean(axis=0, dtype=np.float64)
    strongest = np.argsort(-variance, kind="stable")[: settings.context_columns]
    context = np.zeros((x.shape[1], len(strongest)))
    context[strongest, np.arange(len(strongest))] = settings.context / np.sqrt(variance.sum())
    spread = np.square(centred @ axes).mean(axis=0, dtype=np.float64).sum()
    projection = np.concatenate([axes / np.sqrt(spread), context], axis=1) * np.sqrt(settings.width)

    seen = centred @ projection.astype(np.float32)
    chosen = np.random.default_rng(seed).permutation(len(x))[: settings.landmarks]
    # Landmarks are stored in half precision: the weights must fit what will be read back.
    landmarks = seen[np.sort(chosen)].astype(np.float16).astype(np.float32)
    bias = targets.mean(axis=0)
    similar = gaussian(seen, landmarks).astype(np.float64)
    among = gaussian(landmarks, landmarks).astype(np.float64)
    gram = similar.T @ similar + settings.ridge * among
    gram[np.diag_indices_from(gram)] += 1e-5
    weights = solve(gram, similar.T @ (targets - bias), assume_a="pos")
    return Kernel(
        mean,
        projection.astype(np.float32),
        landmarks,
        weights.astype(np.float32),
        bias.astype(np.float32),
    )


def discriminant_axes(centred: F32, classes: Array, shrinkage: float) -> F64:
    """Fisher's discriminant axes with a shrunk within-class covariance, shape (dimension, axes),
    each with unit within-class variance, the most telling first."""
    from scipy.linalg import eigh

    names, index = np.unique(classes, return_inverse=True)
    total = (centred.T @ centred).astype(np.float64) / len(centred)
    means = np.stack([centred[index == k].mean(axis=0, dtype=np.float64) for k in range(len(names))])
    share = np.bincount(index) / len(index)
    between = (means * share[:, None]).T @ means
    within = total - between
    scale = np.trace(within) / len(within)
    within = (1 - shrinkage) * within + shrinkage * scale * np.eye(len(within))
    # Columns that never vary would make it singular.
    within[np.diag_indices_from(within)] += 1e-9 * max(scale, 1e-30)
    # With one class nothing can be told apart; one axis keeps the shapes, and is harmless.
    count = max(1, min(len(names) - 1, len(within)))
    _, axes = eigh(between, within, subset_by_index=[len(within) - count, len(within) - 1])
    return np.asarray(axes[:, ::-1])
