"""Convert an encoder to a network from aligned faces to descriptors, in a worker process."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from arcage.embedder.encoders.encoder_graph import encoder_graph
from arcage.embedder.encoders.encoder_levels import MAX_COLUMNS, encoder_levels, refuse_detectors
from arcage.embedder.encoders.image_input import read_input
from arcage.embedder.encoders.pixels import Pixels
from arcage.embedder.encoders.tensors import batched_tensors
from arcage.embedder.engines.isolated import model_error, run_isolated
from arcage.embedder.onnx_model import parse
from arcage.errors import ModelError

_JOB = "arcage.embedder.encoders.convert:convert_job"
_DOMAINS = frozenset({"", "ai.onnx"})


@dataclass(frozen=True, slots=True)
class ConvertedEncoder:
    """A network from aligned faces, (n, 112, 112, 3) uint8 RGB, to ``descriptors``."""

    data: bytes
    """The ONNX file's bytes."""
    dimension: int
    """Columns of a descriptor."""
    levels: tuple[str, ...]
    """Tensor, pooling and columns of each level."""


def convert_isolated(data: bytes, pixels: Pixels, size: int | None = None) -> ConvertedEncoder:
    """Convert an encoder in a worker process, which a damaged graph may crash.

    Args:
        data: the ONNX file's bytes, with all weights, of which :func:`check_operators` is true.
        pixels: what the network expects.
        size: side of the image, pixels, if the graph leaves it open.

    Raises:
        ModelError: the network is not an image encoder, or the process crashes or takes too much.
    """
    args = {"mean": pixels.mean, "std": pixels.std, "bgr": pixels.bgr, "size": size}
    reply = run_isolated(_JOB, args, data)
    dimension, levels = reply.header.get("dimension"), reply.header.get("levels")
    if not isinstance(dimension, int) or not 0 < dimension <= MAX_COLUMNS or not isinstance(levels, list):
        raise ModelError("the network cannot be converted: it is damaged, get it again")
    return ConvertedEncoder(bytes(reply.body), dimension, tuple(map(str, levels)))


def convert_job(args: dict[str, Any], data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Convert an encoder in a worker process; see :func:`convert_isolated`."""
    try:
        pixels = Pixels(tuple(args["mean"]), tuple(args["std"]), args["bgr"])
        converted = convert(data, pixels, args["size"])
        yield {"dimension": converted.dimension, "levels": converted.levels}, converted.data
    except ModelError as error:
        yield model_error(error)


def convert(data: bytes, pixels: Pixels, size: int | None = None) -> ConvertedEncoder:
    """Convert an encoder; see :func:`convert_isolated`."""
    model = parse(data)
    refuse_detectors(model)
    image = read_input(model, size)
    if model.functions:
        model = importlib.import_module("onnx.inliner").inline_local_functions(model)
    tensors = batched_tensors(model, image)
    levels = encoder_levels(model, tensors)
    built = encoder_graph(model, image, levels, tensors, pixels)
    return ConvertedEncoder(
        bytes(built.SerializeToString(deterministic=True)),
        sum(level.columns for level in levels),
        tuple(map(str, levels)),
    )


def check_operators(model: Any) -> None:
    """Check that all operators of a network are those of ONNX, or functions that it brings along.

    Raises:
        ModelError: there are others.
    """
    own = {(function.domain, function.name) for function in model.functions}
    foreign: dict[str, list[str]] = {}
    graphs = [model.graph.node, *(function.node for function in model.functions)]
    while graphs:
        for node in graphs.pop():
            if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
                names = foreign.setdefault(node.domain, [])
                if node.op_type not in names:
                    names.append(node.op_type)
            for attribute in node.attribute:
                graphs += [graph.node for graph in (attribute.g, *attribute.graphs)]
    if foreign:
        domain, names = next(iter(foreign.items()))
        raise ModelError(
            f"the network has operators that are not ONNX's: {', '.join(names[:3])[:99]} of {domain[:50]!r}; "
            "export it again without optimisations for one runtime"
        )
