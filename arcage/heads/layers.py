"""The fitted layers of heads: arrays, and the functions that apply them.

This module imports nothing but NumPy, so that predicting one photo does not wait for the libraries that fit
heads. Loading heads reads arrays and runs no code from the file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

from arcage.types import F32, F64, Array

Arrays: TypeAlias = dict[str, Array]


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
        """Shape (n, inputs) -> shape (n, outputs)."""
        return np.asarray((x - self.mean) @ self.weights + self.bias, np.float32)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Kernel ridge regression with a Gaussian kernel and the Nystroem approximation.

    ``exp(-|project(x) - center|^2) @ weights + bias`` (Williams & Seeger, NIPS 2000).
    """

    mean: F32
    """Shape (inputs,)."""
    projection: F32
    """Shape (inputs, axes); includes the scale of the kernel."""
    centers: F32
    """Shape (centers, axes)."""
    weights: F32
    """Shape (centers, outputs)."""
    bias: F32
    """Shape (outputs,)."""

    def __call__(self, x: F32) -> F32:
        """Shape (n, inputs) -> shape (n, outputs)."""
        return self.from_axes(self.project(x))

    def from_axes(self, axes: F32) -> F32:
        """Return the outputs, shape (n, outputs), given the result of :meth:`project`."""
        return np.asarray(gaussian(axes, self.centers) @ self.weights + self.bias, np.float32)

    def project(self, x: F32) -> F32:
        """Return the axes in which the kernel compares faces, shape (n, axes)."""
        return np.asarray((x - self.mean) @ self.projection, np.float32)


def gaussian(a: F32, b: F32) -> F32:
    """Return ``exp(-|a_i - b_j|^2)``, shape (len(a), len(b))."""
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
    """A sum of regression trees, as LightGBM grows them.

    The nodes of all trees are in one list. A leaf is a node that leads to itself.
    """

    roots: Array
    """Shape (trees,), int32: the root of each tree."""
    feature: Array
    """Shape (nodes,), int32: the column that a node compares."""
    threshold: F64
    """Shape (nodes,): a face goes left if the column is at most this."""
    left: Array
    right: Array
    """Shape (nodes,), int32."""
    value: F64
    """Shape (nodes,): the value of a leaf; 0 for inner nodes."""
    depth: Array
    """Shape (), int32: the maximum number of steps from a root to a leaf."""

    def __call__(self, x: F32) -> F32:
        """Shape (n, columns) -> shape (n, 1)."""
        total = np.empty((len(x), 1), np.float32)
        children = np.stack([self.right, self.left], axis=1).ravel()
        # The (faces, trees) matrix of a block fits into the processor's cache.
        step = max(1, (1 << 18) // max(1, len(self.roots)))
        for start in range(0, len(x), step):
            block = np.ascontiguousarray(x[start : start + step])
            row = (np.arange(len(block)) * x.shape[1])[:, None]
            node = np.broadcast_to(self.roots, (len(block), len(self.roots)))
            for _ in range(int(self.depth)):
                go_left = block.take(row + self.feature.take(node)) <= self.threshold.take(node)
                node = children.take(2 * node + go_left)
            total[start : start + step, 0] = self.value[node].sum(axis=1)
        return total


Layer: TypeAlias = Linear | Kernel | Trees

KINDS: dict[str, type[Layer]] = {
    "linear": Linear,
    "kernel": Kernel,
    "trees": Trees,
}
_FORMS: dict[str, dict[str, tuple[str, int]]] = {
    "linear": {"mean": ("f", 1), "weights": ("f", 2), "bias": ("f", 1)},
    "kernel": {
        "mean": ("f", 1),
        "projection": ("f", 2),
        "centers": ("f", 2),
        "weights": ("f", 2),
        "bias": ("f", 1),
    },
    "trees": {
        "roots": ("i", 1),
        "feature": ("i", 1),
        "threshold": ("f", 1),
        "left": ("i", 1),
        "right": ("i", 1),
        "value": ("f", 1),
        "depth": ("i", 0),
    },
}
"""Kind of the numbers and number of axes of each field in files."""
MAX_SIDE = 1 << 14
"""Limit of the centers, axes and outputs of a kernel that is loaded. Fits have up to 4,000."""
MAX_NODES, MAX_DEPTH, MAX_STEPS = 1 << 22, 32, 1 << 20
"""Limits of trees that are loaded: nodes; depth; and depth times trees, which determines the time of a
prediction. Fits have up to 100,000 nodes, a depth of 8 and 10,000 steps."""
STORED_NAMES = {"centers": "landmarks"}
"""Fields with another name in files."""


def to_arrays(layer: Layer, prefix: str) -> Arrays:
    """Return the arrays of a layer under ``<prefix>.<kind>.<field>``, the centers in float16."""
    kind = next(name for name, cls in KINDS.items() if isinstance(layer, cls))
    out: Arrays = {}
    for field in fields(layer):
        value = np.asarray(getattr(layer, field.name))
        if field.name == "centers":
            value = value.astype(np.float16)
        out[f"{prefix}.{kind}.{STORED_NAMES.get(field.name, field.name)}"] = value
    return out


def from_arrays(arrays: Arrays, prefix: str) -> Layer | None:
    """Return the layer that :func:`to_arrays` stored under ``prefix``, or None, and remove its arrays.

    Raises:
        ValueError, KeyError: arrays are missing, do not fit together, or are not as arcage writes them.
    """
    for kind, cls in KINDS.items():
        names = {f.name: f"{prefix}.{kind}.{STORED_NAMES.get(f.name, f.name)}" for f in fields(cls)}
        if any(name in arrays for name in names.values()):
            values: dict[str, Any] = {
                name: take(arrays, key, *_FORMS[kind][name], finite=name != "threshold")
                for name, key in names.items()
            }
            layer = cls(**values)
            _check(layer)
            return layer
    return None


def take(arrays: Arrays, name: str, kind: str, dimensions: int, *, finite: bool = True) -> Array:
    """Remove an array and return it, in single precision if it is stored in half precision.

    Args:
        arrays: by name.
        name: of the array.
        kind: of the numbers: ``f`` or ``i``, as in ``dtype.kind``.
        dimensions: number of axes.
        finite: whether infinite numbers are refused.

    Raises:
        KeyError: there is no such array.
        ValueError: it is of another kind, or has numbers that are NaN or infinite.
    """
    array = arrays.pop(name)
    if array.dtype.kind != kind or array.ndim != dimensions:
        raise ValueError(f"{name} has {array.ndim} axes of {array.dtype} numbers")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if kind == "f" and array.size:
        # NaN passes through both. Unlike a mask, they take no memory.
        ends = np.array([array.min(), array.max()])
        if np.isnan(ends).any() or (finite and np.isinf(ends).any()):
            raise ValueError(f"{name} has numbers that are not finite")
    return array


def _check(layer: Layer) -> None:
    """Check that shapes match, and that the layer can be applied in little time and memory."""
    if isinstance(layer, Trees):
        _check_trees(layer)
        return
    outputs = len(layer.bias)
    shapes = {"mean": layer.mean.shape, "weights": (len(layer.mean), outputs)}
    if isinstance(layer, Kernel):
        centers, axes = layer.centers.shape
        shapes |= {"projection": (len(layer.mean), axes), "weights": (centers, outputs)}
        if max(centers, axes) > MAX_SIDE:
            raise ValueError(f"the kernel has more than {MAX_SIDE:,} centers or axes")
    if any(getattr(layer, name).shape != shape or not all(shape) for name, shape in shapes.items()):
        raise ValueError("the head's arrays do not fit together")
    if outputs > MAX_SIDE:
        raise ValueError(f"the head has more than {MAX_SIDE:,} outputs")


def _check_trees(trees: Trees) -> None:
    """Check that nodes exist (a wrong index would read outside the arrays), and that all paths end."""
    nodes, depth = len(trees.feature), int(trees.depth)
    if any(len(getattr(trees, name)) != nodes for name in ("threshold", "value", "left", "right")):
        raise ValueError("the trees' arrays differ in length")
    if nodes > MAX_NODES or not 0 <= depth <= MAX_DEPTH or depth * len(trees.roots) > MAX_STEPS:
        raise ValueError("the trees are too large")
    for name in ("roots", "left", "right"):
        index = getattr(trees, name)
        if len(index) and (index.min() < 0 or index.max() >= nodes):
            raise ValueError(f"{name} points outside the trees")
    if trees.feature.min(initial=0) < 0:
        raise ValueError("the trees compare columns that do not exist")
    # A node ends if it is a leaf, or if both its children end.
    ends = (trees.left == trees.right) & (trees.left == np.arange(nodes))
    for _ in range(depth):
        if ends[trees.roots].all():
            break
        ends |= ends[trees.left] & ends[trees.right]
    if not ends[trees.roots].all():
        raise ValueError("the trees are deeper than their depth")
