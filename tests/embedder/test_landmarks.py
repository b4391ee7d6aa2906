"""Refined landmarks hardly depend on the position and size of the face in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectors import LANDMARKS, find_in

from arcage.embedder import landmarks as module
from arcage.embedder.align import SIDE, similarity, transform
from arcage.embedder.candidates import Candidates, FaceDetector, joined
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
    """Returns given landmarks and scores: for each face a pair, of it and of its mirror image."""

    def __init__(self, *results: tuple[list[tuple[F64, float]], list[tuple[F64, float]]]) -> None:
        self.results = list(results)
        self.canvases: list[U8] = []
        self.batches: list[int] = []

    def candidates(self, canvases: U8, threshold: float, *, mirrored: bool = False) -> Candidates:
        assert threshold == MIN_SCORE
        assert mirrored
        start, count = len(self.canvases), len(canvases)
        given = self.results[start : start + count]
        self.canvases += [*canvases]
        self.batches.append(count)
        parts = [self._on(i, pair[0]) for i, pair in enumerate(given)]
        return joined(parts + [self._on(count + i, pair[1]) for i, pair in enumerate(given)])

    @staticmethod
    def _on(picture: int, found: list[tuple[F64, float]]) -> Candidates:
        landmarks = np.array([f[0] for f in found], np.float32).reshape(-1, 5, 2)
        scores = np.array([f[1] for f in found], np.float32)
        pictures = np.full(len(found), picture, np.intp)
        return Candidates(np.zeros((len(found), 4), np.float32), landmarks, scores, pictures)


def faces_with(landmarks: F32, pictures: list[int]) -> Candidates:
    count = len(landmarks)
    boxes, scores = np.zeros((count, 4), np.float32), np.ones(count, np.float32)
    return Candidates(boxes, landmarks, scores, np.array(pictures, np.intp))


def refine_one(detector: FaceDetector, image: U8, landmarks: F32) -> F32:
    (got,) = refine(detector, [image], faces_with(landmarks[None], [0]))
    assert got.dtype == np.float32
    return np.asarray(got)


def flip(points: F64) -> F64:
    return (points * [-1, 1] + [CANVAS - 1, 0])[MIRROR_ORDER]


def on_canvas(points: F32) -> F64:
    return transform(points, similarity(LANDMARKS, REFERENCE))


def test_candidates_that_agree_are_averaged_over_the_face_and_its_mirror_image(astronaut: U8) -> None:
    seen = [(REFERENCE + 3, 0.9), (REFERENCE - 1, 0.3), (REFERENCE + 5 * SAME_FACE, 0.8)]
    mirrored = [(flip(REFERENCE + np.array([0, 6])), 0.5)]
    detector = FakeDetector((seen, mirrored))
    got = on_canvas(refine_one(detector, astronaut, LANDMARKS))
    first = (0.9 * 3 + 0.3 * -1) / 1.2
    np.testing.assert_allclose(got, REFERENCE + np.array([first / 2, (first + 6) / 2]), atol=1e-2)
    assert detector.batches == [1]
    assert detector.canvases[0].shape == (CANVAS, CANVAS, 3)


def test_one_of_the_two_is_enough_and_without_either_the_landmarks_stay(astronaut: U8) -> None:
    np.testing.assert_allclose(
        on_canvas(refine_one(FakeDetector(([(REFERENCE + 2, 0.9)], [])), astronaut, LANDMARKS)),
        REFERENCE + 2,
        atol=1e-2,
    )
    np.testing.assert_allclose(
        on_canvas(refine_one(FakeDetector(([], [(flip(REFERENCE + 2), 0.9)])), astronaut, LANDMARKS)),
        REFERENCE + 2,
        atol=1e-2,
    )
    np.testing.assert_array_equal(refine_one(FakeDetector(([], [])), astronaut, LANDMARKS), LANDMARKS)


def test_another_face_on_the_canvas_is_ignored(astronaut: U8) -> None:
    neighbour = REFERENCE + np.array([1.5 * MAX_OFFSET, 0])
    got = refine_one(
        FakeDetector(([(neighbour, 1.0), (REFERENCE, 0.4)], [(flip(REFERENCE), 0.4)])), astronaut, LANDMARKS
    )
    np.testing.assert_allclose(on_canvas(got), REFERENCE, atol=1e-2)
    alone = FakeDetector(([(neighbour, 1.0)], [(flip(neighbour), 1.0)]))
    np.testing.assert_array_equal(refine_one(alone, astronaut, LANDMARKS), LANDMARKS)


def test_each_of_many_faces_has_its_own_landmarks(astronaut: U8, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbour = REFERENCE + np.array([1.5 * MAX_OFFSET, 0])
    results = [
        ([(REFERENCE + 3, 0.9), (REFERENCE - 1, 0.3)], [(flip(REFERENCE + 6), 0.5)]),
        ([], []),
        ([], [(flip(REFERENCE - 2), 0.9), (flip(REFERENCE + 5 * SAME_FACE), 0.8)]),
        ([(neighbour, 1.0)], [(flip(neighbour), 1.0)]),
        ([(REFERENCE + 1, 0.31)], []),
    ]
    images = [astronaut, np.ascontiguousarray(astronaut[:, 100:])]
    pictures = [0, 1, 1, 0, 1]
    landmarks = np.stack([LANDMARKS - np.float32([100 * picture, 0]) for picture in pictures])
    expected: list[float | None] = [(2 + 6) / 2, None, -2, None, 1]
    alone = [
        refine_one(FakeDetector(result), images[picture], points)
        for result, picture, points in zip(results, pictures, landmarks, strict=True)
    ]
    for at_once, batches in ((64, [5]), (2, [2, 2, 1])):
        monkeypatch.setattr(module, "_AT_ONCE", at_once)
        detector = FakeDetector(*results)
        got = refine(detector, images, faces_with(landmarks, pictures))
        assert detector.batches == batches
        np.testing.assert_array_equal(got, np.stack(alone))
        for points, given, picture, moved in zip(got, landmarks, pictures, expected, strict=True):
            if moved is None:
                np.testing.assert_array_equal(points, given)
            else:
                in_photo = points + np.float32([100 * picture, 0])
                np.testing.assert_allclose(on_canvas(in_photo), REFERENCE + moved, atol=1e-2)
        # Both images show the same face.
        for canvas in detector.canvases[1:]:
            assert np.abs(canvas[:, 160:].astype(int) - detector.canvases[0][:, 160:]).mean() < 1
    assert refine(FakeDetector(), [], faces_with(landmarks[:0], [])).shape == (0, 5, 2)


def test_refined_landmarks_hardly_move_with_the_picture(yunet: FaceDetector, astronaut: U8) -> None:
    first, second = [], []
    for ratio, x, y in ((1, 0, 0), (0.6, 3, 9), (1.37, 7, 3), (1.9, 11, 5), (3, 4, 8)):
        image = cv2.resize(astronaut, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(image[y:, x:])
        (face,) = find_in(yunet, image, 0.5)
        for found, points in (
            (first, face.landmarks),
            (second, refine_one(yunet, image, face.landmarks)),
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
    got = refine_one(yunet, astronaut, given)
    assert got.shape == (5, 2)
    assert np.isfinite(got).all()
