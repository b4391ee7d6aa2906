"""The bundled networks taken apart: without the mirror image, as peers run them, and their multiply-adds."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from arcage.embedder.align import SIDE
from arcage.embedder.levels import _drop_unused
from arcage.embedder.packs.record import Pack, bundled_pack


def without_mirror(model: onnx.ModelProto) -> onnx.ModelProto:
    """A bundled embedder that looks at each face alone and not at its mirror image as well."""
    graph = _copy(model)
    _replace_input(graph, "arcage_both", "faces")
    _replace_input(graph, "arcage_averaged", "arcage_levels")
    _drop_unused(graph.graph)
    onnx.checker.check_model(graph)
    return graph


def plain(model: onnx.ModelProto) -> tuple[onnx.ModelProto, float, float]:
    """The same from where the published network begins: input (n, 3, 112, 112), float32, RGB.

    Returns:
        The graph, and what a caller must subtract from pixels of 0 to 255 and then divide them by.
    """
    graph = without_mirror(model)
    weights = {w.name: w for w in graph.graph.initializer}
    mean, std = (float(numpy_helper.to_array(weights[name])) for name in ("arcage_mean", "arcage_std"))
    image = next(node.output[0] for node in graph.graph.node if "arcage_std" in node.input)
    kept = [node for node in graph.graph.node if image not in node.output]
    del graph.graph.node[:], graph.graph.input[:]
    graph.graph.node.extend(kept)
    graph.graph.input.append(helper.make_tensor_value_info(image, TensorProto.FLOAT, ["n", 3, SIDE, SIDE]))
    _drop_unused(graph.graph)
    onnx.checker.check_model(graph)
    return graph, mean, std


def alone(name: str, folder: Path) -> Pack:
    """A pack with one of the bundled embedders, without the mirror image; its files go into ``folder``."""
    pack = bundled_pack()
    record = next(model for model in pack.embedders if model.name == name)
    data = without_mirror(onnx.load_from_string(pack.read(record))).SerializeToString()
    (folder / pack.detector.file).write_bytes(pack.read(pack.detector))
    (folder / record.file).write_bytes(data)
    record = replace(record, sha256=hashlib.sha256(data).hexdigest())
    return Pack(f"{name} alone", folder, pack.detector, (record,), research_only=False)


def multiply_adds(model: onnx.ModelProto, shape: tuple[int, ...]) -> int:
    """Of the convolutions and matrix products that one call takes, by ONNX's shape inference.

    Args:
        shape: of the input.
    """
    graph = _copy(model)
    weights = {w.name: tuple(w.dims) for w in graph.graph.initializer}
    # Weights that are stored in float16 are cast first.
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
            # Each output is a sum over the input channels of its group and over the kernel.
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
        raise SystemExit(f"the graph has no tensor {old}: it was built in another way than this script knows")
    for node, i in places:
        node.input[i] = new
