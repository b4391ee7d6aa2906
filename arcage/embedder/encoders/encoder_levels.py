"""Find the levels of an encoder: feature maps, and tokens of transformers.

A level is a layer whose activations are averaged over the picture. Several of them, from early to late, keep
what a network's last layer throws away (:mod:`arcage.embedder.levels`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arcage.embedder.encoders.tensors import Tensor
from arcage.embedder.levels import Level, map_levels
from arcage.embedder.onnx_model import image_input
from arcage.errors import ModelError

MAX_COLUMNS = 8_192
"""Maximum number of columns of a descriptor: 16 KB for each face in a cache. The memory that
fitting needs grows with its square."""
MAX_TOKEN_LEVELS = 6
"""Maximum number of layers of a transformer."""
_MAX_EXTRA = 16
"""Maximum number of class and register tokens."""
_MIN_EMBEDDING = 8
"""Minimum number of columns of an embedding."""

_WEIGHTED = frozenset(
    {
        "Conv",
        "ConvInteger",
        "Einsum",
        "Gemm",
        "MatMul",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
    }
)
_CLASSES = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK"})
_SHAPING = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True, slots=True)
class TokenLevel:
    """A layer of a transformer, with one row of features for each part of the picture."""

    tensor: str
    batch_axis: int
    """0 or 1."""
    tokens: int
    """Their number, or that of the pixels of a map (n, height, width, channels)."""
    width: int
    """Features of a token."""
    extra: int
    """Number of tokens before those of the parts: the class token, then registers."""

    @property
    def columns(self) -> int:
        """The class token, and the mean over the parts."""
        return self.width * (2 if self.extra else 1)

    def __str__(self) -> str:
        return f"{self.tensor[:100]} {'class+mean' if self.extra else 'mean'} {self.columns}"


AnyLevel = Level | TokenLevel


def encoder_levels(model: Any, tensors: Mapping[str, Tensor]) -> tuple[AnyLevel, ...]:
    """Return the levels of an encoder.

    Feature maps are found as in ArcFace networks: at each spatial size, the last activation and the last
    residual sum; the smallest map by region as well. In transformers, up to :data:`MAX_TOKEN_LEVELS` residual
    sums are taken, evenly spaced and with the last one. The vector that the network returns comes last.
    Levels beyond :data:`MAX_COLUMNS` are left out: first the regions, then the largest maps.

    Args:
        model: ``onnx.ModelProto`` with one image input.
        tensors: its tensors with one row for each image, by name.

    Raises:
        ModelError: the network is not an encoder.
    """
    embedding = _embedding(model, tensors)
    maps = list(map_levels(model, {n: t.shape for n, t in tensors.items() if not t.batch_axis}))
    layers = _layers(model, tensors)
    if layers:
        maps = [level for level in maps if level.pooling != "grid"]
    last = _tokens(model.graph.output, tensors, layers)
    if embedding is None and last is None:
        raise ModelError(_no_embedding(model, tensors))
    if not maps and not layers:
        raise ModelError("found no feature maps and no tokens before the embedding: this is no image encoder")
    ends: list[AnyLevel] = [level for level in (last, embedding) if level is not None]
    left = MAX_COLUMNS - sum(level.columns for level in ends)
    if left < 0:
        raise ModelError(
            f"the network returns more than {MAX_COLUMNS:,} numbers for a face: this is no encoder"
        )
    chosen = _spread(layers, left)
    left -= sum(level.columns for level in chosen)
    maps.sort(key=lambda level: level.pooling == "grid")  # the regions last, and dropped first
    if maps and sum(level.columns for level in maps) > left and maps[-1].pooling == "grid":
        maps.pop()
    while maps and sum(level.columns for level in maps) > left:
        maps.pop(0)
    return (*maps, *chosen, *ends)


def refuse_detectors(model: Any) -> None:
    """Check that a network is no detector, which has an output for the boxes of each scale.

    Raises:
        ModelError: it is one, or it has no output.
    """
    if not model.graph.output:
        raise ModelError("the network has no output: it is damaged, or a part of another one")
    if len(model.graph.output) >= 5 or any(node.op_type == "NonMaxSuppression" for node in model.graph.node):
        raise ModelError("the network is a detector: it returns boxes, not one vector for each face")


def _layers(model: Any, tensors: Mapping[str, Tensor]) -> list[TokenLevel]:
    """Return the residual sums of a transformer, in order.

    A residual sum adds a layer's result to its input. Their paths from the image differ in the number of
    matrix products, unlike those of the sums inside an activation such as GELU.
    """
    depth = _depths(model)
    layers = []
    for node in model.graph.node:
        depths = {depth[name] for name in node.input if name in depth}
        if node.op_type in ("Add", "Sum") and len(node.input) > 1 and len(depths) > 1:
            level = _as_tokens(node.output[0], tensors)
            if level is not None and all(name in depth for name in node.input):
                layers.append(level)
    return layers


def _depths(model: Any) -> dict[str, int]:
    """Return the largest number of matrix products between the image and each tensor, by name."""
    depth = {image_input(model).name: 0}
    for node in model.graph.node:
        if node.op_type == "Shape":  # the same for every image
            continue
        before = [depth[name] for name in node.input if name in depth]
        if before:
            depth.update(dict.fromkeys(node.output, max(before) + (node.op_type in _WEIGHTED)))
    return depth


def _as_tokens(name: str, tensors: Mapping[str, Tensor]) -> TokenLevel | None:
    """Return a tensor as tokens: (n, tokens, width), (tokens, n, width) or (n, side, side, width)."""
    tensor = tensors.get(name)
    if tensor is None:
        return None
    shape, axis = tensor.shape, tensor.batch_axis
    if len(shape) == 4 and axis == 0 and shape[1] == shape[2] != shape[3] and shape[1] > 1:
        return TokenLevel(name, 0, shape[1] * shape[2], shape[3], 0)
    if len(shape) != 3 or axis > 1:
        return None
    count, width = shape[1 - axis], shape[2]
    side = math.isqrt(count)
    extra = count - side * side
    if side < 2 or width < 2:
        return None
    return TokenLevel(name, axis, count, width, extra if extra <= _MAX_EXTRA else 0)


def _spread(layers: list[TokenLevel], columns: int) -> list[TokenLevel]:
    """Return up to :data:`MAX_TOKEN_LEVELS` layers, evenly spaced, the last one included."""
    for count in range(min(MAX_TOKEN_LEVELS, len(layers)), 0, -1):
        chosen = [layers[len(layers) * (i + 1) // count - 1] for i in range(count)]
        if sum(level.columns for level in chosen) <= columns:
            return chosen
    return []


def _embedding(model: Any, tensors: Mapping[str, Tensor]) -> Level | None:
    """Return the longest output that is one vector for each image.

    Raises:
        ModelError: the network returns classes.
    """
    outputs = [output.name for output in model.graph.output]
    vectors = [
        Level(name, "none", math.prod(tensors[name].shape))
        for name in outputs
        if name in tensors and sum(size > 1 for size in tensors[name].shape) == 1
    ]
    found = max(vectors, key=lambda level: level.columns, default=None)
    kind = _class_operator(model, found.tensor if found else outputs[0])
    if kind and (found is not None or kind != "Sigmoid"):
        count = f" over {found.columns:,} classes" if found else ""
        raise ModelError(
            f"the network is a classifier: its output is a {kind}{count}, not a vector that describes the "
            "face. Export it without its last layers"
        )
    return found if found is not None and found.columns >= _MIN_EMBEDDING else None


def _class_operator(model: Any, output: str) -> str:
    """Return the operator that turns scores into classes, if an output comes from one; otherwise empty."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    name = output
    for _ in model.graph.node:  # a damaged graph may have a circle
        node = made_by.get(name)
        if node is None or node.op_type not in _SHAPING | _CLASSES or not node.input:
            return ""
        if node.op_type in _CLASSES:
            return str(node.op_type)
        name = node.input[0]
    return ""


def _tokens(outputs: Any, tensors: Mapping[str, Tensor], layers: list[TokenLevel]) -> TokenLevel | None:
    """Return the output that has the tokens of the last layer, after its normalisation."""
    for output in outputs:
        level = _as_tokens(output.name, tensors)
        if (
            level is not None
            and layers
            and (level.tokens, level.width) == (layers[-1].tokens, layers[-1].width)
        ):
            return level
    return None


def _no_embedding(model: Any, tensors: Mapping[str, Tensor]) -> str:
    texts = []
    for output in list(model.graph.output)[:4]:
        tensor = tensors.get(output.name)
        shape = "of unknown shape" if tensor is None else f"({', '.join(map(str, ('n', *tensor.shape[1:])))})"
        texts.append(f"{output.name[:50]!r} {shape}")
    return (
        f"the network returns {', '.join(texts) or 'nothing'}, not one vector of {_MIN_EMBEDDING} or more "
        "numbers for each face: this is no image encoder, but a network for other results, such as a detector"
    )
