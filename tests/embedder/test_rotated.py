"""Faces on their side or upside down are found, with the landmarks of the upright face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectors import LANDMARKS, cosine
from encoded import encode

from arcage.embedder.candidates import Candidates, FaceDetector
from arcage.embedder.detect import find_faces
from arcage.embedder.extractor import Extractor
from arcage.embedder.rotated import UPRIGHT_SCORE, find_rotated, set_upright
from arcage.types import U8, Array, Face

TOLERANCE = 12
"""Pixels, with the eyes 47 apart: these landmarks are not refined."""


def rotate(image: U8, quarters: int) -> U8:
    return np.ascontiguousarray(np.rot90(image, quarters))


def back(points: Array, quarters: int, side: int = 512) -> Array:
    """Map points of a rotated image to the original."""
    for _ in range(quarters):
        points = np.stack([side - 1 - points[:, 1], points[:, 0]], axis=1)
    return points


class CountingDetector:
    """Counts its runs."""

    def __init__(self, detector: FaceDetector) -> None:
        self.detector = detector
        self.runs = 0

    def candidates(self, canvas: U8, threshold: float) -> Candidates:
        self.runs += 1
        return self.detector.candidates(canvas, threshold)


def test_an_upright_face_stays_as_it_is_and_costs_nothing(yunet: FaceDetector, astronaut: U8) -> None:
    (face,) = find_faces(yunet, astronaut, 0.5)
    counting = CountingDetector(yunet)
    assert set_upright(counting, astronaut, face) is face
    assert counting.runs == 0
    # With a low score it costs one detector run, and stays unchanged.
    low = Face(face.box, face.landmarks, UPRIGHT_SCORE - 0.01)
    assert set_upright(counting, astronaut, low) is low
    assert counting.runs == 1


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_rotated_face_has_the_landmarks_of_the_upright_one(
    quarters: int, yunet: FaceDetector, astronaut: U8
) -> None:
    image = rotate(astronaut, quarters)
    found = find_faces(yunet, image, 0.5) or find_rotated(yunet, image, 0.5)
    (face,) = [set_upright(yunet, image, face) for face in found]
    assert np.abs(back(face.landmarks, quarters) - LANDMARKS).max() < TOLERANCE
    assert np.abs(back(face.box.reshape(2, 2), quarters).mean(axis=0) - [223.5, 119]).max() < 15


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_picture_without_upright_faces_is_rotated(
    quarters: int, yunet: FaceDetector, astronaut: U8
) -> None:
    # At twice the size, the picture is reduced for the search.
    large = cv2.resize(astronaut, (1024, 1024), interpolation=cv2.INTER_LINEAR)
    for size, image in ((1, astronaut), (2, large)):
        rotated = rotate(image, quarters)
        for face in find_rotated(yunet, rotated, 0.5):
            points = back(face.landmarks, quarters, 512 * size) / size
            assert np.abs(points - LANDMARKS).max() < TOLERANCE
        if quarters % 2:
            assert len(find_rotated(yunet, rotated, 0.5)) == 1


def test_some_faces_of_a_picture_are_rotated(yunet: FaceDetector, astronaut: U8) -> None:
    head = astronaut[20:240, 110:330]
    image = np.concatenate([head, rotate(head, 2), head[:, ::-1], rotate(head, 2)], axis=1)
    faces = [set_upright(yunet, image, face) for face in find_faces(yunet, image, 0.5)]
    assert len(faces) == 4
    for face in faces:
        eyes, mouth = face.landmarks[:2, 1].mean(), face.landmarks[3:, 1].mean()
        column = int(face.landmarks[:, 0].mean() // 220)
        assert (eyes < mouth) == (column % 2 == 0)


def test_the_descriptor_of_a_rotated_face_is_that_of_the_upright_one(
    extractor: Extractor, astronaut: U8
) -> None:
    (upright,) = extractor.extract(encode(astronaut, ".png")).descriptors
    for quarters in (1, 2, 3):
        (descriptor,) = extractor.extract(encode(rotate(astronaut, quarters), ".png")).descriptors
        assert cosine(upright, descriptor) > 0.97, quarters


def test_pictures_without_a_face(yunet: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    for image in (
        rng.integers(0, 256, (600, 900, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 3000, 3), 255, np.uint8),
        np.full((200, 100, 3), 255, np.uint8),
    ):
        assert find_rotated(yunet, image, 0.5) == ()
