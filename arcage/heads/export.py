"""Export heads as an ONNX model, for programs that do not run Python. Needs the package onnx.

The graph has basic operators only, which every runtime supports. OpenVINO has no TreeEnsembleRegressor, so
trees are evaluated one step at a time. Piecewise linear interpolation is a sum over the pieces of the slope
times the covered part of the piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from arcage.errors import HeadsError, UsageError
from arcage.files import atomic_write, check_exist, check_replaceable, refuse_foreign
from arcage.graphs.builder import GraphBuilder
from arcage.heads.distribution import HIGH, LEAST_SCALE, LOW, OLDEST, YOUNGEST
from arcage.heads.layers import Kernel, Linear, Trees
from arcage.heads.model import Adaptation, AgeModel, Calibration, Curves, GenderModel, Heads, Stacked
from arcage.heads.place import heads_path
from arcage.heads.store import named_heads
from arcage.types import F32, F64, Array

INPUT = "descriptors"
AGES, FEMALE = ("age", "age_low", "age_high"), "p_female"
OPSET, IR = 17, 8
"""Old enough for runtimes on phones and in browsers."""
ONE = np.array([1], np.int64)


def check_onnx_file(file: Path) -> None:
    """Check whether :func:`write_onnx` may write ``file``.

    Raises:
        UsageError: the name does not end in ``.onnx``, or arcage did not write the existing file.
    """
    if file.suffix.lower() != ".onnx":
        raise UsageError(f"the model is written as ONNX: {file} must end in .onnx")
    # The producer name, which follows the format version in protobuf.
    refuse_foreign(rb"\A\x08[\x01-\x7f]\x12\x06arcage", file)


def export_heads(name: str, file: Path, *, overwrite: bool = False) -> Heads:
    """Write heads as an ONNX model; see :func:`write_onnx`.

    Args:
        name: of the heads; see :func:`arcage.heads.store.named_heads`.
        file: the model.
        overwrite: replace a file that arcage did not write.

    Returns:
        The heads.

    Raises:
        UsageError: there is no such folder, the name of the file does not end in ``.onnx``, or arcage did
            not write the existing file.
        HeadsError: the heads are damaged, or the package onnx is not installed.
        OutputError: the file cannot be written.
    """
    check_exist({"": [heads_path(name)]})
    check_replaceable(file, check_onnx_file, overwrite=overwrite)
    heads = named_heads(name)
    write_onnx(heads, file)
    return heads


def write_onnx(heads: Heads, file: Path) -> None:
    """Write heads as an ONNX model.

    Input: ``descriptors``, float32 [n, dimension]. Outputs, for the attributes of the heads: ``age``,
        ``age_low``, ``age_high`` (years) and ``p_female`` (0 to 1), float32 [n].

    Raises:
        HeadsError: the package onnx is not installed, or a number is too large for single precision.
        OutputError: the file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise HeadsError("writing ONNX needs the package onnx: pip install 'arcage[onnx]'") from error
    graph = _Graph(onnx)
    outputs: list[str] = []
    if heads.age is not None:
        _age(graph, heads.age)
        outputs += AGES
    if heads.gender is not None:
        _gender(graph, heads.gender)
        outputs.append(FEMALE)
    value, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "arcage heads",
            [value(INPUT, float32, ["n", heads.dimension])],
            [value(name, float32, ["n"]) for name in outputs],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="arcage",
    )
    # The model must be given descriptors of this pipeline.
    onnx.helper.set_model_props(model, {"fingerprint": heads.fingerprint})
    onnx.checker.check_model(model)
    with atomic_write(file) as out:
        out.write(model.SerializeToString())


@dataclass(frozen=True, slots=True)
class _StackNames:
    """The names of the outputs of a stack."""

    predictions: str
    outputs: str = ""
    axes: str = ""
    """Empty without a kernel stage."""


class _Graph(GraphBuilder):
    """A graph with the layers of heads. Values are of shape [n, columns]."""

    def constant(self, value: ArrayLike, name: str = "") -> str:
        """Append a constant of one or more dimensions, in single precision if it is a float."""
        array = np.ascontiguousarray(value)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                single = array.astype(np.float32)
            if (np.isinf(single) & np.isfinite(array)).any():
                raise HeadsError("the heads have numbers too large for single precision: fit them again")
            array = single
        return super().constant(array, name)

    def linear(self, layer: Linear, x: str) -> str:
        product = self.add("MatMul", self.add("Sub", x, layer.mean), layer.weights)
        return self.add("Add", product, layer.bias)

    def clip(self, x: str, low: Array | float, high: Array | float) -> str:
        return self.add("Min", self.add("Max", x, low), high)

    def logistic(self, odds: str, name: str = "") -> str:
        return self.add("Sigmoid", self.clip(odds, -30.0, 30.0), name=name)

    def column(self, x: str, index: int) -> str:
        """Return one column, [n, k] -> [n, 1]."""
        return self.add("Gather", x, np.array([index], np.int64), axis=1)

    def interp(self, x: str, xs: Array, ys: Array) -> str:
        """Interpolate as ``np.interp`` does, [n, 1] -> [n, 1]. Separate pieces avoid cancellation."""
        xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
        if len(xs) == 1:
            return self.add("Add", self.add("Mul", x, 0.0), ys[None])
        width = np.diff(xs)
        along = self.clip(self.add("Sub", x, xs[None, :-1]), 0.0, width[None])
        steps = self.add("MatMul", along, (np.diff(ys) / width)[:, None])
        return self.add("Add", steps, ys[:1][None])

    def trees(self, layer: Trees, x: str) -> str:
        """Evaluate all trees in parallel, step by step, as :class:`~arcage.heads.layers.Trees` does."""
        threshold = _float32_below(layer.threshold)
        feature, left, right = (a.astype(np.int32) for a in (layer.feature, layer.left, layer.right))
        roots = layer.roots.astype(np.int32)
        node = ""
        for step in range(int(layer.depth)):
            if step:
                value = self.add("GatherElements", x, self.add("Gather", feature, node), axis=1)
                least, lower, upper = (self.add("Gather", a, node) for a in (threshold, left, right))
            else:
                # All faces start at the roots.
                value = self.add("Gather", x, feature[roots], axis=1)
                least, lower, upper = (self.constant(a[roots][None]) for a in (threshold, left, right))
            node = self.add("Where", self.add("LessOrEqual", value, least), lower, upper)
        if not node:
            # Trees without a split are constant.
            zero = self.add("Mul", self.column(x, 0), 0.0)
            return self.add("Add", zero, layer.value[roots].sum())
        return self.add("ReduceSum", self.add("Gather", layer.value, node), ONE, keepdims=1)

    def kernel(self, layer: Kernel, axes: str) -> str:
        centers = layer.centers.astype(np.float64)
        own = self.add("ReduceSum", self.add("Mul", axes, axes), ONE, keepdims=1)
        product = self.add("MatMul", axes, 2 * centers.T)
        distance = self.add("Sub", self.add("Add", own, (centers**2).sum(axis=1)[None]), product)
        similar = self.add("Exp", self.add("Neg", self.add("Max", distance, 0.0)))
        return self.add("Add", self.add("MatMul", similar, layer.weights), layer.bias)

    def stack(self, stack: Stacked) -> _StackNames:
        if not stack.kernels:
            return _StackNames(self._concat([self._last(layer, INPUT) for layer in stack.last]))
        axes = [self.add("MatMul", self.add("Sub", INPUT, k.mean), k.projection) for k in stack.kernels]
        parts = [self.kernel(kernel, own) for kernel, own in zip(stack.kernels, axes, strict=True)]
        start = self.add("ReduceMean", self._concat([self.column(part, 0) for part in parts]), axes=[1])
        outputs = self._concat(parts)
        columns = self.add("Gather", INPUT, stack.columns.astype(np.int64), axis=1)
        features = self._concat([outputs, columns])
        last = self._concat([self._last(layer, features) for layer in stack.last])
        return _StackNames(self.add("Add", last, start), outputs, self._concat(axes))

    def adaptation(self, adapted: Adaptation, stack: _StackNames) -> tuple[str, str]:
        """Return the weight of the correction, and what it adds to the predictions; both [n, 1]."""
        weight = self.logistic(self.linear(adapted.gate, self._concat([stack.outputs, stack.axes])))
        features = self._concat([stack.outputs, stack.predictions])
        features = self.clip(features, adapted.lowest, adapted.highest)
        return weight, self.add("Mul", weight, self.linear(adapted.change, features))

    def _last(self, layer: Linear | Trees, x: str) -> str:
        return self.linear(layer, x) if isinstance(layer, Linear) else self.trees(layer, x)

    def _concat(self, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)


def _age(graph: _Graph, model: AgeModel) -> None:
    stack = graph.stack(model.stack)
    predictions, weight = stack.predictions, ""
    if model.shift is not None:
        shift = graph.linear(model.shift, graph.column(predictions, 0))
        predictions = graph.add("Add", predictions, shift)
    if model.adapted is not None:
        weight, shift = graph.adaptation(model.adapted, stack)
        predictions = graph.add("Add", predictions, shift)
    age = graph.clip(graph.column(predictions, 0), YOUNGEST, OLDEST)
    count = len(model.stack.last)
    for name, high in (("age_low", False), ("age_high", True)):
        bound = _bound(graph, model.calibration, predictions, count, high=high)
        extreme = "Max" if high else "Min"
        value = graph.clip(graph.add(extreme, bound, age), YOUNGEST, OLDEST)
        if model.adapted is not None and model.adapted.calibration is not None:
            other = _bound(graph, model.adapted.calibration, predictions, count, high=high)
            other = graph.clip(graph.add(extreme, other, age), YOUNGEST, OLDEST)
            change = graph.add("Mul", weight, graph.add("Sub", other, value))
            value = graph.add(extreme, graph.add("Add", value, change), age)
        _flat(graph, value, name)
    _flat(graph, age, AGES[0])


def _bound(graph: _Graph, calibration: Calibration, predictions: str, count: int, *, high: bool) -> str:
    """Return one bound of the 90 % interval, [n, 1], from the ``count`` predictions of the stack."""
    point = graph.column(predictions, 0)
    if isinstance(calibration, Curves):
        quantile = graph.column(predictions, count - 1 if high or count == 1 else count - 2)
        return graph.interp(quantile, calibration.high if high else calibration.low, calibration.ages)
    score = graph.interp(point, calibration.centers, calibration.scores[:, HIGH if high else LOW])
    if count == 3:
        span = graph.add("Sub", graph.column(predictions, 2), graph.column(predictions, 1))
        score = graph.add("Mul", score, graph.add("Max", graph.add("Mul", span, 0.5), LEAST_SCALE))
    return graph.add("Add", point, score)


def _gender(graph: _Graph, model: GenderModel) -> None:
    stack = graph.stack(model.stack)
    score = graph.column(stack.predictions, 0)
    odds = graph.add("Add", graph.add("Mul", score, model.slope), model.offset)
    if model.adapted is not None:
        odds = graph.add("Add", odds, graph.adaptation(model.adapted, stack)[1])
    _flat(graph, graph.logistic(odds), FEMALE)


def _flat(graph: _Graph, x: str, name: str) -> None:
    graph.add("Squeeze", x, ONE, name=name)


def _float32_below(threshold: F64) -> F32:
    """Return the largest float32 up to each threshold, which splits float32 values in the same way."""
    with np.errstate(over="ignore"):
        single = threshold.astype(np.float32)
    above = single.astype(np.float64) > threshold
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return np.minimum(single, np.finfo(np.float32).max)
