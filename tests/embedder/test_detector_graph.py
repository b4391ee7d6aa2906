"""Networks for batches return what the published detector does for each canvas."""

from __future__ import annotations

from typing import Any

import graphs
import numpy as np
import onnx
import pytest

from arcage.embedder import scrfd, yunet
from arcage.embedder.detector_graph import BEST, VALUES, DetectorOutputs, detector_graph
from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.packs.record import BUNDLED_FOLDER, bundled_pack
from arcage.errors import ModelError
from arcage.types import U8, Array

PUBLISHED = BUNDLED_FOLDER / "face_detection_yunet_2023mar.onnx"
SIDE = 160


def canvases_of(astronaut: U8, count: int = 3) -> U8:
    rng = np.random.default_rng(0)
    canvases = rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    canvases[1] = astronaut[20 : 20 + SIDE, 140 : 140 + SIDE]
    return canvases


def run_published(runtime: OnnxRuntimeEngine, model: Any, outputs: DetectorOutputs, canvases: U8) -> Array:
    """Return score, box and landmarks of all cells by the published network, shape (n, cells, 15)."""
    network = runtime.load(model.SerializeToString(), (1, 3, *canvases.shape[1:3]))
    rows = []
    for canvas in canvases:
        pixels = canvas[:, :, ::-1] if outputs.bgr else canvas
        blob = (pixels.astype(np.float32).transpose(2, 0, 1)[None] - outputs.mean) / outputs.std
        out = network(blob.astype(np.float32))
        scales = []
        for names, box, landmarks in zip(outputs.scores, outputs.boxes, outputs.landmarks, strict=True):
            scores = [out[name].reshape(-1, 1) for name in names]
            score = scores[0]
            if len(names) == 2:
                score = np.sqrt(scores[0].clip(0, 1) * scores[1].clip(0, 1))
            scales.append(
                np.concatenate([score, out[box].reshape(-1, 4), out[landmarks].reshape(-1, 10)], axis=1)
            )
        rows.append(np.concatenate(scales))
    return np.stack(rows)


def check(
    runtime: OnnxRuntimeEngine, model: Any, outputs: DetectorOutputs, canvases: U8, mirrored: bool
) -> None:
    """Compare all outputs with those of the published network on each canvas and mirror image."""
    built = detector_graph(model, outputs, mirrored=mirrored)
    onnx.checker.check_model(built)
    seen = np.concatenate([canvases, canvases[:, :, ::-1]]) if mirrored else canvases
    # The network with mirror images lacks the finest scale and the best cells.
    outputs = outputs.coarse() if mirrored else outputs
    expected = run_published(runtime, model, outputs, np.ascontiguousarray(seen))
    out = runtime.load(built.SerializeToString(), (-1, *canvases.shape[1:]))(canvases)
    dtypes = {"all_scores": "float32", "all_values": "float32", "total": "float32"}
    if not mirrored:
        dtypes |= {"scores": "float32", "cells": "int64", "values": "float32"}
    assert {name: str(values.dtype) for name, values in out.items()} == dtypes
    n, cells = expected.shape[:2]
    assert out["all_values"].shape == (n, cells, VALUES)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(out["all_scores"], expected[:, :, 0], **tolerance)
    np.testing.assert_allclose(out["all_values"], expected[:, :, 1:], **tolerance)
    assert out["total"].shape == (n, 1)
    assert np.isfinite(out["total"]).all()
    if mirrored:
        return
    # The best cells, highest score first.
    assert out["scores"].shape == out["cells"].shape == (n, BEST)
    best = -np.sort(-out["all_scores"], axis=1)[:, :BEST]
    np.testing.assert_array_equal(out["scores"], best)
    np.testing.assert_array_equal(np.take_along_axis(out["all_scores"], out["cells"], axis=1), best)
    picked = np.take_along_axis(out["all_values"], out["cells"][:, :, None], axis=1)
    np.testing.assert_array_equal(out["values"], picked)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_bundled_networks_are_those_of_the_published_file(mirrored: bool) -> None:
    model = onnx.load(PUBLISHED)
    before = model.SerializeToString(deterministic=True)
    file = "yunet_mirrored.onnx" if mirrored else "yunet.onnx"
    assert bundled_pack().detector.graphs[mirrored][0] == file
    bundled = onnx.load(BUNDLED_FOLDER / file)
    assert bundled == detector_graph(model, yunet.OUTPUTS, mirrored=mirrored)
    # The weights are the same, and the model that was given has not changed.
    weights = {w.name: w for w in bundled.graph.initializer}
    for published in model.graph.initializer:
        ours = weights.get(f"detector_{published.name}")
        if ours is not None:
            np.testing.assert_array_equal(
                onnx.numpy_helper.to_array(ours), onnx.numpy_helper.to_array(published)
            )
    assert sum(name.startswith("detector_") for name in weights) > 50
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("mirrored", [False, True])
def test_each_output_is_that_of_the_published_yunet(
    mirrored: bool, runtime: OnnxRuntimeEngine, astronaut: U8
) -> None:
    check(runtime, onnx.load(PUBLISHED), yunet.OUTPUTS, canvases_of(astronaut), mirrored)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("outputs", "batched", "batch_last"),
    [
        (9, False, False),
        (9, True, False),
        (9, False, True),
        (15, False, False),
        (15, True, False),
        (15, False, True),
    ],
)
def test_each_output_is_that_of_scrfd_in_every_form(
    outputs: int, batched: bool, batch_last: bool, mirrored: bool, runtime: OnnxRuntimeEngine, astronaut: U8
) -> None:
    model = graphs.scrfd(outputs=outputs, batched=batched, batch_last=batch_last)
    names, form = scrfd.form_of([output.name for output in model.graph.output])
    side = max(SIDE, form.strides[-1] * 2)
    canvases = np.zeros((3, side, side, 3), np.uint8)
    canvases[:, :SIDE, :SIDE] = canvases_of(astronaut)
    check(runtime, model, names, canvases, mirrored)


def test_a_canvas_that_is_not_square(runtime: OnnxRuntimeEngine, astronaut: U8) -> None:
    canvases = np.concatenate([canvases_of(astronaut), canvases_of(astronaut)[:, :, ::-1]], axis=2)
    for mirrored in (False, True):
        check(runtime, onnx.load(PUBLISHED), yunet.OUTPUTS, canvases, mirrored)
        model = graphs.scrfd(batch_last=True)
        names, _ = scrfd.form_of([output.name for output in model.graph.output])
        check(runtime, model, names, canvases, mirrored)


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_later_operator_sets_are_accepted(opset: int, runtime: OnnxRuntimeEngine, astronaut: U8) -> None:
    model = graphs.scrfd(opset=opset)
    names, _ = scrfd.form_of([output.name for output in model.graph.output])
    check(runtime, model, names, canvases_of(astronaut), True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_a_number_is_seen_in_the_total(value: float, runtime: OnnxRuntimeEngine) -> None:
    model = graphs.scrfd()
    # The bias of the first convolution. Infinity becomes NaN behind the next, whose weights have both signs.
    bias = next(w for w in model.graph.initializer if w.name == model.graph.node[0].input[2])
    changed = np.full(bias.dims, value, np.float32)
    bias.CopyFrom(onnx.numpy_helper.from_array(changed, bias.name))
    names, _ = scrfd.form_of([output.name for output in model.graph.output])
    built = detector_graph(model, names, mirrored=False)
    out = runtime.load(built.SerializeToString(), (-1, SIDE, SIDE, 3))(np.zeros((2, SIDE, SIDE, 3), np.uint8))
    assert not np.isfinite(out["total"]).any()


@pytest.mark.parametrize("opset", [9, 10])
def test_older_operator_sets_are_a_model_error(opset: int) -> None:
    model = graphs.scrfd()
    model.opset_import[0].version = opset
    names, _ = scrfd.form_of([output.name for output in model.graph.output])
    with pytest.raises(ModelError, match=f"operator set {opset}, arcage needs 11 or later"):
        detector_graph(model, names, mirrored=False)


def with_another_last_node(kind: str) -> Any:
    model = graphs.scrfd()
    nodes = {node.output[0]: node for node in model.graph.node}
    reshape = nodes[model.graph.output[4].name]
    transpose = nodes[reshape.input[0]]
    if kind == "order":
        transpose.attribute[0].ints[:] = [0, 3, 2, 1]
    if kind == "flatten":
        reshape.op_type = "Flatten"
        del reshape.input[1]
    if kind == "no transpose":
        reshape.input[0] = transpose.input[0]
    if kind == "target":
        target = next(w for w in model.graph.initializer if w.name == reshape.input[1])
        target.CopyFrom(onnx.numpy_helper.from_array(np.array([800, 4]), target.name))
    if kind == "computed":
        transpose.attribute[0].ints[:] = [2, 3, 0, 1]
        model.graph.node.insert(0, onnx.helper.make_node("Identity", [reshape.input[1]], ["computed"]))
        reshape.input[1] = "computed"
    return model


@pytest.mark.parametrize("kind", ["order", "flatten", "no transpose", "target", "computed"])
def test_outputs_that_are_made_in_another_way_are_a_model_error(kind: str) -> None:
    model = with_another_last_node(kind)
    names, _ = scrfd.form_of([output.name for output in model.graph.output])
    with pytest.raises(ModelError, match="only one picture at a time"):
        detector_graph(model, names, mirrored=False)
