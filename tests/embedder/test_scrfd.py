"""SCRFD's outputs are decoded as by hand and as by InsightFace."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
from detectors import FakeEngine, faces_of, same_candidates, values_of

from arcage.embedder.candidates import FaceDetector, non_maximum_suppression
from arcage.embedder.detect import find_faces
from arcage.embedder.engines.base import Engine
from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.networks import load_detector
from arcage.embedder.packs.record import ModelRecord, Pack
from arcage.embedder.scrfd import form_of
from arcage.embedder.views import PHOTO
from arcage.errors import ModelError
from arcage.types import U8


def picture(side: int) -> U8:
    """Return patches of several sizes and colours; a random network gives noise only low scores."""
    rng = np.random.default_rng(side)
    image = np.zeros((side, side, 3), np.uint8)
    for size in (side // 2, 64, 32, 16):
        n = side // size
        patches = rng.integers(0, 256, (n, n, 3)).repeat(size, axis=0).repeat(size, axis=1)
        image[: n * size, : n * size] //= 2
        image[: n * size, : n * size] += (patches // 2).astype(np.uint8)
    return image


def load(engine: Engine | FakeEngine, folder: Path, data: bytes) -> FaceDetector:
    """Return the detector of a pack whose only file has these bytes."""
    (folder / "det.onnx").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    record = ModelRecord("det", "det.onnx", sha256, "scrfd", "", "", "")
    return load_detector(engine, Pack("x", folder, record, (), True))  # type: ignore[arg-type]


def test_one_face_is_decoded_as_by_hand(tmp_path: Path) -> None:
    # Stride 16: row 2, column 1 of the 10x10 cells, second anchor.
    row = 2 * 400 + 2 * (2 * 10 + 1) + 1
    scores = np.zeros((1, 256), np.float32)
    cells = np.zeros((1, 256), np.int64)
    values = np.zeros((1, 256, 14), np.float32)
    scores[0, 0], cells[0, 0] = 0.75, row
    values[0, 0] = [1, 2, 3, 0.5, *(np.arange(10) / 10)]
    outputs = {"scores": scores, "cells": cells, "values": values, "total": np.ones((1, 1), np.float32)}
    engine = FakeEngine(lambda batch: outputs)
    found = load(engine, tmp_path, graphs.scrfd().SerializeToString()).candidates(
        np.zeros((1, 160, 160, 3), np.uint8), 0.5
    )
    assert engine.shapes == [(1, 160, 160, 3)]
    assert found.scores.tolist() == [0.75]
    assert found.boxes.tolist() == [[16 - 16, 32 - 32, 16 + 48, 32 + 8]]
    x, y = np.arange(0, 10, 2) / 10, np.arange(1, 10, 2) / 10
    np.testing.assert_allclose(found.landmarks, [np.stack([16 + 16 * x, 32 + 16 * y], axis=1)], rtol=1e-6)
    assert (found.boxes.dtype, found.landmarks.dtype, found.scores.dtype) == (np.float32,) * 3


def test_the_network_takes_pixels_of_minus_one_to_one(tmp_path: Path, runtime: OnnxRuntimeEngine) -> None:
    model = graphs.scrfd()
    names = [output.name for output in model.graph.output]
    outputs, form = form_of(names)
    assert (outputs.mean, outputs.std, outputs.bgr, form.anchors) == (127.5, 128.0, False, 2)
    canvas = np.full((1, 160, 160, 3), [255, 0, 127], np.uint8)
    blob = np.empty((1, 3, 160, 160), np.float32)
    blob[0] = np.float32([127.5 / 128, -127.5 / 128, -0.5 / 128])[:, None, None]
    out = runtime.load(model.SerializeToString(), blob.shape)(blob)
    expected = np.concatenate([out[name][:, 0] for name in names[:3]])
    found = load(runtime, tmp_path, model.SerializeToString()).candidates(canvas, 1e-6)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)


@pytest.mark.parametrize("outputs", [9, 15])
@pytest.mark.parametrize(
    "form", [{}, {"batched": True}, {"batch_last": True}], ids=["rows", "batched", "last"]
)
@pytest.mark.parametrize("size", ["?", 640])
def test_engines_agree_for_every_form_of_the_file(
    outputs: int,
    form: dict[str, bool],
    size: Any,
    tmp_path: Path,
    runtime: OnnxRuntimeEngine,
    openvino: OpenVinoEngine,
) -> None:
    data = graphs.scrfd(outputs=outputs, size=size, **form).SerializeToString()
    for side in (320, 640):
        canvases = np.stack([picture(side), picture(side)[::-1]])
        ours, theirs = (load(e, tmp_path, data).candidates(canvases, 1e-6) for e in (runtime, openvino))
        cells = 2 * (1600 + 400 + 100) if side == 320 else 2 * (6400 + 1600 + 400)
        assert len(ours) == 2 * cells or outputs == 15
        for a, b in zip(values_of(ours), values_of(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_a_canvas_that_the_strides_do_not_divide_is_padded(
    tmp_path: Path, runtime: OnnxRuntimeEngine
) -> None:
    data = graphs.scrfd(outputs=15).SerializeToString()
    padded = np.zeros((1, 384, 384, 3), np.uint8)
    padded[:, :320, :320] = picture(320)
    scrfd = load(runtime, tmp_path, data)
    found, expected = scrfd.candidates(picture(320)[None], 0.3), scrfd.candidates(padded, 0.3)
    assert len(found) > 0
    same_candidates(found, expected)


def test_faces_are_found_with_it(tmp_path: Path, runtime: OnnxRuntimeEngine) -> None:
    scrfd = load(runtime, tmp_path, graphs.scrfd().SerializeToString())
    found = find_faces(scrfd, [picture(640)[:400], picture(640)[200:]], 0.6)
    for i in (0, 1):
        faces = faces_of(found, i)
        assert faces
        assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)
        assert all(f.box.shape == (4,) and f.landmarks.shape == (5, 2) for f in faces)


@pytest.mark.parametrize(("outputs", "words"), [(6, "returns no landmarks"), (10, "returns no landmarks")])
def test_a_detector_without_landmarks_is_refused(
    outputs: int, words: str, tmp_path: Path, runtime: OnnxRuntimeEngine
) -> None:
    with pytest.raises(ModelError, match=words):
        load(runtime, tmp_path, graphs.scrfd(outputs=outputs).SerializeToString())


def test_other_models_are_refused(tmp_path: Path, runtime: OnnxRuntimeEngine) -> None:
    with pytest.raises(ModelError, match="1 outputs"):
        load(runtime, tmp_path, graphs.attribute().SerializeToString())
    with pytest.raises(ModelError, match="not an ONNX file"):
        load(runtime, tmp_path, b"<html>")


def test_outputs_are_found_by_their_position() -> None:
    outputs, form = form_of([str(i) for i in range(9)])
    assert (outputs.scores, outputs.boxes) == ((("0",), ("1",), ("2",)), ("3", "4", "5"))
    assert (outputs.landmarks, form.strides) == (("6", "7", "8"), (8, 16, 32))
    outputs, form = form_of([str(i) for i in range(15)])
    assert outputs.landmarks == ("10", "11", "12", "13", "14")
    assert (form.strides, form.anchors) == ((8, 16, 32, 64, 128), 1)


def test_a_network_with_another_input_size_is_refused(tmp_path: Path) -> None:
    def run(batch: Any) -> dict[str, Any]:
        rows = np.ones((1, 8), np.float32)
        return {
            "scores": np.ones((1, 256), np.float32),
            "total": rows[:, :1],
            "all_scores": rows,
            "all_values": np.ones((1, 8, 14), np.float32),
        }

    scrfd = load(FakeEngine(run), tmp_path, graphs.scrfd().SerializeToString())
    with pytest.raises(ModelError, match="other outputs than its kind"):
        scrfd.candidates(np.zeros((1, 160, 160, 3), np.uint8), 0.5)


@pytest.fixture(scope="module")
def peer() -> Callable[[Path], Any]:
    pytest.importorskip("insightface", exc_type=ImportError)
    from insightface.model_zoo.scrfd import SCRFD

    def make(path: Path) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        # A session and a file, as InsightFace itself passes them.
        return SCRFD(model_file=str(path), session=session)

    return make


@pytest.mark.oracle
@pytest.mark.parametrize(("outputs", "batched"), [(9, False), (9, True), (15, False), (15, True)])
def test_insightface_decodes_the_same(
    outputs: int, batched: bool, tmp_path: Path, runtime: OnnxRuntimeEngine, peer: Callable[[Path], Any]
) -> None:
    path = tmp_path / "det_10g.onnx"
    path.write_bytes(graphs.scrfd(outputs=outputs, batched=batched).SerializeToString())
    theirs = peer(path)
    canvas = picture(640)
    threshold = 0.55

    scores, boxes, points = (
        np.concatenate(parts) for parts in theirs.forward(np.ascontiguousarray(canvas[:, :, ::-1]), threshold)
    )
    ours = load(runtime, tmp_path, path.read_bytes()).candidates(canvas[None], threshold)
    assert len(ours) == len(scores) > 100
    # InsightFace sorts by scale and cell, as arcage does for more than the best 256 cells.
    np.testing.assert_allclose(ours.boxes, boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours.landmarks, points, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours.scores, scores[:, 0], rtol=1e-5, atol=1e-6)

    # InsightFace's boxes include the last pixel, so that suppression differs for pairs whose overlap is close
    # to the threshold.
    theirs.prepare(-1, input_size=(PHOTO.canvas, PHOTO.canvas), det_thresh=threshold)
    found, landmarks = theirs.detect(np.ascontiguousarray(canvas[:, :, ::-1]))
    kept = {tuple(np.round(ours.boxes[i], 1)) for i in non_maximum_suppression(ours)}
    assert landmarks.shape == (len(found), 5, 2)
    assert len(kept & {tuple(np.round(b, 1)) for b in found[:, :4]}) > 0.9 * max(len(kept), len(found))
