"""Build a network that returns multi-level descriptors from a face-recognition network.

The identity embedding at the end of an ArcFace-family network is trained to ignore age; the activations
before it are not. This module finds these *levels* in an ONNX graph by a rule and appends their pooling, so
that one run of the network turns aligned faces into descriptors. The bundled models were built with it; other
packs are converted when they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arcage.embedder.align import SIDE
from arcage.embedder.onnx_model import (
    check_opset,
    drop_unused,
    free_batch,
    image_input,
    image_tensors_of,
    import_onnx,
    tensor_shapes,
)
from arcage.errors import ModelError
from arcage.graphs.builder import GraphBuilder
from arcage.types import F32

ACTIVATIONS = frozenset({"PRelu", "Relu", "LeakyRelu", "Elu", "Clip", "HardSwish", "Mish", "Gelu"})
GRID = 3
"""Rows and columns of regions over which the last feature map is pooled."""


@dataclass(frozen=True, slots=True)
class Level:
    """A tensor of the network, and how it is pooled into columns of the descriptor."""

    tensor: str
    pooling: Literal["mean", "grid", "none"]
    """``mean``: over the whole map; ``grid``: over 3x3 overlapping regions; ``none``: it is a vector."""
    columns: int

    def __str__(self) -> str:
        return f"{self.tensor[:100]} {self.pooling} {self.columns}"


def find_levels(model: Any) -> tuple[Level, ...]:
    """Return the levels of an ArcFace-family graph.

    The rule: at each spatial size, the last activation and the last residual sum, averaged over the map; the
    last activation or sum of the smallest map once more, pooled by region; and the embedding.

    Args:
        model: ``onnx.ModelProto`` with one image input (n, 3, 112, 112) and one output (n, d).

    Raises:
        ModelError: the graph is not such a network.
    """
    if len(model.graph.output) != 1:
        raise ModelError(f"a face embedder has one output, this model has {len(model.graph.output)}")
    shapes = tensor_shapes(model)
    embedding = model.graph.output[0].name
    if len(shapes.get(embedding, ())) != 2 or shapes[embedding][1] < 1:
        raise ModelError(
            f"the output {embedding!r} is not an (n, dimension) array: this is not a face embedder"
        )

    maps = map_levels(model, shapes)
    if not maps:
        raise ModelError("found no feature maps before the embedding: this is not a face embedder")
    return (*maps, Level(embedding, "none", shapes[embedding][1]))


def map_levels(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Level, ...]:
    """Return the levels that are feature maps, by the rule of :func:`find_levels`.

    Args:
        model: ``onnx.ModelProto`` with one image input.
        shapes: of its tensors, (n, channels, height, width).

    Returns:
        The levels; none if there are maps of fewer than two sizes.
    """
    last: dict[int, dict[str, tuple[str, int]]] = {}
    image_tensors = image_tensors_of(model)
    for node in model.graph.node:
        kind = ""
        if node.op_type in ACTIVATIONS:
            kind = "activation"
        # A bias that was exported as an Add is not a residual sum.
        elif node.op_type in ("Add", "Sum") and image_tensors.issuperset(node.input):
            kind = "sum"
        shape = shapes.get(node.output[0], ())
        if kind and len(shape) == 4 and shape[2] == shape[3] and shape[2] >= GRID:
            # Removed first, so that the later kind of a size comes last in the dict.
            at_size = last.setdefault(shape[2], {})
            at_size.pop(kind, None)
            at_size[kind] = (node.output[0], shape[1])
    if len(last) < 2:
        return ()
    sizes = sorted(last, reverse=True)
    levels = [Level(name, "mean", width) for size in sizes for name, width in last[size].values()]
    name, width = list(last[sizes[-1]].values())[-1]
    levels.append(Level(name, "grid", width * GRID * GRID))
    return tuple(levels)


def descriptor_graph(
    model: Any,
    levels: tuple[Level, ...],
    *,
    mean: float,
    std: float,
    projection: tuple[F32, F32] | None = None,
) -> Any:
    """Build a network from aligned faces to descriptors, averaged over each face and its mirror image.

    Args:
        model: ``onnx.ModelProto`` as for :func:`find_levels`; not changed.
        levels: columns of the descriptor, in this order.
        mean: subtracted from the pixels (0 to 255) before the network.
        std: divides the pixels.
        projection: mean of the levels, shape (columns,), and a matrix, shape (columns, dimension): the
            descriptor is ``(levels - mean) @ matrix``. By default, it is the levels themselves.

    Returns:
        ``onnx.ModelProto`` with the input ``faces``, (n, 112, 112, 3) uint8 RGB, and the output
        ``descriptors``, (n, dimension) float32.

    Raises:
        ModelError: the operator set is too old, or the graph accepts only batches of one face.
    """
    onnx = import_onnx()
    check_opset(model)
    shapes = tensor_shapes(model)
    prefix = name_prefix(model)
    built = onnx.ModelProto()
    built.CopyFrom(model)
    free_batch(built, shapes)
    if prefix:
        built = onnx.compose.add_prefix(built, prefix)
    before, after = GraphBuilder(onnx), GraphBuilder(onnx)
    _add_input(before, image_input(built).name, mean, std)
    columns = [
        add_pooling(after, level, f"{prefix}{level.tensor}", i, shapes.get(level.tensor, ()))
        for i, level in enumerate(levels)
    ]
    dimension = sum(level.columns for level in levels)
    add_mean_of_mirror(after, columns, dimension, "arcage_averaged" if projection else "descriptors")
    if projection:
        dimension = _add_projection(after, projection)
    replace_ends(built, before, after, dimension)
    return built


def replace_ends(built: Any, before: GraphBuilder, after: GraphBuilder, dimension: int) -> None:
    """Replace the input and the outputs of a network by nodes from ``faces`` and to ``descriptors``.

    Args:
        built: ``onnx.ModelProto``, changed in place.
        before: nodes from ``faces`` to the image input.
        after: nodes from tensors of the network to ``descriptors``.
        dimension: columns of ``descriptors``.
    """
    onnx, graph = before.onnx, built.graph
    graph.initializer.extend([*before.constants, *after.constants])
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    value = onnx.helper.make_tensor_value_info
    graph.input.append(value("faces", onnx.TensorProto.UINT8, ["n", SIDE, SIDE, 3]))
    graph.output.append(value("descriptors", onnx.TensorProto.FLOAT, ["n", dimension]))
    drop_unused(graph)
    # Before this version of the format, weights had to be inputs as well.
    built.ir_version = max(built.ir_version, 4)


# The network keeps the operator set of its export. The functions below add only operators that are the same
# in all operator sets from version 7 on.


def _add_input(graph: GraphBuilder, image: str, mean: float, std: float) -> None:
    """Add the mirror images to the batch of faces, and normalise the pixels."""
    add_mirror(graph)
    centred = graph.add(
        "Sub", "arcage_chw", graph.constant(np.float32(mean), "arcage_mean"), name="arcage_centred"
    )
    graph.add("Div", centred, graph.constant(np.float32(std), "arcage_std"), name=image)


def add_mirror(graph: GraphBuilder) -> str:
    """Add the mirror images to the batch ``faces``, and return its name as float32, (2 n, 3, 112, 112)."""
    mirrored = graph.constant(np.arange(SIDE, dtype=np.int64)[::-1].copy(), "arcage_mirrored")
    graph.add("Gather", "faces", mirrored, name="arcage_mirror", axis=2)
    graph.add("Concat", "faces", "arcage_mirror", name="arcage_both", axis=0)
    graph.add("Cast", "arcage_both", name="arcage_float", to=graph.onnx.TensorProto.FLOAT)
    return graph.add("Transpose", "arcage_float", name="arcage_chw", perm=[0, 3, 1, 2])


def add_pooling(graph: GraphBuilder, level: Level, tensor: str, number: int, shape: tuple[int, ...]) -> str:
    """Pool and flatten a level of this shape, and return the name of its columns."""
    pooled = f"arcage_pool_{number}"
    if level.pooling == "mean":
        graph.add("GlobalAveragePool", tensor, name=pooled)
    elif level.pooling == "grid":
        size = shape[2]
        stride = size // (GRID + 1) if size > GRID else 1
        kernel = size - (GRID - 1) * stride
        graph.add("AveragePool", tensor, name=pooled, kernel_shape=[kernel, kernel], strides=[stride, stride])
    else:
        pooled = tensor
    return graph.add("Flatten", pooled, name=f"arcage_level_{number}")


def add_mean_of_mirror(graph: GraphBuilder, columns: list[str], dimension: int, output: str) -> None:
    """Average the levels of each face and its mirror image."""
    graph.add("Concat", *columns, name="arcage_levels", axis=1)
    pair = graph.constant(np.array([2, -1, dimension], np.int64), "arcage_pair")
    pairs = graph.add("Reshape", "arcage_levels", pair, name="arcage_pairs")
    upright = graph.add(
        "Gather", pairs, graph.constant(np.int64(0), "arcage_0"), name="arcage_upright", axis=0
    )
    flipped = graph.add(
        "Gather", pairs, graph.constant(np.int64(1), "arcage_1"), name="arcage_flipped", axis=0
    )
    total = graph.add("Add", upright, flipped, name="arcage_sum")
    graph.add("Mul", total, graph.constant(np.float32(0.5), "arcage_half"), name=output)


def _add_projection(graph: GraphBuilder, projection: tuple[F32, F32]) -> int:
    """Project the averaged levels, and return the dimension of the descriptor."""
    centre, matrix = (part.astype(np.float32) for part in projection)
    deviation = graph.add(
        "Sub", "arcage_averaged", graph.constant(centre, "arcage_centre"), name="arcage_deviation"
    )
    graph.add("MatMul", deviation, graph.constant(matrix, "arcage_projection"), name="descriptors")
    return int(matrix.shape[1])


def name_prefix(model: Any) -> str:
    """Return a prefix for the model's names if one of them equals a name that arcage adds."""
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    names.update(i.name for i in model.graph.input)
    clash = any(name in ("faces", "descriptors") or name.startswith("arcage_") for name in names)
    return "network_" if clash else ""
