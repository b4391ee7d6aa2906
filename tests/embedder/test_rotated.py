"""Faces on their side or upside down are found, with the landmarks of the upright face."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from detectors import LANDMARKS, as_candidates, cosine, faces_of, find_in, same_candidates
from encoded import encode

from arcage.embedder import rotated as module
from arcage.embedder.candidates import Candidates, FaceDetector, joined
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
    """Records the number of canvases of each run."""

    def __init__(self, detector: FaceDetector) -> None:
        self.detector = detector
        self.runs: list[int] = []

    def candidates(self, canvases: U8, threshold: float, *, mirrored: bool = False) -> Candidates:
        self.runs.append(len(canvases))
        return self.detector.candidates(canvases, threshold, mirrored=mirrored)


def find_rotated_in(detector: FaceDetector, image: U8) -> list[Face]:
    """Return the faces of one image without upright faces."""
    return faces_of(find_rotated(detector, [image], 0.5))


def upright_in(detector: FaceDetector, image: U8, faces: list[Face]) -> list[Face]:
    """Return the faces of one image with the landmarks of their upright orientation."""
    return faces_of(set_upright(detector, [image], as_candidates(faces)))


def test_an_upright_face_stays_as_it_is_and_costs_nothing(yunet: FaceDetector, astronaut: U8) -> None:
    found = find_faces(yunet, [astronaut], 0.5)
    counting = CountingDetector(yunet)
    assert set_upright(counting, [astronaut], found) is found
    assert counting.runs == []
    # With a low score it costs one detector run, and stays unchanged.
    low = replace(found, scores=np.float32([UPRIGHT_SCORE - 0.01]))
    same_candidates(set_upright(counting, [astronaut], low), low)
    assert counting.runs == [1]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_rotated_face_has_the_landmarks_of_the_upright_one(
    quarters: int, yunet: FaceDetector, astronaut: U8
) -> None:
    image = rotate(astronaut, quarters)
    found = find_in(yunet, image, 0.5) or find_rotated_in(yunet, image)
    (face,) = upright_in(yunet, image, found)
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
        for face in find_rotated_in(yunet, rotated):
            points = back(face.landmarks, quarters, 512 * size) / size
            assert np.abs(points - LANDMARKS).max() < TOLERANCE
        if quarters % 2:
            assert len(find_rotated_in(yunet, rotated)) == 1


def test_some_faces_of_a_picture_are_rotated(yunet: FaceDetector, astronaut: U8) -> None:
    head = astronaut[20:240, 110:330]
    image = np.concatenate([head, rotate(head, 2), head[:, ::-1], rotate(head, 2)], axis=1)
    faces = upright_in(yunet, image, find_in(yunet, image, 0.5))
    assert len(faces) == 4
    for face in faces:
        eyes, mouth = face.landmarks[:2, 1].mean(), face.landmarks[3:, 1].mean()
        column = int(face.landmarks[:, 0].mean() // 220)
        assert (eyes < mouth) == (column % 2 == 0)


def test_doubtful_faces_of_several_images_are_turned_together(
    yunet: FaceDetector, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [astronaut, *(rotate(astronaut, quarters) for quarters in (1, 2, 3))]
    images += [cv2.resize(rotate(astronaut, 2), (800, 800))]
    sideways = [find_rotated(yunet, [image], 0.5) for image in images]
    found = joined(
        [
            (find_faces(yunet, [image], 0.5) if i in (0, 2, 4) else other).numbered([i])
            for i, (image, other) in enumerate(zip(images, sideways, strict=True))
        ]
    )
    assert found.pictures.tolist() == [0, 1, 2, 3, 4]
    doubtful = replace(found, scores=np.minimum(found.scores, np.float32(UPRIGHT_SCORE - 0.01)))
    alone = [set_upright(yunet, images, doubtful.select(np.array([i]))) for i in range(5)]
    for at_once, runs in ((64, [5]), (2, [2, 2, 1])):
        monkeypatch.setattr(module, "_AT_ONCE", at_once)
        counting = CountingDetector(yunet)
        got = set_upright(counting, images, doubtful)
        assert counting.runs == runs
        same_candidates(got, joined(alone))
    for face, quarters, side in zip(
        faces_of(got.numbered([0] * 5)), (0, 1, 2, 3, 2), (512,) * 4 + (800,), strict=True
    ):
        points = back(face.landmarks, quarters, side) * 512 / side
        assert np.abs(points - LANDMARKS).max() < TOLERANCE
    # Only those with a low score are searched again.
    counting = CountingDetector(yunet)
    scores = doubtful.scores.copy()
    scores[[0, 3]] = 0.95
    set_upright(counting, images, replace(doubtful, scores=scores))
    assert sum(counting.runs) == 3


def test_several_pictures_are_rotated_together(yunet: FaceDetector, astronaut: U8) -> None:
    wide = np.full((300, 520, 3), 120, np.uint8)
    head = astronaut[20:240, 110:330]
    wide[10:230, 20:240], wide[40:260, 270:490] = rotate(head, 1), rotate(head, 3)
    images = [
        rotate(astronaut, 1),
        np.zeros((1, 1, 3), np.uint8),
        wide,
        np.full((200, 100, 3), 255, np.uint8),
        rotate(cv2.resize(astronaut, (1024, 1024)), 3),
    ]
    found = find_rotated(yunet, images, 0.5)
    assert found.pictures.tolist() == [0, 2, 2, 4]
    for i, image in enumerate(images):
        same_candidates(found.select(found.pictures == i), find_rotated(yunet, [image], 0.5).numbered([i]))
    (first,), (last,) = faces_of(found, 0), faces_of(found, 4)
    assert np.abs(back(first.landmarks, 1) - LANDMARKS).max() < TOLERANCE
    assert np.abs(back(last.landmarks, 3, 1024) / 2 - LANDMARKS).max() < TOLERANCE
    assert len(find_rotated(yunet, [], 0.5)) == 0


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
        assert find_rotated_in(yunet, image) == []
