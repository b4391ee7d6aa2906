"""Faces on their side or upside down are found, and rotated upright."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from arcage.embedder.detect import FaceDetector, find_faces
from arcage.embedder.rotated import DOUBTFUL, find_rotated, set_upright
from arcage.types import U8, Array, Face

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

UPRIGHT = np.float32([[200.1, 101.6], [247.0, 102.4], [220.1, 124.3], [198.7, 142.3], [239.5, 143.3]])
"""Of the astronaut, as YuNet finds them."""
NEAR = 12
"""Pixels, with the eyes 47 apart: the landmarks are not refined yet."""


@pytest.fixture(scope="module")
def yunet(extractor: Extractor) -> FaceDetector:
    return extractor.networks.detector


def turn(image: U8, quarters: int) -> U8:
    return np.ascontiguousarray(np.rot90(image, quarters))


def back(points: Array, quarters: int, side: int = 512) -> Array:
    """Map points of a rotated image to the original."""
    for _ in range(quarters):
        points = np.stack([side - 1 - points[:, 1], points[:, 0]], axis=1)
    return points


class Counting:
    """A detector that counts its canvases."""

    def __init__(self, detector: FaceDetector) -> None:
        self.detector = detector
        self.looks = 0

    def candidates(self, canvas: U8, threshold: float) -> tuple[Array, Array, Array]:
        self.looks += 1
        return self.detector.candidates(canvas, threshold)


def test_an_upright_face_stays_as_it_is_and_costs_nothing(yunet: FaceDetector, astronaut: U8) -> None:
    (face,) = find_faces(yunet, astronaut, 0.5)
    counting = Counting(yunet)
    assert set_upright(counting, astronaut, face) is face
    assert counting.looks == 0
    # With a low score it costs one detector run, and stays unchanged.
    doubtful = Face(face.box, face.landmarks, DOUBTFUL - 0.01)
    assert set_upright(counting, astronaut, doubtful) is doubtful
    assert counting.looks == 1


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_face_has_the_landmarks_of_the_upright_one(
    quarters: int, yunet: FaceDetector, astronaut: U8
) -> None:
    image = turn(astronaut, quarters)
    found = find_faces(yunet, image, 0.5) or find_rotated(yunet, image, 0.5)
    (face,) = [set_upright(yunet, image, face) for face in found]
    assert np.abs(back(face.landmarks, quarters) - UPRIGHT).max() < NEAR
    assert np.abs(back(face.box.reshape(2, 2), quarters).mean(axis=0) - [223.5, 119]).max() < 15


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_picture_in_which_nothing_was_found_is_turned(
    quarters: int, yunet: FaceDetector, astronaut: U8
) -> None:
    # At twice the size the picture is reduced for the search.
    large = cv2.resize(astronaut, (1024, 1024), interpolation=cv2.INTER_LINEAR)
    for size, image in ((1, astronaut), (2, large)):
        turned = turn(image, quarters)
        for face in find_rotated(yunet, turned, 0.5):
            points = back(face.landmarks, quarters, 512 * size) / size
            assert np.abs(points - UPRIGHT).max() < NEAR
        if quarters % 2:
            assert len(find_rotated(yunet, turned, 0.5)) == 1


def test_some_of_the_faces_of_a_picture_are_turned(extractor: Extractor, astronaut: U8) -> None:
    head = astronaut[20:240, 110:330]
    image = np.concatenate([head, turn(head, 2), head[:, ::-1], turn(head, 2)], axis=1)
    detector = extractor.networks.detector
    faces = [set_upright(detector, image, face) for face in find_faces(detector, image, 0.5)]
    assert len(faces) == 4
    for face in faces:
        eyes, mouth = face.landmarks[:2, 1].mean(), face.landmarks[3:, 1].mean()
        column = int(face.landmarks[:, 0].mean() // 220)
        assert (eyes < mouth) == (column % 2 == 0)


def test_the_descriptor_of_a_turned_face_is_that_of_the_upright_one(
    extractor: Extractor, astronaut: U8
) -> None:
    (upright,) = _descriptors(extractor, astronaut)
    for quarters in (1, 2, 3):
        (descriptor,) = _descriptors(extractor, turn(astronaut, quarters))
        a, b = upright.astype(np.float64), descriptor.astype(np.float64)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.97, quarters


def _descriptors(extractor: Extractor, image: U8) -> Array:
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))
    assert done
    return extractor.extract(data.tobytes()).descriptors


def test_pictures_without_a_face(yunet: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    for image in (
        rng.integers(0, 256, (600, 900, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 3000, 3), 255, np.uint8),
        np.full((200, 100, 3), 255, np.uint8),
    ):
        assert find_rotated(yunet, image, 0.5) == ()
