"""Build a network that finds faces on a batch of canvases from a published face detector.

Everything that is the same for each pixel or cell becomes part of the graph, where it runs for a whole
batch at once: conversion from uint8, colour order and scale, the mirror image, the score, and the choice of
the best cells. The bundled detector was built with it; others are converted when they are loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arcage.embedder.onnx_model import (
    constants_of,
    drop_unused,
    image_input,
    import_onnx,
    operator_set,
)
from arcage.errors import ModelError
from arcage.graphs.builder import GraphBuilder

BEST = 256
"""Cells whose values are returned for each canvas. Where more are above the threshold, all are read."""
VALUES = 14
"""Values of a cell: 4 of the box, then x and y of 5 landmarks."""

_MIN_OPSET = 11
"""First operator set with GatherElements, and with bounds of Clip that are tensors."""
_BATCH_LAST = [2, 3, 0, 1]
"""Order of the axes by which InsightFace's exports put the cells before the batch."""
_BATCH_FIRST = [0, 2, 3, 1]


@dataclass(frozen=True, slots=True)
class DetectorOutputs:
    """The outputs of a published detector, one for each scale, finest first, and the form of its input."""

    scores: tuple[tuple[str, ...], ...]
    """For each scale, one name, or two whose geometric mean is the score. Shape (n, cells, 1)."""
    boxes: tuple[str, ...]
    """Shape (n, cells, 4)."""
    landmarks: tuple[str, ...]
    """Shape (n, cells, 10)."""
    bgr: bool
    """Whether the network takes the colours in the order blue, green, red."""
    mean: float = 0.0
    std: float = 1.0
    """The network takes (pixels - mean) / std."""

    def coarse(self) -> DetectorOutputs:
        """Return the outputs without the finest scale."""
        return replace(self, scores=self.scores[1:], boxes=self.boxes[1:], landmarks=self.landmarks[1:])


def detector_graph(model: Any, outputs: DetectorOutputs, *, mirrored: bool) -> Any:
    """Build a network from canvases to the scores and values of cells.

    Args:
        model: ``onnx.ModelProto`` of the detector, with one input (1, 3, height, width); not changed.
        outputs: what it returns.
        mirrored: build the network for one face on each canvas, of known size. It also searches the mirror
            image of each canvas, whose rows follow those of the canvases, and leaves out the finest scale and
            the best cells.

    Returns:
        ``onnx.ModelProto`` with the input ``canvases``, (n, height, width, 3) uint8 RGB, and the outputs
        ``all_scores``, (n, cells) float32; ``all_values``, (n, cells, 14) float32; ``total``, (n, 1) float32,
        which is NaN or infinite if a score is; and those of the best cells: ``scores``, (n, 256) float32,
        highest first; ``cells``, (n, 256) int64; ``values``, (n, 256, 14) float32.

    Raises:
        ModelError: the operator set is too old, or the network accepts only one canvas.
    """
    onnx = import_onnx()
    outputs = outputs.coarse() if mirrored else outputs
    opset = operator_set(model)
    if opset < _MIN_OPSET:
        raise ModelError(
            f"the face detector uses ONNX operator set {opset}, arcage needs {_MIN_OPSET} or later: export "
            "it again, or convert it with onnx.version_converter"
        )
    built = onnx.ModelProto()
    built.CopyFrom(model)
    built = onnx.compose.add_prefix(built, "detector_")
    _free_batch(built.graph, onnx)
    added = GraphBuilder(onnx)
    _add_input(added, image_input(built).name, outputs, mirrored)
    before = len(added.nodes)
    _add_outputs(added, outputs, opset)
    if not mirrored:
        _add_best(added)

    graph = built.graph
    graph.initializer.extend(added.constants)
    nodes = [*added.nodes[:before], *graph.node, *added.nodes[before:]]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    value, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph.input.append(value("canvases", onnx.TensorProto.UINT8, ["n", "height", "width", 3]))
    n = "twice_n" if mirrored else "n"
    graph.output.extend(
        [
            value("all_scores", float32, [n, "cells_in_all"]),
            value("all_values", float32, [n, "cells_in_all", VALUES]),
            value("total", float32, [n, 1]),
        ]
    )
    if not mirrored:
        graph.output.extend(
            [
                value("scores", float32, [n, BEST]),
                value("cells", onnx.TensorProto.INT64, [n, BEST]),
                value("values", float32, [n, BEST, VALUES]),
            ]
        )
    drop_unused(graph)
    built.ir_version = max(built.ir_version, 4)
    return built


def _add_input(graph: GraphBuilder, image: str, outputs: DetectorOutputs, mirrored: bool) -> None:
    pixels = "canvases"
    if mirrored:
        ends = np.array([-1]), np.array([np.iinfo(np.int64).min]), np.array([2]), np.array([-1])
        flipped = graph.add("Slice", pixels, *ends, name="flipped")
        pixels = graph.add("Concat", pixels, flipped, name="both", axis=0)
    # The last node has the name of the network's input.
    pixels = graph.add("Transpose", pixels, name="chw", perm=[0, 3, 1, 2])
    normalised = (outputs.mean, outputs.std) != (0, 1)
    plain = "pixels" if outputs.bgr or normalised else image
    pixels = graph.add("Cast", pixels, name=plain, to=graph.onnx.TensorProto.FLOAT)
    if outputs.bgr:
        # Not Gather: OpenVINO moves it into the weights of the first convolution, whose sums then have
        # another order and other last digits.
        planes = [graph.add("Slice", pixels, *(np.array([n]) for n in (i, i + 1, 1))) for i in (2, 1, 0)]
        pixels = graph.add("Concat", *planes, name="bgr" if normalised else image, axis=1)
    if normalised:
        pixels = graph.add("Sub", pixels, np.float32(outputs.mean), name="centred")
        graph.add("Div", pixels, np.float32(outputs.std), name=image)


def _add_outputs(graph: GraphBuilder, outputs: DetectorOutputs, opset: int) -> None:
    scores, values = [], []
    for names, box, landmarks in zip(outputs.scores, outputs.boxes, outputs.landmarks, strict=True):
        scores.append([f"detector_{name}" for name in names])
        values.append(graph.add("Concat", f"detector_{box}", f"detector_{landmarks}", axis=2))
    kinds = [graph.add("Concat", *kind, axis=1) for kind in zip(*scores, strict=True)]
    kinds = [graph.add("Flatten", kind, axis=1) for kind in kinds]
    total = kinds[0] if len(kinds) == 1 else graph.add("Add", *kinds)
    # The axis is an attribute up to operator set 12, then an input.
    if opset < 13:
        graph.add("ReduceSum", total, name="total", axes=[1], keepdims=1)
    else:
        graph.add("ReduceSum", total, np.array([1]), name="total", keepdims=1)
    if len(kinds) == 1:
        graph.add("Identity", kinds[0], name="all_scores")
    else:
        bounded = [graph.add("Clip", kind, np.float32(0), np.float32(1)) for kind in kinds]
        graph.add("Sqrt", graph.add("Mul", *bounded), name="all_scores")
    graph.add("Concat", *values, name="all_values", axis=1)


def _add_best(graph: GraphBuilder) -> None:
    best = graph.onnx.helper.make_node(
        "TopK", ["all_scores", graph.constant(np.array([BEST]))], ["scores", "cells"], axis=1
    )
    graph.nodes.append(best)
    rows = graph.add("Reshape", "cells", np.array([0, BEST, 1]))
    rows = graph.add("Tile", rows, np.array([1, 1, VALUES]))
    graph.add("GatherElements", "all_values", rows, name="values", axis=1)


def _free_batch(graph: Any, onnx: Any) -> None:
    """Change a graph for one canvas so that it accepts any number: (cells, width) becomes (n, cells, width).

    Raises:
        ModelError: an output does not have a form that is known.
    """
    makers = {name: node for node in graph.node for name in node.output}
    targets = constants_of(graph)
    for i, output in enumerate(graph.output):
        reshape = makers.get(output.name)
        while reshape is not None and reshape.op_type in ("Sigmoid", "Identity"):
            reshape = makers.get(reshape.input[0])
        transpose = makers.get(reshape.input[0]) if reshape is not None else None
        if (
            reshape is None
            or transpose is None
            or (reshape.op_type, transpose.op_type) != ("Reshape", "Transpose")
        ):
            raise _one_canvas_only()
        (order,) = (a for a in transpose.attribute if a.name == "perm")
        if reshape.input[1] not in targets and list(order.ints) == _BATCH_FIRST:
            continue  # its size is computed, with that of the batch
        if reshape.input[1] not in targets or list(order.ints) not in (_BATCH_FIRST, _BATCH_LAST):
            raise _one_canvas_only()
        target = [int(n) for n in onnx.numpy_helper.to_array(targets[reshape.input[1]]).reshape(-1)]
        if target[:-1] not in ([-1], [1, -1], [0, -1]):
            raise _one_canvas_only()
        order.ints[:] = _BATCH_FIRST
        name = f"detector_rows_{i}"
        # 0 keeps the batch.
        rows = np.array([0, -1, target[-1]], np.int64)
        graph.initializer.append(onnx.numpy_helper.from_array(rows, name))
        reshape.input[1] = name


def _one_canvas_only() -> ModelError:
    return ModelError("the face detector's outputs are made in a way that accepts only one picture at a time")
