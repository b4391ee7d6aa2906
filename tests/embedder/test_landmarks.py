"""Refined landmarks hardly depend on the position and size of the face in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectors import LANDMARKS

from arcage.embedder.align import SIDE, similarity, transform
from arcage.embedder.candidates import Candidates, FaceDetector
from arcage.embedder.detect import find_faces
from arcage.embedder.landmarks import (
    CANVAS,
    MAX_OFFSET,
    MIN_SCORE,
    MIRROR_ORDER,
    REFERENCE,
    SAME_FACE,
    refine,
)
from arcage.types import F32, F64, U8


class FakeDetector:
    """Returns given landmarks and scores, first for the face, then for its mirror image."""

    def __init__(self, *results: list[tuple[F64, float]]) -> None:
        self.results = list(results)
        self.canvases: list[U8] = []

    def candidates(self, canvas: U8, threshold: float) -> Candidates:
        assert threshold == MIN_SCORE
        found = self.results[len(self.canvases)]
        self.canvases.append(canvas)
        landmarks = np.array([f[0] for f in found], np.float32).reshape(-1, 5, 2)
        scores = np.array([f[1] for f in found], np.float32)
        return Candidates(np.zeros((len(found), 4), np.float32), landmarks, scores)


def flip(points: F64) -> F64:
    return (points * [-1, 1] + [CANVAS - 1, 0])[MIRROR_ORDER]


def on_canvas(points: F32) -> F64:
    return transform(points, similarity(LANDMARKS, REFERENCE))


def test_candidates_that_agree_are_averaged_over_the_face_and_its_mirror_image(astronaut: U8) -> None:
    seen = [(REFERENCE + 3, 0.9), (REFERENCE - 1, 0.3), (REFERENCE + 5 * SAME_FACE, 0.8)]
    mirrored = [(flip(REFERENCE + np.array([0, 6])), 0.5)]
    detector = FakeDetector(seen, mirrored)
    got = on_canvas(refine(detector, astronaut, LANDMARKS))
    first = (0.9 * 3 + 0.3 * -1) / 1.2
    np.testing.assert_allclose(got, REFERENCE + np.array([first / 2, (first + 6) / 2]), atol=1e-2)
    # The second canvas is the mirror image of the first.
    np.testing.assert_array_equal(detector.canvases[1], detector.canvases[0][:, ::-1])
    assert detector.canvases[0].shape == (CANVAS, CANVAS, 3)


def test_one_of_the_two_is_enough_and_without_either_the_landmarks_stay(astronaut: U8) -> None:
    np.testing.assert_allclose(
        on_canvas(refine(FakeDetector([(REFERENCE + 2, 0.9)], []), astronaut, LANDMARKS)),
        REFERENCE + 2,
        atol=1e-2,
    )
    np.testing.assert_allclose(
        on_canvas(refine(FakeDetector([], [(flip(REFERENCE + 2), 0.9)]), astronaut, LANDMARKS)),
        REFERENCE + 2,
        atol=1e-2,
    )
    assert refine(FakeDetector([], []), astronaut, LANDMARKS) is LANDMARKS


def test_another_face_on_the_canvas_is_ignored(astronaut: U8) -> None:
    neighbour = REFERENCE + np.array([1.5 * MAX_OFFSET, 0])
    got = refine(
        FakeDetector([(neighbour, 1.0), (REFERENCE, 0.4)], [(flip(REFERENCE), 0.4)]), astronaut, LANDMARKS
    )
    np.testing.assert_allclose(on_canvas(got), REFERENCE, atol=1e-2)
    assert (
        refine(FakeDetector([(neighbour, 1.0)], [(flip(neighbour), 1.0)]), astronaut, LANDMARKS) is LANDMARKS
    )


def test_refined_landmarks_hardly_move_with_the_picture(yunet: FaceDetector, astronaut: U8) -> None:
    first, second = [], []
    for ratio, x, y in ((1, 0, 0), (0.6, 3, 9), (1.37, 7, 3), (1.9, 11, 5), (3, 4, 8)):
        image = cv2.resize(astronaut, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(image[y:, x:])
        (face,) = find_faces(yunet, image, 0.5)
        for found, points in (
            (first, face.landmarks),
            (second, refine(yunet, image, face.landmarks)),
        ):
            found.append((points + [x, y] + 0.5) / ratio - 0.5)

    def spread(found: list[F64]) -> float:
        """Return how far a point of the face moves, pixels of the aligned picture."""
        middle = np.mean(found, axis=0)
        placed = [transform(middle, similarity(points)) for points in found]
        return float(np.sqrt(np.var(placed, axis=0).sum(axis=1).mean()))

    assert spread(second) < 0.6 * spread(first)
    assert spread(second) < 0.01 * SIDE
    assert np.abs(np.mean(second, axis=0) - np.mean(first, axis=0)).max() < 4


@pytest.mark.parametrize(
    "points", [np.zeros((5, 2)), np.full((5, 2), 1e6), -LANDMARKS], ids=["one", "far", "-"]
)
def test_impossible_landmarks_do_not_crash(points: F64, yunet: FaceDetector, astronaut: U8) -> None:
    given = points.astype(np.float32)
    got = refine(yunet, astronaut, given)
    assert got.shape == (5, 2)
    assert np.isfinite(got).all()
