"""Build a network from aligned faces to descriptors from any image encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from arcage.embedder.align import SIDE
from arcage.embedder.encoders.encoder_levels import AnyLevel, TokenLevel
from arcage.embedder.encoders.image_input import ImageInput
from arcage.embedder.encoders.pixels import Pixels
from arcage.embedder.encoders.tensors import Tensor
from arcage.embedder.levels import add_mean_of_mirror, add_mirror, add_pooling, name_prefix, replace_ends
from arcage.embedder.onnx_model import check_opset, import_onnx
from arcage.graphs.builder import GraphBuilder
from arcage.types import F32


def encoder_graph(
    model: Any,
    image: ImageInput,
    levels: tuple[AnyLevel, ...],
    tensors: Mapping[str, Tensor],
    pixels: Pixels,
) -> Any:
    """Build a network from aligned faces to descriptors, averaged over each face and its mirror image.

    Args:
        model: ``onnx.ModelProto``; not changed.
        image: its input.
        levels: columns of the descriptor, in this order.
        tensors: shapes of the levels, by name.
        pixels: the range and the order of colours that the network expects.

    Returns:
        ``onnx.ModelProto`` with the input ``faces``, (n, 112, 112, 3) uint8 RGB, and the output
        ``descriptors``, (n, dimension) float32.

    Raises:
        ModelError: the operator set is too old.
    """
    onnx = import_onnx()
    check_opset(model)
    built = onnx.ModelProto()
    built.CopyFrom(model)
    prefix = name_prefix(model)
    if prefix:
        built = onnx.compose.add_prefix(built, prefix)
    before, after = GraphBuilder(onnx), GraphBuilder(onnx)
    _add_image(before, image, pixels, f"{prefix}{image.name}")
    columns = []
    for number, level in enumerate(levels):
        tensor, name = tensors[level.tensor], f"{prefix}{level.tensor}"
        if tensor.half:
            name = after.add("Cast", name, name=f"arcage_float_{number}", to=onnx.TensorProto.FLOAT)
        if isinstance(level, TokenLevel):
            columns.append(_add_tokens(after, level, name, number))
        else:
            columns.append(add_pooling(after, level, name, number, tensor.shape))
    dimension = sum(level.columns for level in levels)
    add_mean_of_mirror(after, columns, dimension, "descriptors")
    replace_ends(built, before, after, dimension)
    return built


def resize_matrix(side: int) -> F32:
    """Return the matrix that resizes a line of 112 pixels to ``side``, shape (side, 112).

    Linear interpolation between pixel centres; over a wider triangle if the line is reduced, as in Pillow.
    """
    scale = SIDE / side
    centres = (np.arange(side) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(SIDE)[None, :] - centres[:, None])
    weights = np.maximum(0, 1 - distance / max(1.0, scale))
    result: F32 = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def _add_image(graph: GraphBuilder, image: ImageInput, pixels: Pixels, name: str) -> None:
    """Add the mirror images to the batch of faces, and make of it what the network takes."""
    x = add_mirror(graph)
    if image.side != SIDE:
        # Matrix products give the same numbers on every runtime, in every operator set. Resize does not.
        matrix = resize_matrix(image.side)
        rows = graph.add("MatMul", graph.constant(matrix, "arcage_rows"), x, name="arcage_resized_rows")
        x = graph.add(
            "MatMul", rows, graph.constant(matrix.T.copy(), "arcage_columns"), name="arcage_resized"
        )
    mean, std = (np.array(part, np.float32).reshape(3, 1, 1) for part in (pixels.mean, pixels.std))
    x = graph.add("Sub", x, graph.constant(mean, "arcage_mean"), name="arcage_centred")
    x = graph.add("Div", x, graph.constant(std, "arcage_std"), name="arcage_scaled")
    if pixels.bgr:
        order = graph.constant(np.array([2, 1, 0], np.int64), "arcage_order")
        x = graph.add("Gather", x, order, name="arcage_bgr", axis=1)
    if image.channels_last:
        x = graph.add("Transpose", x, name="arcage_hwc", perm=[0, 2, 3, 1])
    kinds = graph.onnx.TensorProto
    if image.dtype == "uint8":
        x = graph.add("Add", x, graph.constant(np.float32(0.5), "arcage_rounding"), name="arcage_rounded")
    kind = {"float32": kinds.FLOAT, "float16": kinds.FLOAT16, "uint8": kinds.UINT8}[image.dtype]
    graph.add("Cast", x, name=name, to=kind)


def _add_tokens(graph: GraphBuilder, level: TokenLevel, tensor: str, number: int) -> str:
    """Pool and flatten tokens, and return the name of the columns."""
    x = tensor
    if level.batch_axis:
        x = graph.add("Transpose", x, name=f"arcage_rows_{number}", perm=[1, 0, 2])
    shape = graph.constant(np.array([-1, level.tokens, level.width], np.int64), f"arcage_shape_{number}")
    x = graph.add("Reshape", x, shape, name=f"arcage_tokens_{number}")
    mean = np.zeros((1, level.tokens), np.float32)
    mean[:, level.extra :] = 1 / (level.tokens - level.extra)
    rows = [mean]
    if level.extra:
        rows.insert(0, np.eye(1, level.tokens, dtype=np.float32))
    pooling = graph.constant(np.concatenate(rows), f"arcage_pooling_{number}")
    pooled = graph.add("MatMul", pooling, x, name=f"arcage_pool_{number}")
    return graph.add("Flatten", pooled, name=f"arcage_level_{number}")
