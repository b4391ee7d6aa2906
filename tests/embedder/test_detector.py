"""A detector on batches: padding, mirror images, crowds, and networks that return something else."""

from __future__ import annotations

import graphs
import numpy as np
import pytest
from detectors import FakeEngine, resize, same_candidates

from arcage.embedder import scrfd, yunet
from arcage.embedder.candidates import Candidates, FaceDetector, joined
from arcage.embedder.detector import DetectorForm, GraphDetector
from arcage.embedder.detector_graph import BEST, VALUES, detector_graph
from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.errors import DeviceMemoryError, ModelError
from arcage.types import F32, U8, Array


def decode(values: F32, cells: F32, strides: F32) -> tuple[F32, F32]:
    """Return each cell's centre as its box, and its first value with its stride as landmarks."""
    boxes = np.concatenate([cells * strides, cells * strides], axis=1)
    landmarks = np.concatenate([values[:, :1], strides], axis=1)
    return boxes, np.repeat(landmarks[:, None], 5, axis=1)


FORM = DetectorForm((8, 16, 32), 1, decode)
COARSE = 100 + 25
CELLS = 400 + COARSE
"""Of a canvas of 160 pixels. The network with mirror images lacks those of the finest scale."""


def outputs_of(scores: F32) -> dict[str, Array]:
    """Return the outputs of a network, from the scores of all cells, shape (n, cells); values are numbers."""
    n, count = scores.shape
    values = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None], (n, count, VALUES))
    cells = np.argsort(-scores, axis=1, kind="stable")[:, :BEST]
    return {
        "scores": np.take_along_axis(scores, cells, axis=1),
        "cells": cells,
        "values": np.take_along_axis(values, cells[:, :, None], axis=1),
        "all_scores": scores,
        "all_values": values,
        "total": scores.sum(axis=1, keepdims=True),
    }


def numbered(batch: Array, *, mirrored: bool = False) -> dict[str, Array]:
    """A network that finds a face in the cell whose number is the first pixel, and in each mirror image.

    Black pictures, such as padding, have a face in every cell.
    """
    pixels = np.concatenate([batch, batch[:, :, ::-1]]) if mirrored else batch
    first = pixels[:, 0, 0, 0].astype(int)
    scores = np.zeros((len(pixels), COARSE if mirrored else CELLS), np.float32)
    scores[np.arange(len(pixels)), first] = first / 256 + 0.1
    scores[first == 0] = 0.99
    out = outputs_of(scores)
    return {name: out[name] for name in ("all_scores", "all_values", "total")} if mirrored else out


def canvases_of(levels: list[int]) -> U8:
    """Return canvases with a level at the left and another, higher by 50, at the right."""
    canvases = np.zeros((len(levels), 160, 160, 3), np.uint8)
    canvases[:] = np.array(levels)[:, None, None, None]
    canvases[:, :, 80:] += 50
    return canvases


def make(engine: FakeEngine, form: DetectorForm = FORM) -> GraphDetector:
    return GraphDetector(engine, b"plain", b"mirrored", form, trusted=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [(1,), (4,), (1, 8), (1, 8, 32), (8, 64)])
def test_padding_is_never_found_and_pictures_keep_their_numbers(sizes: tuple[int, ...]) -> None:
    for n in (1, 2, 5, 7, 8, 9, 13, 21, 33, 40):
        levels = list(range(50, 50 + n))
        engine = FakeEngine(numbered, sizes)
        found = make(engine).candidates(canvases_of(levels), 0.01)
        assert found.pictures.tolist() == list(range(n))
        assert found.landmarks[:, 0].tolist() == [[level, 8] for level in levels]
        np.testing.assert_allclose(found.scores, np.array(levels) / 256 + 0.1, rtol=1e-6)
        assert {len(batch) for batch in engine.batches} <= set(sizes)
        assert engine.shapes == [(sizes[0] if len(sizes) == 1 else -1, 160, 160, 3)]
        assert engine.models == [b"plain"]


@pytest.mark.parametrize("sizes", [(1,), (4,), (1, 8, 32)])
def test_mirror_images_follow_the_canvases(sizes: tuple[int, ...]) -> None:
    for n in (1, 3, 6, 9, 35):
        levels = list(range(20, 20 + n))
        engine = FakeEngine(lambda batch: numbered(batch, mirrored=True), sizes)
        found = make(engine).candidates(canvases_of(levels), 0.01, mirrored=True)
        assert engine.models == [b"mirrored"]
        assert len(found) == 2 * n
        by_picture = dict(zip(found.pictures.tolist(), found.landmarks[:, 0, 0].tolist(), strict=True))
        assert by_picture == dict(enumerate(levels)) | {n + i: level + 50 for i, level in enumerate(levels)}


def test_a_batch_that_does_not_fit_into_memory_is_divided() -> None:
    """Pictures keep their numbers, and mirror images follow all canvases."""
    levels = list(range(20, 60))

    def run(batch: Array) -> dict[str, Array]:
        if len(batch) > 2:
            raise DeviceMemoryError("full")
        return numbered(batch, mirrored=True)

    detector = make(FakeEngine(run, (1, 2, 8, 32)))
    found = detector.candidates(canvases_of(levels), 0.01, mirrored=True)
    expected = make(FakeEngine(lambda batch: numbered(batch, mirrored=True), (1,)))
    one_by_one = expected.candidates(canvases_of(levels), 0.01, mirrored=True)
    for part in (found, one_by_one):
        assert sorted(part.pictures.tolist()) == list(range(80))
    order, expected_order = np.argsort(found.pictures), np.argsort(one_by_one.pictures)
    same_candidates(found.select(order), one_by_one.select(expected_order))
    with pytest.raises(DeviceMemoryError, match="full"):
        make(FakeEngine(run, (8,))).candidates(canvases_of(levels), 0.01, mirrored=True)


@pytest.mark.parametrize("above", [BEST - 1, BEST, BEST + 1, 400, CELLS])
def test_the_candidates_of_a_crowd_are_all_read(above: int) -> None:
    rng = np.random.default_rng(above)
    scores = np.full((3, CELLS), 0.2, np.float32)
    scores[:, 30] = 0.7
    crowded = rng.permutation(CELLS)[:above]
    scores[1, crowded] = rng.uniform(0.5, 1, above).astype(np.float32)
    scores[1, 30] = 0.7
    # One canvas at a time, and together with others.
    for rows in ([1], [0, 1, 2]):
        engine = FakeEngine(lambda batch, rows=rows: outputs_of(scores[rows]), (len(rows),))  # type: ignore[misc]
        found = make(engine).candidates(np.zeros((len(rows), 160, 160, 3), np.uint8), 0.5)
        for i, row in enumerate(rows):
            expected = np.flatnonzero(scores[row] >= 0.5)
            of_row = found.select(found.pictures == i)
            order = np.argsort(of_row.landmarks[:, 0, 0])
            assert of_row.landmarks[order, 0, 0].tolist() == expected.tolist()
            np.testing.assert_array_equal(of_row.scores[order], scores[row, expected])
        # The values of all cells are read only if necessary.
        assert engine.asked[0] == ("scores", "cells", "values", "total")
        assert len(engine.asked) == (2 if np.sum(scores[1] >= 0.5) >= BEST else 1)


def test_cells_have_the_place_and_stride_of_their_scale() -> None:
    scores = np.zeros((1, CELLS), np.float32)
    numbers = [0, 21, 399, 400, 411, 499, 500, 506, 524]
    scores[0, numbers] = np.linspace(0.9, 0.6, len(numbers))
    engine = FakeEngine(lambda batch: outputs_of(scores))
    found = make(engine).candidates(np.zeros((1, 160, 160, 3), np.uint8), 0.5)
    places = [(0, 0), (8, 8), (152, 152), (0, 0), (16, 16), (144, 144), (0, 0), (32, 32), (128, 128)]
    assert found.boxes[:, :2].tolist() == [list(place) for place in places]
    assert found.landmarks[:, 0, 1].tolist() == [8] * 3 + [16] * 3 + [32] * 3
    assert (found.boxes.dtype, found.landmarks.dtype, found.scores.dtype) == (np.float32,) * 3
    assert found.pictures.dtype == np.intp


def test_a_cell_has_a_row_for_each_anchor() -> None:
    scores = np.zeros((1, 2 * CELLS), np.float32)
    scores[0, [43, 800]] = 0.9, 0.8
    engine = FakeEngine(lambda batch: outputs_of(scores))
    form = DetectorForm((8, 16, 32), 2, decode)
    found = make(engine, form).candidates(np.zeros((1, 160, 160, 3), np.uint8), 0.5)
    assert found.boxes[:, :2].tolist() == [[8, 8], [0, 0]]
    assert found.landmarks[:, 0].tolist() == [[43, 8], [800, 16]]


def test_canvases_that_the_strides_do_not_divide_are_padded() -> None:
    engine = FakeEngine(lambda batch: outputs_of(np.zeros((len(batch), CELLS + 130), np.float32)), (2,))
    canvases = np.full((2, 140, 180, 3), 200, np.uint8)
    with pytest.raises(ModelError):  # the fake has the outputs of another size
        make(engine).candidates(canvases, 0.0)
    (batch,) = engine.batches[:1]
    assert batch.shape == (2, 160, 192, 3)
    np.testing.assert_array_equal(batch[:, :140, :180], canvases)
    assert not batch[:, 140:].any()
    assert not batch[:, :, 180:].any()


def test_no_canvas_is_no_run() -> None:
    engine = FakeEngine(numbered)
    for mirrored in (False, True):
        none = make(engine).candidates(np.zeros((0, 160, 160, 3), np.uint8), 0.5, mirrored=mirrored)
        same_candidates(none, joined([]))
    assert engine.shapes == []


def test_a_network_is_compiled_once_for_each_size() -> None:
    engine = FakeEngine(numbered)
    detector = make(engine)
    for _ in range(2):
        detector.candidates(canvases_of([50]), 0.1)
    assert engine.shapes == [(1, 160, 160, 3)]
    engine.run = lambda batch: numbered(batch, mirrored=True)
    detector.candidates(canvases_of([50]), 0.1, mirrored=True)
    assert engine.models == [b"plain", b"mirrored"]


def changed(name: str, value: Array | None) -> FakeEngine:
    """Return an engine whose network finds one face, with another output; None leaves it out."""
    scores = np.zeros((1, CELLS), np.float32)
    scores[0, 7] = 0.9
    right = outputs_of(scores)
    if value is None:
        del right[name]
    else:
        right[name] = value
    return FakeEngine(lambda batch: right)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((name, None, "other outputs") for name in ("scores", "cells", "values", "total")),
        ("scores", np.zeros((1, 255), np.float32), "other outputs"),
        ("scores", np.zeros((2, BEST), np.float32), "other outputs"),
        ("cells", np.zeros((1, BEST, 1), np.int64), "other outputs"),
        ("cells", np.full((1, BEST), CELLS), "other outputs"),
        ("values", np.zeros((1, BEST, 15), np.float32), "other outputs"),
        ("total", np.zeros(1, np.float32), "other outputs"),
        ("total", np.full((1, 1), np.nan, np.float32), "NaN or infinity"),
        ("total", np.full((1, 1), np.inf, np.float32), "NaN or infinity"),
        ("values", np.full((1, BEST, VALUES), np.nan, np.float32), "NaN or infinity"),
        ("values", np.full((1, BEST, VALUES), -np.inf, np.float32), "NaN or infinity"),
    ],
)
def test_a_network_with_other_outputs_is_a_model_error(name: str, value: Array | None, message: str) -> None:
    canvases = np.zeros((1, 160, 160, 3), np.uint8)
    assert len(make(changed("unused", np.zeros(1))).candidates(canvases, 0.5)) == 1
    with pytest.raises(ModelError, match=message):
        make(changed(name, value)).candidates(canvases, 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("all_scores", None),
        ("all_values", None),
        ("all_scores", np.ones((1, CELLS - 1), np.float32)),
        ("all_values", np.ones((1, CELLS, 10), np.float32)),
    ],
)
def test_other_outputs_for_a_crowd_are_a_model_error(name: str, value: Array | None) -> None:
    right = outputs_of(np.ones((1, CELLS), np.float32))
    if value is None:
        del right[name]
    else:
        right[name] = value
    with pytest.raises(ModelError, match="other outputs"):
        make(FakeEngine(lambda batch: right)).candidates(np.zeros((1, 160, 160, 3), np.uint8), 0.5)


def test_padding_that_is_not_a_number_is_no_error() -> None:
    """A batch is padded with black, for which a network may return anything."""

    def run(batch: Array) -> dict[str, Array]:
        out = numbered(np.maximum(batch, 1))
        out["total"] = np.where(batch[:, 0, 0, :1] == 0, np.nan, out["total"]).astype(np.float32)
        return out

    found = make(FakeEngine(run, (8,))).candidates(canvases_of([50, 60, 70, 80, 90]), 0.1)
    assert found.pictures.tolist() == [0, 1, 2, 3, 4]


def test_canvases_below_the_minimum_size_are_a_model_error(runtime: OnnxRuntimeEngine) -> None:
    """A canvas of 64 pixels has 84 cells, fewer than the best 256."""
    plain, mirrored = ((BUNDLED_FOLDER / f"yunet{end}.onnx").read_bytes() for end in ("", "_mirrored"))
    detector = GraphDetector(runtime, plain, mirrored, yunet.FORM, trusted=True)
    for side in (32, 64, 96):
        with pytest.raises(ModelError):
            detector.candidates(np.zeros((1, side, side, 3), np.uint8), 0.5)


class SizedRuntime:
    """ONNX Runtime with other batch sizes."""

    def __init__(self, runtime: OnnxRuntimeEngine, sizes: tuple[int, ...]) -> None:
        self.load = runtime.load
        self.detector_batches = sizes


def varied(astronaut: U8, count: int) -> U8:
    """Return different canvases, with faces of several sizes, two, or none."""
    rng = np.random.default_rng(0)
    canvases = rng.integers(0, 90, (count, 320, 320, 3), np.uint8)
    for i, canvas in enumerate(canvases):
        side = (320, 240, 160, 0)[i % 4]
        if side:
            x = int(rng.integers(0, 321 - side))
            canvas[320 - side :, x : x + side] = resize(astronaut[20:240, 110:330], side, side) - np.uint8(i)
    return canvases


def part_of(found: Candidates, picture: int) -> Candidates:
    """Return one picture's candidates as if it was the only one, in the order of the cells' boxes."""
    one = found.select(found.pictures == picture)
    return one.select(np.lexsort((*one.boxes.T, -one.scores))).numbered([0] * (picture + 1))


@pytest.mark.parametrize("kind", ["yunet", "scrfd"])
def test_a_batch_gives_the_numbers_of_each_canvas_alone(
    kind: str, runtime: OnnxRuntimeEngine, astronaut: U8
) -> None:
    if kind == "yunet":
        plain, mirrored = ((BUNDLED_FOLDER / f"yunet{end}.onnx").read_bytes() for end in ("", "_mirrored"))
        form, threshold = yunet.FORM, 0.3
    else:
        model = graphs.scrfd()
        outputs, form = scrfd.form_of([output.name for output in model.graph.output])
        plain, mirrored = (
            detector_graph(model, outputs, mirrored=m).SerializeToString() for m in (False, True)
        )
        # Most cells are above it on some canvases.
        threshold = 0.55
    one, many = (
        GraphDetector(SizedRuntime(runtime, sizes), plain, mirrored, form, trusted=True)  # type: ignore[arg-type]
        for sizes in ((1,), (1, 8, 32))
    )
    n = 13
    canvases = varied(astronaut, n)
    together = many.candidates(canvases, threshold, mirrored=True)
    assert len(together) > n
    assert set(together.pictures.tolist()) <= set(range(2 * n))
    for i in range(n):
        alone = one.candidates(canvases[i : i + 1], threshold, mirrored=True)
        mirror = np.ascontiguousarray(canvases[i : i + 1, :, ::-1])
        flipped = one.candidates(mirror, threshold, mirrored=True)
        for picture, expected in (
            (i, part_of(alone, 0)),
            (n + i, part_of(alone, 1)),
            (n + i, part_of(flipped, 0)),
            (i, part_of(flipped, 1)),
        ):
            ours, theirs = part_of(together, picture), part_of(expected, 0)
            assert len(ours) == len(theirs)
            np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
            np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.01)
            np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=0.01)


def test_a_batch_on_the_bundled_engine_is_bit_for_bit_that_of_each_canvas(
    yunet: FaceDetector, astronaut: U8
) -> None:
    canvases = varied(astronaut, 6)
    together = yunet.candidates(canvases, 0.3)
    alone = [yunet.candidates(canvases[i : i + 1], 0.3).numbered([i]) for i in range(len(canvases))]
    same_candidates(together, joined(alone))
