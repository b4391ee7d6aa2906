"""Variants of the bundled networks (without the mirror image, as peers run them), and multiply-adds."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from arcage.embedder.align import SIDE
from arcage.embedder.onnx_model import drop_unused
from arcage.embedder.packs.record import Pack, bundled_pack


def without_mirror(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a bundled embedder without the average over the mirror image."""
    graph = _copy(model)
    _replace_input(graph, "arcage_both", "faces")
    _replace_input(graph, "arcage_averaged", "arcage_levels")
    drop_unused(graph.graph)
    onnx.checker.check_model(graph)
    return graph


def plain(model: onnx.ModelProto) -> tuple[onnx.ModelProto, float, float]:
    """Return the same from the input of the published network on: (n, 3, 112, 112), float32, RGB.

    Returns:
        The graph, and the mean and scale with which the caller normalises pixels of 0 to 255.
    """
    graph = without_mirror(model)
    weights = {w.name: w for w in graph.graph.initializer}
    mean, std = (float(numpy_helper.to_array(weights[name])) for name in ("arcage_mean", "arcage_std"))
    image = next(node.output[0] for node in graph.graph.node if "arcage_std" in node.input)
    kept = [node for node in graph.graph.node if image not in node.output]
    del graph.graph.node[:], graph.graph.input[:]
    graph.graph.node.extend(kept)
    graph.graph.input.append(helper.make_tensor_value_info(image, TensorProto.FLOAT, ["n", 3, SIDE, SIDE]))
    drop_unused(graph.graph)
    onnx.checker.check_model(graph)
    return graph, mean, std


def alone(name: str, folder: Path) -> Pack:
    """Write a pack with one bundled embedder, without the mirror image, to ``folder``."""
    pack = bundled_pack()
    record = next(model for model in pack.embedders if model.name == name)
    data = without_mirror(onnx.load_from_string(pack.read(record))).SerializeToString()
    for file, sha256 in pack.detector.files.items():
        (folder / file).write_bytes(pack.read_file(file, sha256))
    (folder / record.file).write_bytes(data)
    record = replace(record, sha256=hashlib.sha256(data).hexdigest())
    return Pack(f"{name} alone", folder, pack.detector, (record,), research_only=False)


def multiply_adds(model: onnx.ModelProto, shape: tuple[int, ...]) -> int:
    """Count the multiply-adds of the convolutions and matrix products of one call, with ONNX shape inference.

    Args:
        shape: shape of the input.
    """
    graph = _copy(model)
    weights = {w.name: tuple(w.dims) for w in graph.graph.initializer}
    # Weights stored in float16 are cast first.
    weights |= {
        n.output[0]: weights[n.input[0]]
        for n in graph.graph.node
        if n.op_type == "Cast" and n.input[0] in weights
    }
    image = next(i for i in graph.graph.input if i.name not in weights)
    for dim, size in zip(image.type.tensor_type.shape.dim, shape, strict=True):
        dim.Clear()
        dim.dim_value = size
    del graph.graph.value_info[:]
    for output in graph.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True, strict_mode=True).graph
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in (*inferred.value_info, *inferred.output)
    }
    total = 0
    for node in inferred.node:
        if node.op_type == "Conv":
            # Each output sums over the input channels of its group and over the kernel.
            total += math.prod(shapes[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        elif node.op_type == "Gemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            total += math.prod(shapes[node.output[0]]) * weights[node.input[1]][1 if transposed else 0]
        elif node.op_type == "MatMul":
            total += math.prod(shapes[node.output[0]]) * weights[node.input[1]][0]
    return total


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _replace_input(model: onnx.ModelProto, old: str, new: str) -> None:
    places = [(node, i) for node in model.graph.node for i, name in enumerate(node.input) if name == old]
    if not places:
        raise SystemExit(f"the graph has no tensor {old}: this script does not know its layout")
    for node, i in places:
        node.input[i] = new
