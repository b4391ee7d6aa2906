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
from arcage.embedder.rotated import UPRIGHT_SCORE, set_turned, set_upright
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


def turned_in(detector: FaceDetector, images: list[U8], found: Candidates | None = None) -> Candidates:
    """Return the faces of images in their best orientations."""
    found = find_faces(detector, images, 0.5) if found is None else found
    return set_turned(detector, images, found, 0.5, 40)


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


def test_a_picture_with_an_upright_face_is_not_turned(yunet: FaceDetector, astronaut: U8) -> None:
    found = find_faces(yunet, [astronaut], 0.5)
    counting = CountingDetector(yunet)
    assert set_turned(counting, [astronaut], found, 0.5, 40) is found
    assert counting.runs == []
    # With a low score it is searched in three more orientations, and stays unchanged.
    low = replace(found, scores=np.float32([UPRIGHT_SCORE - 0.01]))
    same_candidates(set_turned(counting, [astronaut], low, 0.5, 40), low)
    assert counting.runs
    assert set_turned(counting, [], found.select(np.arange(0)), 0.5, 40).pictures.size == 0


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("side", [200, 512, 1024, 2000])
def test_a_turned_picture_has_the_faces_of_the_upright_one(
    quarters: int, side: int, yunet: FaceDetector, astronaut: U8
) -> None:
    image = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)[: side * 3 // 4]
    upright = find_faces(yunet, [image], 0.5)
    assert len(upright) == 1
    turned = rotate(image, quarters)
    found = turned_in(yunet, [turned])
    assert len(found) == 1
    width = image.shape[1] - 1
    height = image.shape[0] - 1
    for points, expected in (
        (found.landmarks[0], upright.landmarks[0]),
        (found.boxes.reshape(2, 2), upright.boxes.reshape(2, 2)),
    ):
        # From the upright picture to the turned one.
        x, y = expected.T
        there = {1: (y, width - x), 2: (width - x, height - y), 3: (height - y, x)}[quarters]
        assert np.abs(np.sort(points, axis=0) - np.sort(np.stack(there, axis=1), axis=0)).max() < 0.01
    assert found.scores == pytest.approx(upright.scores, abs=1e-4)


def test_pictures_of_all_orientations_together(yunet: FaceDetector, astronaut: U8) -> None:
    head = astronaut[20:240, 110:330]
    wide = np.full((300, 520, 3), 120, np.uint8)
    wide[10:230, 20:240], wide[40:260, 270:490] = rotate(head, 1), rotate(head, 1)
    images = [
        rotate(astronaut, 1),
        np.zeros((1, 1, 3), np.uint8),
        astronaut,
        wide,
        np.full((200, 100, 3), 255, np.uint8),
        rotate(cv2.resize(astronaut, (1024, 1024)), 3),
        rotate(astronaut, 2),
    ]
    found = turned_in(yunet, images)
    assert found.pictures.tolist() == [0, 2, 3, 3, 5, 6]
    for i, image in enumerate(images):
        same_candidates(found.select(found.pictures == i), turned_in(yunet, [image]).numbered([i]))
    for i, quarters, side in ((0, 1, 512), (2, 0, 512), (5, 3, 1024), (6, 2, 512)):
        (face,) = faces_of(found, i)
        assert np.abs(back(face.landmarks, quarters, side) * 512 / side - LANDMARKS).max() < TOLERANCE


def test_something_beside_a_face_on_its_side_is_replaced(yunet: FaceDetector, astronaut: U8) -> None:
    image = rotate(astronaut, 1)
    wrong = as_candidates([Face(np.float32([400, 400, 460, 470]), np.float32([[1, 2]] * 5), 0.6)])
    (face,) = faces_of(turned_in(yunet, [image], wrong))
    assert np.abs(back(face.landmarks, 1) - LANDMARKS).max() < TOLERANCE


class OnlyReduced:
    """Finds a good face on small canvases whose bright line lies down, and a doubtful one on all others."""

    def candidates(self, canvases: U8, threshold: float, *, mirrored: bool = False) -> Candidates:
        count, height, width, _ = canvases.shape
        rows, columns = (canvases[..., 0].max(axis=axis) > 200 for axis in (2, 1))
        good = (columns.sum(axis=1) > rows.sum(axis=1)) & (height * width < 400 * 400)
        boxes = np.tile(np.float32([100, 100, 150, 150]), (count, 1))
        scores = np.where(good, np.float32(0.95), np.float32(0.7))
        return Candidates(boxes, np.full((count, 5, 2), 120, np.float32), scores, np.arange(count))


def test_an_orientation_that_is_better_only_reduced_is_not_chosen() -> None:
    image = np.zeros((600, 600, 3), np.uint8)
    image[200:500, 300:310] = 255
    detector = OnlyReduced()
    found = find_faces(detector, [image], 0.5)
    assert found.scores == pytest.approx([0.7])
    same_candidates(set_turned(detector, [image], found, 0.5, 40), found)


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
    # The landmarks of the detector where it finds them, and of an upright face beside them.
    boxes = turned_in(yunet, images)
    seen = find_faces(yunet, images, 0.5)
    found = joined(
        [
            (seen if i in (0, 2, 4) else boxes).select((seen if i in (0, 2, 4) else boxes).pictures == i)
            for i in range(5)
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
        assert len(turned_in(yunet, [image])) == 0
