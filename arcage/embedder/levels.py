"""Build a network that returns multi-level descriptors from a face-recognition network.

The identity embedding at the end of an ArcFace-family network is trained to ignore age; the activations
before it are not. This module finds these *levels* in an ONNX graph by a rule and appends their pooling, so
that one run of the network turns aligned faces into descriptors. The bundled models were built with it; other
packs are converted when they are loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arcage.embedder.align import SIDE
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


def import_onnx() -> Any:
    """Return the package ``onnx``. Only packs that are not bundled, and some GPUs, need it.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("this needs the package onnx: pip install onnx") from error
    return onnx


def parse(data: bytes) -> Any:
    """Return the ``onnx.ModelProto`` of an ONNX file's bytes.

    Raises:
        ModelError: the file is not an ONNX model.
    """
    onnx = import_onnx()
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's DecodeError is in different modules in its versions
        raise ModelError("this is not an ONNX file, or it is damaged: get it again") from error
    if not model.graph.node:
        raise ModelError("this is not an ONNX file: it contains no graph")
    return model


def find_levels(model: Any) -> tuple[Level, ...]:
    """Return the levels of an ArcFace-family graph.

    The rule: at each spatial size, the last activation and the last residual sum, averaged over the map; the
    last activation or sum of the smallest map once more, pooled by region; and the embedding.

    Args:
        model: ``onnx.ModelProto`` with one image input (n, 3, 112, 112) and one output (n, d).

    Raises:
        ModelError: the graph is not such a network.
    """
    onnx = import_onnx()
    if len(model.graph.output) != 1:
        raise ModelError(f"a face embedder has one output, this model has {len(model.graph.output)}")
    shapes = _shapes(onnx, model)
    embedding = model.graph.output[0].name
    if len(shapes.get(embedding, ())) != 2 or shapes[embedding][1] < 1:
        raise ModelError(
            f"the output {embedding!r} is not an (n, dimension) array: this is not a face embedder"
        )

    last: dict[int, dict[str, tuple[str, int]]] = {}
    image_tensors = _image_tensors(model)
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
        raise ModelError("found no feature maps before the embedding: this is not a face embedder")

    sizes = sorted(last, reverse=True)
    levels = [Level(name, "mean", width) for size in sizes for name, width in last[size].values()]
    name, width = list(last[sizes[-1]].values())[-1]
    levels.append(Level(name, "grid", width * GRID * GRID))
    levels.append(Level(embedding, "none", shapes[embedding][1]))
    return tuple(levels)


def descriptor_graph(
    model: Any,
    levels: tuple[Level, ...],
    *,
    mean: float,
    std: float,
    projection: tuple[F32, F32] | None = None,
) -> Any:
    """A network from aligned faces to descriptors, averaged over each face and its mirror image.

    Args:
        model: ``onnx.ModelProto`` as for :func:`find_levels`; not changed.
        levels: what the descriptor is made of, in this order.
        mean: subtracted from the pixels (0 to 255) before the network.
        std: the pixels are divided by it.
        projection: the levels' mean, shape (columns,), and a matrix, shape (columns, dimension):
            the descriptor is ``(levels - mean) @ matrix``. Without it, the levels themselves.

    Returns:
        ``onnx.ModelProto`` with the input ``faces``, (n, 112, 112, 3) uint8 RGB, and the output
        ``descriptors``, (n, dimension) float32.

    Raises:
        ModelError: the graph is too old, or bound to one face a batch.
    """
    onnx = import_onnx()
    _check_opset(model)
    shapes = _shapes(onnx, model)
    prefix = _prefix(model)
    built = onnx.ModelProto()
    built.CopyFrom(model)
    _free_batch(onnx, built, shapes)
    if prefix:
        built = onnx.compose.add_prefix(built, prefix)
    before, after = GraphBuilder(onnx), GraphBuilder(onnx)
    _add_input(before, image_input(built).name, mean, std)
    columns = [
        _add_pooling(after, level, f"{prefix}{level.tensor}", i, shapes) for i, level in enumerate(levels)
    ]
    _add_mean_of_mirror(after, columns, levels, "arcage_averaged" if projection else "descriptors")
    dimension = sum(level.columns for level in levels)
    if projection:
        dimension = _add_projection(after, projection)

    graph = built.graph
    graph.initializer.extend([*before.constants, *after.constants])
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    value = onnx.helper.make_tensor_value_info
    graph.input.append(value("faces", onnx.TensorProto.UINT8, ["n", SIDE, SIDE, 3]))
    graph.output.append(value("descriptors", onnx.TensorProto.FLOAT, ["n", dimension]))
    _drop_unused(graph)
    # Weights need not be inputs as well (as in old exports) from this version of the format on.
    built.ir_version = max(built.ir_version, 4)
    return built


# The backbone keeps the operator set that it was exported with, so the functions below add only operators
# whose meaning is the same in every version of the operator set from 7 on.


def _add_input(graph: GraphBuilder, image: str, mean: float, std: float) -> None:
    """Add the mirror images to the batch of faces, and normalise the pixels."""
    mirrored = graph.constant(np.arange(SIDE, dtype=np.int64)[::-1].copy(), "arcage_mirrored")
    graph.add("Gather", "faces", mirrored, name="arcage_mirror", axis=2)
    graph.add("Concat", "faces", "arcage_mirror", name="arcage_both", axis=0)
    graph.add("Cast", "arcage_both", name="arcage_float", to=graph.onnx.TensorProto.FLOAT)
    graph.add("Transpose", "arcage_float", name="arcage_chw", perm=[0, 3, 1, 2])
    centred = graph.add(
        "Sub", "arcage_chw", graph.constant(np.float32(mean), "arcage_mean"), name="arcage_centred"
    )
    graph.add("Div", centred, graph.constant(np.float32(std), "arcage_std"), name=image)


def _add_pooling(
    graph: GraphBuilder, level: Level, tensor: str, number: int, shapes: dict[str, tuple[int, ...]]
) -> str:
    """Pool and flatten a level, and return the name of its columns."""
    pooled = f"arcage_pool_{number}"
    if level.pooling == "mean":
        graph.add("GlobalAveragePool", tensor, name=pooled)
    elif level.pooling == "grid":
        size = shapes[level.tensor][2]
        stride = size // (GRID + 1) if size > GRID else 1
        kernel = size - (GRID - 1) * stride
        graph.add("AveragePool", tensor, name=pooled, kernel_shape=[kernel, kernel], strides=[stride, stride])
    else:
        pooled = tensor
    return graph.add("Flatten", pooled, name=f"arcage_level_{number}")


def _add_mean_of_mirror(
    graph: GraphBuilder, columns: list[str], levels: tuple[Level, ...], output: str
) -> None:
    """Average the levels of each face and its mirror image."""
    graph.add("Concat", *columns, name="arcage_levels", axis=1)
    pair = graph.constant(np.array([2, -1, sum(v.columns for v in levels)], np.int64), "arcage_pair")
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


def _drop_unused(graph: Any) -> None:
    """Remove nodes and weights that no output needs, such as those after the last level."""
    needed = {output.name for output in graph.output}
    for i in reversed(range(len(graph.node))):
        if needed.intersection(graph.node[i].output):
            needed.update(graph.node[i].input)
        else:
            del graph.node[i]
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in needed:
            del graph.initializer[i]


def _prefix(model: Any) -> str:
    """Return a prefix for the model's names if one of them equals a name that arcage adds."""
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    names.update(i.name for i in model.graph.input)
    clash = any(name in ("faces", "descriptors") or name.startswith("arcage_") for name in names)
    return "network_" if clash else ""


def image_input(model: Any) -> Any:
    """Return the ``onnx.ValueInfoProto`` of the image. Old exports also list the weights as inputs.

    Raises:
        ModelError: there is not exactly one input that is not a weight.
    """
    weights = {w.name for w in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        raise ModelError(f"a face embedder has one image input, this model has {len(inputs)}")
    return inputs[0]


def _image_tensors(model: Any) -> set[str]:
    """Return the names of the tensors that are computed from the image; the others are weights."""
    names = {image_input(model).name}
    for node in model.graph.node:
        if names.intersection(node.input):
            names.update(node.output)
    return names


def _check_opset(model: Any) -> None:
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version < 7:
        raise ModelError(
            f"the model uses ONNX operator set {version}, arcage needs 7 or later: export it again, or "
            "convert it with onnx.version_converter"
        )


def _free_batch(onnx: Any, model: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Change a graph that was exported for a batch of one face so that it accepts any number of faces.

    Such exports contain the batch size 1 in the target shape of each Reshape.

    Raises:
        ModelError: the graph contains the batch size in another way.
    """
    graph = model.graph
    targets = {w.name: w for w in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            targets.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    image_tensors = _image_tensors(model)
    for i, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[0] not in image_tensors or node.input[1] not in targets:
            continue
        target = onnx.numpy_helper.to_array(targets[node.input[1]])
        source, result = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
        if target.size and target[0] == 1 and source[:1] == (1,) and min(result, default=0) > 0:
            name = f"arcage_reshape_{i}"
            graph.initializer.append(
                onnx.numpy_helper.from_array(np.array([-1, *result[1:]], np.int64), name)
            )
            node.input[1] = name
    embedding = graph.output[0].name
    if shapes[embedding][0] == 1 and _shapes(onnx, model, faces=2)[embedding][0] != 2:
        raise ModelError(
            "the model was exported for a batch of one face in a way that arcage cannot change: export it "
            "again with a dynamic batch size"
        )


def _shapes(onnx: Any, model: Any, faces: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors for a batch of ``faces``, by name; 0 for a size that is unknown."""
    graph = model.graph
    image = image_input(model)
    dims = image.type.tensor_type.shape.dim
    wanted = (faces, 3, SIDE, SIDE)
    if len(dims) != 4 or any(
        d.dim_value not in (0, size) for d, size in zip(dims, (1, *wanted[1:]), strict=True)
    ):
        raise ModelError(
            f"the model's input is not an image (n, 3, {SIDE}, {SIDE}): this is not a face embedder"
        )
    if image.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise ModelError("the model's input is not float32: export it again in float32")

    # Large weights are replaced by their shapes: inference copies the model, of up to 260 MB.
    value = onnx.helper.make_tensor_value_info
    small = [w for w in graph.initializer if math.prod(w.dims) <= 64]
    large = [w for w in graph.initializer if math.prod(w.dims) > 64]
    probe = onnx.ModelProto()
    probe.ir_version = max(model.ir_version, 4)
    probe.opset_import.extend(model.opset_import)
    probe.functions.extend(model.functions)
    probe.graph.name = "probe"
    probe.graph.node.extend(graph.node)
    probe.graph.initializer.extend(small)
    probe.graph.input.append(value(image.name, image.type.tensor_type.elem_type, wanted))
    probe.graph.input.extend(value(w.name, w.data_type, w.dims) for w in large)
    probe.graph.output.extend(graph.output)
    for output in probe.graph.output:
        # The declared batch size is that of the export.
        if output.type.tensor_type.shape.dim:
            output.type.tensor_type.shape.dim[0].Clear()
    try:
        inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the model is not a valid ONNX graph: {str(error).splitlines()[0]}") from error
    return {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in (*inferred.graph.value_info, *inferred.graph.output)
    }
