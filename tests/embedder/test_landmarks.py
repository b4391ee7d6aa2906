"""The second look: the same landmarks wherever and however large the face lies in the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from arcage.embedder.align import SIDE, similarity
from arcage.embedder.detect import FaceDetector, find_faces
from arcage.embedder.landmarks import CANVAS, FAR, MIRRORED, NEAR, PLACES, THRESHOLD, refine
from arcage.types import F32, F64, U8

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

FIRST = np.float32([[200.1, 101.6], [247.0, 102.4], [220.1, 124.3], [198.7, 142.3], [239.5, 143.3]])
"""Of the astronaut, as YuNet finds them."""


class Fake:
    """A detector that tells what it is told for the face and, then, for its mirror image."""

    def __init__(self, *looks: list[tuple[F64, float]]) -> None:
        self.looks = list(looks)
        self.canvases: list[U8] = []

    def candidates(self, canvas: U8, threshold: float) -> tuple[F32, F32, F32]:
        assert threshold == THRESHOLD
        found = self.looks[len(self.canvases)]
        self.canvases.append(canvas)
        landmarks = np.array([f[0] for f in found], np.float32).reshape(-1, 5, 2)
        return np.zeros((len(found), 4), np.float32), landmarks, np.array([f[1] for f in found], np.float32)


def flip(points: F64) -> F64:
    return (points * [-1, 1] + [CANVAS - 1, 0])[MIRRORED]


def on_canvas(points: F32) -> F64:
    matrix = similarity(FIRST, PLACES)
    return points @ matrix[:, :2].T + matrix[:, 2]


def test_candidates_that_agree_are_averaged_over_both_looks(astronaut: U8) -> None:
    seen = [(PLACES + 3, 0.9), (PLACES - 1, 0.3), (PLACES + 5 * NEAR, 0.8)]
    mirrored = [(flip(PLACES + np.array([0, 6])), 0.5)]
    fake = Fake(seen, mirrored)
    got = on_canvas(refine(fake, astronaut, FIRST))
    first = (0.9 * 3 + 0.3 * -1) / 1.2
    np.testing.assert_allclose(got, PLACES + np.array([first / 2, (first + 6) / 2]), atol=1e-2)
    # The second picture is the first in a mirror, and the face stands upright in the middle of both.
    np.testing.assert_array_equal(fake.canvases[1], fake.canvases[0][:, ::-1])
    assert fake.canvases[0].shape == (CANVAS, CANVAS, 3)


def test_one_look_is_enough_and_none_leaves_them_as_they_were(astronaut: U8) -> None:
    np.testing.assert_allclose(
        on_canvas(refine(Fake([(PLACES + 2, 0.9)], []), astronaut, FIRST)), PLACES + 2, atol=1e-2
    )
    np.testing.assert_allclose(
        on_canvas(refine(Fake([], [(flip(PLACES + 2), 0.9)]), astronaut, FIRST)), PLACES + 2, atol=1e-2
    )
    assert refine(Fake([], []), astronaut, FIRST) is FIRST


def test_another_face_on_the_canvas_is_not_taken(astronaut: U8) -> None:
    neighbour = PLACES + np.array([1.5 * FAR, 0])
    got = refine(Fake([(neighbour, 1.0), (PLACES, 0.4)], [(flip(PLACES), 0.4)]), astronaut, FIRST)
    np.testing.assert_allclose(on_canvas(got), PLACES, atol=1e-2)
    assert refine(Fake([(neighbour, 1.0)], [(flip(neighbour), 1.0)]), astronaut, FIRST) is FIRST


def test_they_hardly_move_with_the_picture(extractor: Extractor, astronaut: U8) -> None:
    detector: FaceDetector = extractor.networks.detector
    first, second = [], []
    for ratio, x, y in ((1, 0, 0), (0.6, 3, 9), (1.37, 7, 3), (1.9, 11, 5), (3, 4, 8)):
        image = cv2.resize(astronaut, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(image[y:, x:])
        (face,) = find_faces(detector, image, 0.5)
        for found, points in (
            (first, face.landmarks),
            (second, refine(detector, image, face.landmarks)),
        ):
            found.append((points + [x, y] + 0.5) / ratio - 0.5)

    def spread(found: list[F64]) -> float:
        """Pixels of the aligned picture by which a point of the face moves."""
        middle = np.mean(found, axis=0)
        placed = [middle @ m[:, :2].T + m[:, 2] for m in map(similarity, found)]
        return float(np.sqrt(np.var(placed, axis=0).sum(axis=1).mean()))

    assert spread(second) < 0.6 * spread(first)
    assert spread(second) < 0.01 * SIDE
    assert np.abs(np.mean(second, axis=0) - np.mean(first, axis=0)).max() < 4


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), 1e6), -FIRST], ids=["one", "far", "-"])
def test_landmarks_without_sense_stay(points: F64, extractor: Extractor, astronaut: U8) -> None:
    given = points.astype(np.float32)
    got = refine(extractor.networks.detector, astronaut, given)
    assert got.shape == (5, 2)
    assert np.isfinite(got).all()
