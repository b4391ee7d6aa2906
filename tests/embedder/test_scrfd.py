"""SCRFD's outputs are decoded as by hand and as by InsightFace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest

from arcage.embedder.candidates import Candidates, non_maximum_suppression
from arcage.embedder.detect import find_faces
from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.scrfd import Scrfd
from arcage.embedder.views import PHOTO
from arcage.errors import ModelError
from arcage.types import U8, Array


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


class FakeEngine:
    """An engine whose only network returns given outputs."""

    def __init__(self, outputs: dict[str, Array]) -> None:
        self.outputs = outputs
        self.shapes: list[tuple[int, ...]] = []
        self.batches: list[Array] = []

    def load(self, model: bytes, shape: tuple[int, ...], *, trusted: bool) -> Any:
        assert not trusted
        self.shapes.append(shape)
        return lambda batch: self.batches.append(batch) or self.outputs


def arrays(found: Candidates) -> tuple[Array, Array, Array]:
    return found.boxes, found.landmarks, found.scores


def test_one_face_is_decoded_as_by_hand() -> None:
    model = graphs.scrfd()
    names = [o.name for o in model.graph.output]
    rows = [2 * (64 // stride) ** 2 for stride in (8, 16, 32)]
    outputs = {
        name: np.zeros((rows[i % 3], width), np.float32)
        for i, name in enumerate(names)
        for width in [(1, 4, 10)[i // 3]]
    }
    # Stride 16: row 2, column 1 of the 4x4 cells, second anchor.
    row = 2 * (2 * 4 + 1) + 1
    outputs[names[1]][row] = 0.75
    outputs[names[4]][row] = [1, 2, 3, 0.5]
    outputs[names[7]][row] = np.arange(10) / 10
    engine = FakeEngine(outputs)
    canvas = np.full((64, 64, 3), [255, 0, 127], np.uint8)
    found = Scrfd(engine, model.SerializeToString()).candidates(canvas, 0.5)  # type: ignore[arg-type]

    assert engine.shapes == [(1, 3, 64, 64)]
    np.testing.assert_allclose(engine.batches[0][0, :, 0, 0], [127.5 / 128, -127.5 / 128, -0.5 / 128])
    assert found.scores.tolist() == [0.75]
    assert found.boxes.tolist() == [[16 - 16, 32 - 32, 16 + 48, 32 + 8]]
    x, y = np.arange(0, 10, 2) / 10, np.arange(1, 10, 2) / 10
    np.testing.assert_allclose(found.landmarks, [np.stack([16 + 16 * x, 32 + 16 * y], axis=1)], rtol=1e-6)
    assert (found.boxes.dtype, found.landmarks.dtype, found.scores.dtype) == (np.float32,) * 3


@pytest.mark.parametrize("outputs", [9, 15])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("size", ["?", 640])
def test_engines_agree_for_every_form_of_the_file(
    outputs: int, batched: bool, size: Any, runtime: OnnxRuntimeEngine, openvino: OpenVinoEngine
) -> None:
    data = graphs.scrfd(outputs=outputs, batched=batched, size=size).SerializeToString()
    for side in (320, 640):
        canvas = picture(side)
        ours, theirs = (Scrfd(e, data).candidates(canvas, 0.0) for e in (runtime, openvino))
        assert (
            len(ours) == (2 * (1600 + 400 + 100) if side == 320 else 2 * (6400 + 1600 + 400)) or outputs == 15
        )
        for a, b in zip(arrays(ours), arrays(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_a_canvas_that_the_strides_do_not_divide_is_padded(runtime: OnnxRuntimeEngine) -> None:
    data = graphs.scrfd(outputs=15).SerializeToString()
    padded = np.zeros((384, 384, 3), np.uint8)
    padded[:320, :320] = picture(320)
    scrfd = Scrfd(runtime, data)
    found, expected = scrfd.candidates(picture(320), 0.3), scrfd.candidates(padded, 0.3)
    for a, b in zip(arrays(found), arrays(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_faces_are_found_with_it(runtime: OnnxRuntimeEngine) -> None:
    scrfd = Scrfd(runtime, graphs.scrfd().SerializeToString())
    image = picture(640)[:400]
    faces = find_faces(scrfd, image, 0.6)
    assert faces
    assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)
    assert all(f.box.shape == (4,) and f.landmarks.shape == (5, 2) for f in faces)


@pytest.mark.parametrize(("outputs", "words"), [(6, "returns no landmarks"), (10, "returns no landmarks")])
def test_a_detector_without_landmarks_is_refused(
    outputs: int, words: str, runtime: OnnxRuntimeEngine
) -> None:
    with pytest.raises(ModelError, match=words):
        Scrfd(runtime, graphs.scrfd(outputs=outputs).SerializeToString())


def test_other_models_are_refused(runtime: OnnxRuntimeEngine) -> None:
    with pytest.raises(ModelError, match="1 outputs"):
        Scrfd(runtime, graphs.attribute().SerializeToString())
    with pytest.raises(ModelError, match="not an ONNX file"):
        Scrfd(runtime, b"<html>")


def test_a_network_with_another_input_size_is_refused() -> None:
    model = graphs.scrfd()
    names = [o.name for o in model.graph.output]
    outputs = {name: np.zeros((8, (1, 4, 10)[i // 3]), np.float32) for i, name in enumerate(names)}
    scrfd = Scrfd(FakeEngine(outputs), model.SerializeToString())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="another input size"):
        scrfd.candidates(np.zeros((64, 64, 3), np.uint8), 0.5)


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
    ours = Scrfd(runtime, path.read_bytes()).candidates(canvas, threshold)
    assert len(ours) == len(scores) > 100
    np.testing.assert_allclose(ours.boxes, boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours.landmarks, points, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours.scores, scores[:, 0], rtol=1e-5, atol=1e-6)

    # InsightFace's boxes include the last pixel, so that suppression differs for pairs whose overlap is close
    # to the threshold.
    theirs.prepare(-1, input_size=(PHOTO.canvas, PHOTO.canvas), det_thresh=threshold)
    found, landmarks = theirs.detect(np.ascontiguousarray(canvas[:, :, ::-1]))
    kept = {tuple(np.round(ours.boxes[i], 1)) for i in non_maximum_suppression(ours.boxes, ours.scores)}
    assert landmarks.shape == (len(found), 5, 2)
    assert len(kept & {tuple(np.round(b, 1)) for b in found[:, :4]}) > 0.9 * max(len(kept), len(found))
