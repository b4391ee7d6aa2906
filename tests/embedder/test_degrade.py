"""Degraded faces: valid pictures, reproducible for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from detectors import align_one

from arcage.embedder import degrade as module
from arcage.embedder.align import TEMPLATE, similarity, transform, warp
from arcage.embedder.degrade import degrade
from arcage.embedder.extractor import Extractor
from arcage.types import U8

if TYPE_CHECKING:
    from arcage.types import F64

SIDE = 224
LANDMARKS = 2 * TEMPLATE
"""In a canvas of SIDE pixels."""


def make_canvas(astronaut: U8, extractor: Extractor, photo: bytes) -> U8:
    return warp_one(astronaut, similarity(extractor.extract(photo).faces[0].landmarks, LANDMARKS))


def warp_one(image: U8, matrix: F64) -> U8:
    (canvas,) = warp([image], np.zeros(1, np.intp), matrix[None], SIDE)
    return np.asarray(canvas)


def degraded(canvas: U8, count: int) -> list[tuple[U8, F64]]:
    return [degrade(canvas, LANDMARKS, np.random.default_rng(i)) for i in range(count)]


def test_degraded_faces_are_pictures_with_landmarks_near_the_true_ones(
    astronaut: U8, extractor: Extractor, photo: bytes
) -> None:
    canvas = make_canvas(astronaut, extractor, photo)
    before = canvas.copy()
    results = degraded(canvas, 60)
    assert (canvas == before).all()
    for image, landmarks in results:
        assert (image.shape, image.dtype) == (canvas.shape, np.uint8)
        eyes = np.linalg.norm(LANDMARKS[1] - LANDMARKS[0])
        assert np.abs(landmarks - LANDMARKS).max() < 0.3 * eyes
    shift = np.mean([landmarks - LANDMARKS for _, landmarks in results], axis=0)
    assert np.abs(shift).max() < 2
    # A few are unchanged, all others differ, and the same seed gives the same result.
    assert len({image.tobytes() for image, _ in results}) > 0.9 * len(results)
    again = degrade(canvas, LANDMARKS, np.random.default_rng(7))
    assert (again[0] == results[7][0]).all()
    assert (again[1] == results[7][1]).all()


def test_changes_have_about_the_documented_frequency(
    astronaut: U8, extractor: Extractor, photo: bytes
) -> None:
    canvas = make_canvas(astronaut, extractor, photo)
    images = [image.astype(np.float64) for image, _ in degraded(canvas, 300)]

    def detail(image: F64) -> float:
        return float(np.abs(np.diff(image.mean(axis=2), axis=1)).mean() / (image.std() + 1e-9))

    grey = np.mean([np.abs(image - image.mean(axis=2, keepdims=True)).mean() < 6 for image in images])
    assert 0.08 < grey < 0.35
    coarse = np.mean([detail(image) < 0.8 * detail(canvas.astype(np.float64)) for image in images])
    assert 0.3 < coarse < 0.9
    bright = np.array([image.mean() for image in images]) - canvas.mean()
    assert bright.min() < -20
    assert bright.max() > 20


def test_single_steps(astronaut: U8, extractor: Extractor, photo: bytes) -> None:
    canvas = make_canvas(astronaut, extractor, photo).astype(np.float32)
    rng = np.random.default_rng(0)
    occluded = module._occlude(canvas, LANDMARKS, rng)
    changed = (occluded != canvas).any(axis=2)
    assert 0.01 < changed.mean() < 0.5
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.98
    coarse = module._reduce_resolution(canvas, 0.1, rng)
    assert coarse.shape == canvas.shape
    assert np.abs(np.diff(coarse, axis=1)).mean() < 0.7 * np.abs(np.diff(canvas, axis=1)).mean()
    assert (
        np.abs(module._jpeg(canvas, 95) - canvas).mean() < 4 < np.abs(module._jpeg(canvas, 5) - canvas).mean()
    )


def test_variants_of_an_image(extractor: Extractor, photo: bytes) -> None:
    plain = extractor.extract(photo)
    first, second = Extractor(device="cpu", variant=1), Extractor(device="cpu", variant=2)
    assert len({e.fingerprint for e in (extractor, first, second)}) == 3
    assert first.pipeline["degraded"] == {"recipe": module.RECIPE, "number": 1}
    assert "degraded" not in extractor.pipeline
    a, b = first.extract(photo), second.extract(photo)
    for other in (a, b):
        # Faces are found in the picture before it is degraded.
        np.testing.assert_allclose(other.faces[0].landmarks, plain.faces[0].landmarks, atol=1e-3)
        assert np.abs(other.descriptors - plain.descriptors).max() > 0.1
    assert np.abs(a.descriptors - b.descriptors).max() > 0.1
    # The same in another batch.
    again = list(first.stream([(0, lambda: photo), (1, lambda: photo)]))
    for _, image in again:
        np.testing.assert_allclose(image.descriptors, a.descriptors, atol=0.05)


def test_the_finer_canvas_shows_all_that_the_networks_see(
    astronaut: U8, extractor: Extractor, photo: bytes
) -> None:
    landmarks = extractor.extract(photo).faces[0].landmarks
    matrix = similarity(landmarks, LANDMARKS)
    there = transform(landmarks, matrix)
    direct = align_one(astronaut, landmarks).astype(int)
    assert np.abs(align_one(warp_one(astronaut, matrix), there).astype(int) - direct).mean() < 3
