"""Levels are found by rule in graphs of several families and operator sets, and pooled as documented."""

from __future__ import annotations

from typing import Any

import graphs
import numpy as np
import onnx
import onnxruntime
import pytest

from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.levels import Level, descriptor_graph, find_levels
from arcage.errors import ModelError
from arcage.types import F32, U8, Array

IRESNET = (
    # There is no sum at 112 pixels: the first block reduces the map.
    Level("prelu_5", "mean", 4),
    Level("add_15", "mean", 4),
    Level("prelu_18", "mean", 6),
    Level("add_28", "mean", 6),
    Level("prelu_31", "mean", 8),
    Level("add_41", "mean", 8),
    Level("prelu_44", "mean", 8),
    Level("prelu_51", "mean", 8),
    Level("add_54", "mean", 8),
    Level("add_54", "grid", 72),
    Level("683", "none", 16),
)
MOBILEFACENET = (
    Level("prelu_5", "mean", 12),
    Level("add_14", "mean", 6),
    Level("prelu_16", "mean", 12),
    Level("add_25", "mean", 8),
    Level("prelu_27", "mean", 16),
    Level("add_36", "mean", 10),
    Level("prelu_38", "mean", 24),
    Level("prelu_38", "grid", 216),
    Level("516", "none", 12),
)

GRAPHS = {
    "torch, opset 11": lambda: graphs.iresnet(),
    "torch, opset 13": lambda: graphs.iresnet(opset=13),
    "torch, opset 21": lambda: graphs.iresnet(opset=21),
    "mxnet, opset 9, weights are inputs": lambda: graphs.iresnet(
        opset=9, weights_are_inputs=True, ir_version=3
    ),
    "mxnet, opset 7": lambda: graphs.iresnet(opset=7, weights_are_inputs=True, ir_version=3),
    "one face a batch": lambda: graphs.iresnet(batch=1),
    "batch read from the map": lambda: graphs.mobilefacenet(),
    "one face a batch, in a Reshape": lambda: graphs.mobilefacenet(batch=1, target=[1, -1]),
    "one face a batch, in a full Reshape": lambda: graphs.mobilefacenet(batch=1, target=[1, 24], opset=17),
    "names of arcage": lambda: graphs.iresnet(name="faces", output="descriptors"),
}


@pytest.fixture(scope="module")
def faces() -> U8:
    return np.random.default_rng(4).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)


def tensors(model: Any, names: list[str], images: F32) -> dict[str, Array]:
    """Return intermediate tensors of the unchanged network, one image at a time."""
    probe = onnx.ModelProto.FromString(model.SerializeToString())
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    image = session.get_inputs()[0].name
    runs = [session.run(names, {image: one[None]}) for one in images]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*runs, strict=True), strict=True)}


def pooled(level: Level, x: Array) -> Array:
    """Return a level of a batch, computed as documented."""
    if level.pooling == "none":
        return x
    if level.pooling == "mean":
        return x.mean(axis=(2, 3))
    size = x.shape[2]
    stride = size // 4
    kernel = size - 2 * stride
    starts = [0, stride, 2 * stride]
    regions = [[x[:, :, r : r + kernel, c : c + kernel].mean(axis=(2, 3)) for c in starts] for r in starts]
    # By channel, then the nine regions by row.
    return np.stack([region for row in regions for region in row], axis=2).reshape(len(x), -1)


def reference(model: Any, levels: tuple[Level, ...], faces: U8, mean: float, std: float) -> Array:
    def raw(images: U8) -> Array:
        scaled = ((images.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)
        found = tensors(model, list(dict.fromkeys(level.tensor for level in levels)), scaled)
        return np.concatenate([pooled(level, found[level.tensor]) for level in levels], axis=1)

    return (raw(faces) + raw(faces[:, :, ::-1])) / 2


def run(engine: Any, model: Any, faces: U8) -> Array:
    return engine.load(model.SerializeToString(), (-1, 112, 112, 3))(faces)["descriptors"]


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_every_export_has_the_levels_and_numbers_of_its_network(
    make: Any, faces: U8, runtime: OnnxRuntimeEngine, openvino: OpenVinoEngine
) -> None:
    model = make()
    before = model.SerializeToString(deterministic=True)
    levels = find_levels(model)
    expected = IRESNET if len(levels) == len(IRESNET) else MOBILEFACENET
    output = model.graph.output[0].name
    assert levels == (*expected[:-1], Level(output, "none", expected[-1].columns))

    built = descriptor_graph(model, levels, mean=127.5, std=128.0)
    onnx.checker.check_model(built, full_check=True)
    assert model.SerializeToString(deterministic=True) == before
    (shape,) = [
        [d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim] for o in built.graph.output
    ]
    assert shape == ["n", sum(level.columns for level in levels)]

    want = reference(model, levels, faces, 127.5, 128.0)
    got = run(runtime, built, faces)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    # A batch of five gives the same as five batches of one.
    singles = np.concatenate([run(runtime, built, faces[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(got, singles, rtol=1e-4, atol=1e-5)
    # The mirror image has the same descriptor.
    np.testing.assert_allclose(run(runtime, built, faces[:, :, ::-1]), got, rtol=1e-4, atol=1e-5)
    # Both engines agree.
    np.testing.assert_allclose(run(openvino, built, faces), got, rtol=1e-4, atol=1e-4)


def test_a_projection_follows_the_mirror_average(
    faces: U8, runtime: OnnxRuntimeEngine, openvino: OpenVinoEngine
) -> None:
    model = graphs.mobilefacenet()
    levels = find_levels(model)
    rng = np.random.default_rng(5)
    columns = sum(level.columns for level in levels)
    centre = rng.normal(size=columns).astype(np.float32)
    matrix = rng.normal(size=(columns, 7)).astype(np.float32) / 20
    built = descriptor_graph(model, levels, mean=127.5, std=128.0, projection=(centre, matrix))
    want = (reference(model, levels, faces, 127.5, 128.0) - centre) @ matrix
    for engine in (runtime, openvino):
        got = run(engine, built, faces)
        assert got.shape == (5, 7)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_levels_can_be_chosen_and_the_nodes_after_them_are_removed(
    faces: U8, runtime: OnnxRuntimeEngine
) -> None:
    model = graphs.iresnet()
    levels = (Level("add_28", "mean", 6), Level("prelu_5", "mean", 4))
    built = descriptor_graph(model, levels, mean=0.0, std=255.0)
    assert len(built.graph.node) < len(model.graph.node)
    assert not {"Gemm", "Flatten"} & {n.op_type for n in built.graph.node[:-10]}
    assert sum(len(w.raw_data) for w in built.graph.initializer) < sum(
        len(w.raw_data) for w in model.graph.initializer
    )
    want = reference(model, levels, faces, 0.0, 255.0)
    np.testing.assert_allclose(run(runtime, built, faces), want, rtol=1e-4, atol=1e-5)


def test_a_bias_is_not_a_residual_sum() -> None:
    b = graphs.Builder()
    x = b.prelu(b.conv("input.1", 3, 4, stride=2), 4)
    x = b.node("Add", x, b.normal(4, 1, 1))
    x = b.node("Relu", b.conv(x, 4, 6, stride=4))
    x = b.node("Sum", x, b.conv(x, 6, 6))
    b.dense(b.node("Flatten", x), 6 * 14 * 14, 8)
    b.nodes[-1].output[0] = "out"
    levels = find_levels(b.model({"out": ["n", 8]}))
    assert [level.tensor for level in levels if level.pooling == "mean"] == ["prelu_1", "relu_4", "sum_6"]


def test_a_graph_for_a_batch_of_one_face_is_rejected() -> None:
    b = graphs.Builder()
    x = b.prelu(b.conv("input.1", 3, 4, stride=2), 4)
    x = b.node("Relu", b.conv(x, 4, 6, stride=4))
    # The batch becomes a channel, which no rule can undo.
    x = b.node("Squeeze", x, axes=[0])
    x = b.node("Reshape", x, b.weight(np.array([1, 6 * 14 * 14])))
    b.dense(x, 6 * 14 * 14, 8)
    b.nodes[-1].output[0] = "out"
    model = b.model({"out": [1, 8]}, image=[1, 3, 112, 112])
    with pytest.raises(ModelError, match="a batch of one face in a way that arcage cannot change"):
        descriptor_graph(model, find_levels(model), mean=0, std=1)


def two_outputs() -> Any:
    model = graphs.iresnet()
    model.graph.output.append(onnx.helper.make_tensor_value_info("add_54", onnx.TensorProto.FLOAT, None))
    return model


def half_precision() -> Any:
    model = graphs.iresnet()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model


def no_maps() -> Any:
    b = graphs.Builder()
    b.dense(b.node("Flatten", "input.1"), 3 * 112 * 112, 8)
    b.nodes[-1].output[0] = "out"
    return b.model({"out": ["n", 8]})


def a_map() -> Any:
    b = graphs.Builder()
    b.conv("input.1", 3, 4)
    b.nodes[-1].output[0] = "out"
    return b.model({"out": ["n", 4, 112, 112]})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (graphs.scrfd, "one output"),
        (two_outputs, "one output"),
        (graphs.attribute, "is not an image"),
        (lambda: graphs.iresnet(batch=8), "is not an image"),
        (half_precision, "float32"),
        (no_maps, "no feature maps"),
        (a_map, "not an .n, dimension. array"),
    ],
    ids=["detector", "two outputs", "another size", "batch of 8", "float16", "no maps", "a map"],
)
def test_other_networks_than_embedders_are_rejected(make: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        find_levels(make())


def test_very_old_graphs_are_rejected_with_a_remedy() -> None:
    model = graphs.iresnet(opset=7)
    levels = find_levels(model)
    model.opset_import[0].version = 6
    with pytest.raises(ModelError, match="version_converter"):
        descriptor_graph(model, levels, mean=0, std=1)
