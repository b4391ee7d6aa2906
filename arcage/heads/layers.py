"""The pieces that heads are made of when they predict: arrays and the few lines that apply them.

Nothing here imports more than NumPy, so that predicting one photo does not wait for the libraries
that fitted the heads, and loading heads reads arrays and runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias

import numpy as np

from arcage.types import F32, F64, Array

Arrays: TypeAlias = dict[str, Array]


class Part(Protocol):
    """Something fitted: descriptors or features in, columns out."""

    def __call__(self, x: F32) -> F32:
        """Shape (n, inputs), float32 -> shape (n, outputs), float32."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """``(x - mean) @ weights + bias``."""

    mean: F32
    """Shape (inputs,)."""
    weights: F32
    """Shape (inputs, outputs)."""
    bias: F32
    """Shape (outputs,)."""

    def __call__(self, x: F32) -> F32:
        return np.asarray((x - self.mean) @ self.weights + self.bias, np.float32)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Kernel ridge regression with a Gaussian kernel on landmarks (Nystroem's approximation,
    Williams & Seeger, NIPS 2000): ``exp(-|p(x) - l|^2) @ weights + bias`` with a linear map ``p``."""

    mean: F32
    """Shape (inputs,)."""
    projection: F32
    """Shape (inputs, axes); the kernel's width is folded in."""
    landmarks: F32
    """Shape (landmarks, axes)."""
    weights: F32
    """Shape (landmarks, outputs)."""
    bias: F32
    """Shape (outputs,)."""

    def __call__(self, x: F32) -> F32:
        return self.of_projected(self.project(x))

    def of_projected(self, axes: F32) -> F32:
        """The answers from what :meth:`project` gave."""
        return np.asarray(gaussian(axes, self.landmarks) @ self.weights + self.bias, np.float32)

    def project(self, x: F32) -> F32:
        """The axes on which faces are compared, shape (n, axes)."""
        return np.asarray((x - self.mean) @ self.projection, np.float32)


def gaussian(a: F32, b: F32) -> F32:
    """``exp(-|a_i - b_j|^2)``, shape (len(a), len(b))."""
    distance = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    product = a @ b.T
    product *= 2
    distance -= product
    np.maximum(distance, 0, out=distance)
    np.negative(distance, out=distance)
    result: F32 = np.exp(distance, out=distance)
    return result


@dataclass(frozen=True, slots=True)
class Trees:
    """A sum of regression trees, as LightGBM grows them. Nodes of all trees in one list; a leaf is a
    node that leads to itself."""

    roots: Array
    """Shape (trees,), int32: the first node of each tree."""
    feature: Array
    """Shape (nodes,), int32: the column that a node looks at."""
    threshold: F64
    """Shape (nodes,): go left where the column is at most this."""
    left: Array
    right: Array
    """Shape (nodes,), int32."""
    value: F64
    """Shape (nodes,): what a leaf adds; 0 in inner nodes."""
    depth: Array
    """Shape (), int32: steps from a root to the farthest leaf."""

    def __call__(self, x: F32) -> F32:
        total = np.empty((len(x), 1), np.float32)
        # Blocks keep the matrix of (faces, trees) inside the processor's cache.
        step = max(1, (1 << 18) // max(1, len(self.roots)))
        for start in range(0, len(x), step):
            block = x[start : start + step]
            rows = np.arange(len(block))[:, None]
            node = np.broadcast_to(self.roots, (len(block), len(self.roots)))
            for _ in range(int(self.depth)):
                go_left = block[rows, self.feature[node]] <= self.threshold[node]
                node = np.where(go_left, self.left[node], self.right[node])
            total[start : start + step, 0] = self.value[node].sum(axis=1)
        return total


KINDS: dict[str, type[Linear] | type[Kernel] | type[Trees]] = {
    "linear": Linear,
    "kernel": Kernel,
    "trees": Trees,
}


def to_arrays(part: Linear | Kernel | Trees, prefix: str) -> Arrays:
    """A part's arrays under ``<prefix>.<kind>.<field>``, the large ones in float16."""
    kind = next(name for name, cls in KINDS.items() if isinstance(part, cls))
    out: Arrays = {}
    for field in fields(part):
        value = np.asarray(getattr(part, field.name))
        if field.name == "landmarks":
            value = value.astype(np.float16)
        out[f"{prefix}.{kind}.{field.name}"] = value
    return out


def from_arrays(arrays: Arrays, prefix: str) -> Linear | Kernel | Trees | None:
    """The part saved under ``prefix``, or None.

    Raises:
        ValueError, KeyError: the arrays make no part.
    """
    for kind, cls in KINDS.items():
        names = {f.name: f"{prefix}.{kind}.{f.name}" for f in fields(cls)}
        if any(name in arrays for name in names.values()):
            values: dict[str, Any] = {name: arrays[key] for name, key in names.items()}
            part = cls(**{n: v.astype(np.float32) if v.dtype == np.float16 else v for n, v in values.items()})
            _check(part)
            return part
    return None


def _check(part: Linear | Kernel | Trees) -> None:
    """Shapes that fit together and nodes that exist: a wrong index must not read foreign memory."""
    if isinstance(part, Trees):
        nodes = len(part.feature)
        for name in ("roots", "left", "right"):
            index = getattr(part, name)
            if len(index) and (index.min() < 0 or index.max() >= nodes):
                raise ValueError(f"{name} points outside the trees")
        if not len(part.threshold) == len(part.value) == len(part.left) == len(part.right) == nodes:
            raise ValueError("the trees' arrays differ in length")
        return
    inner = part.projection.shape if isinstance(part, Kernel) else part.weights.shape
    if part.mean.shape != inner[:1] or part.bias.shape != part.weights.shape[1:]:
        raise ValueError("the head's arrays do not fit together")
