"""Heads as one ONNX graph, for programs that do not run Python. Needs the package onnx.

All of it are plain operators, which every runtime knows: OpenVINO has no TreeEnsembleRegressor, so trees are
walked through, step by step. What ``np.interp`` does with a curve is written as a sum: each piece adds its
slope times how far the value has come along it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from arcage.errors import HeadsError, UsageError
from arcage.files import atomic_write, check_exist, check_replaceable, refuse_foreign
from arcage.heads.layers import Kernel, Linear, Trees
from arcage.heads.model import OLDEST, YOUNGEST, Adaptation, AgeModel, GenderModel, Heads, Stacked
from arcage.heads.store import heads_folder, named_heads
from arcage.types import F32, F64, Array

INPUT = "descriptors"
AGES, FEMALE = ("age", "age_low", "age_high"), "p_female"
OPSET, IR = 17, 8
"""Old enough for what runs on phones and in browsers."""
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
    """Write heads as an ONNX model, see :func:`write_onnx`.

    Args:
        name: folder of the heads, or ``wheel`` for the bundled ones.
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
    check_exist({"": [heads_folder(name)]})
    check_replaceable(file, check_onnx_file, overwrite=overwrite)
    heads = named_heads(name)
    write_onnx(heads, file)
    return heads


def write_onnx(heads: Heads, file: Path) -> None:
    """Write heads as an ONNX model: ``descriptors``, float32 [n, dimension], in; ``age``, ``age_low``,
    ``age_high`` (years) and ``p_female`` (0 to 1), float32 [n], out, as far as the heads have them.

    Raises:
        HeadsError: the package onnx is not installed.
        OutputError: the file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise HeadsError("writing ONNX needs the package onnx: pip install 'arcage[onnx]'") from error
    graph = _Graph(onnx.helper, onnx.numpy_helper)
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
    # Whoever runs the file has to feed it with descriptors of this pipeline.
    onnx.helper.set_model_props(model, {"fingerprint": heads.fingerprint})
    onnx.checker.check_model(model)
    with atomic_write(file) as out:
        out.write(model.SerializeToString())


class _Graph:
    """A graph that grows by one operator at a time."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self.helper, self.numpy_helper = helper, numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str | Array | float, name: str = "", **attributes: Any) -> str:
        """Add an operator on values by name, or on constants, and give its output's name."""
        names = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        output = name or f"v{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, names, [output], **attributes))
        return output

    def _constant(self, value: Array | float) -> str:
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        name = f"c{len(self.constants)}"
        self.constants.append(self.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def linear(self, part: Linear, x: str) -> str:
        return self.add("Add", self.add("MatMul", self.add("Sub", x, part.mean), part.weights), part.bias)

    def clip(self, x: str, low: Array | float, high: Array | float) -> str:
        return self.add("Min", self.add("Max", x, low), high)

    def logistic(self, odds: str, name: str = "") -> str:
        return self.add("Sigmoid", self.clip(odds, -30.0, 30.0), name=name)

    def column(self, x: str, index: int) -> str:
        """Shape [n, k] -> [n, 1]."""
        return self.add("Gather", x, np.array([index], np.int64), axis=1)

    def interp(self, x: str, xs: Array, ys: Array) -> str:
        """``np.interp`` for [n, 1]; ``xs`` increase. Pieces by themselves lose nothing to cancellation."""
        xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
        width = np.diff(xs)
        along = self.clip(self.add("Sub", x, xs[None, :-1]), 0.0, width[None])
        steps = self.add("MatMul", along, (np.diff(ys) / width)[:, None])
        return self.add("Add", steps, ys[:1][None])

    def trees(self, part: Trees, x: str) -> str:
        """All trees side by side, a step down at a time, as :class:`~arcage.heads.layers.Trees` goes."""
        threshold = _float32_below(part.threshold)
        feature, left, right = (a.astype(np.int32) for a in (part.feature, part.left, part.right))
        roots = part.roots.astype(np.int32)
        node = ""
        for step in range(int(part.depth)):
            if step:
                seen = self.add("GatherElements", x, self.add("Gather", feature, node), axis=1)
                least, lower, upper = (self.add("Gather", a, node) for a in (threshold, left, right))
            else:
                # Everybody begins at the roots.
                seen = self.add("Gather", x, feature[roots], axis=1)
                least, lower, upper = (self._constant(a[roots][None]) for a in (threshold, left, right))
            node = self.add("Where", self.add("LessOrEqual", seen, least), lower, upper)
        if not node:
            # Trees that never ask anything: the same for everybody.
            alone = self.add("Mul", self.column(x, 0), 0.0)
            return self.add("Add", alone, part.value[roots].sum())
        return self.add("ReduceSum", self.add("Gather", part.value, node), ONE, keepdims=1)

    def kernel(self, part: Kernel, axes: str) -> str:
        marks = part.landmarks.astype(np.float64)
        own = self.add("ReduceSum", self.add("Mul", axes, axes), ONE, keepdims=1)
        product = self.add("MatMul", axes, 2 * marks.T)
        distance = self.add("Sub", self.add("Add", own, (marks**2).sum(axis=1)[None]), product)
        similar = self.add("Exp", self.add("Neg", self.add("Max", distance, 0.0)))
        return self.add("Add", self.add("MatMul", similar, part.weights), part.bias)

    def stack(self, stack: Stacked) -> tuple[str, str, str]:
        """Its answers; and the kernel stage's outputs and axes, empty without one."""
        if not stack.kernels:
            return self._concat([self._last(part, INPUT) for part in stack.last]), "", ""
        axes = [self.add("MatMul", self.add("Sub", INPUT, k.mean), k.projection) for k in stack.kernels]
        parts = [self.kernel(kernel, own) for kernel, own in zip(stack.kernels, axes, strict=True)]
        start = self.add("ReduceMean", self._concat([self.column(part, 0) for part in parts]), axes=[1])
        outputs = self._concat(parts)
        columns = self.add("Gather", INPUT, stack.columns.astype(np.int64), axis=1)
        features = self._concat([outputs, columns])
        last = self._concat([self._last(part, features) for part in stack.last])
        return self.add("Add", last, start), outputs, self._concat(axes)

    def adaptation(self, part: Adaptation, seen: tuple[str, str, str]) -> tuple[str, str]:
        """How much a face looks like the new source, and what is added to its answers; both [n, 1]."""
        answers, outputs, axes = seen
        weight = self.logistic(self.linear(part.gate, self._concat([outputs, axes])))
        said = self.clip(self._concat([outputs, answers]), part.lowest, part.highest)
        return weight, self.add("Mul", weight, self.linear(part.change, said))

    def _last(self, part: Linear | Trees, x: str) -> str:
        return self.linear(part, x) if isinstance(part, Linear) else self.trees(part, x)

    def _concat(self, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)


def _age(graph: _Graph, model: AgeModel) -> None:
    seen = graph.stack(model.stack)
    answers, weight = seen[0], ""
    if model.adapted is not None:
        weight, shift = graph.adaptation(model.adapted, seen)
        answers = graph.add("Add", answers, shift)
    age = graph.clip(graph.column(answers, 0), YOUNGEST, OLDEST)
    count = len(model.stack.last)
    own = np.stack([model.ages, model.low, model.high])
    for end, column, extreme in ((1, count - 2 if count == 3 else 0, "Min"), (2, count - 1, "Max")):
        answer = graph.column(answers, column)

        def read(curves: Array, end: int = end, answer: str = answer, extreme: str = extreme) -> str:
            at = graph.interp(answer, curves[end], curves[0])
            return graph.clip(graph.add(extreme, at, age), YOUNGEST, OLDEST)

        value = read(own)
        if model.adapted is not None:
            other = graph.add("Sub", read(model.adapted.curves), value)
            value = graph.add(extreme, graph.add("Add", value, graph.add("Mul", weight, other)), age)
        _flat(graph, value, AGES[end])
    _flat(graph, age, AGES[0])


def _gender(graph: _Graph, model: GenderModel) -> None:
    seen = graph.stack(model.stack)
    odds = graph.add("Add", graph.add("Mul", graph.column(seen[0], 0), model.slope), model.offset)
    if model.adapted is not None:
        odds = graph.add("Add", odds, graph.adaptation(model.adapted, seen)[1])
    _flat(graph, graph.logistic(odds), FEMALE)


def _flat(graph: _Graph, x: str, name: str) -> None:
    graph.add("Squeeze", x, ONE, name=name)


def _float32_below(threshold: F64) -> F32:
    """The largest float32 that is at most the threshold: float32 values go the same way at both."""
    single = threshold.astype(np.float32)
    above = single.astype(np.float64) > threshold
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return np.minimum(single, np.finfo(np.float32).max)
