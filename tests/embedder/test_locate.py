"""Faces in boxes that the user gave."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from encoded import encode

from arcage.embedder import locate as module
from arcage.embedder.align import SIDE, TEMPLATE
from arcage.embedder.candidates import Candidates, FaceDetector, joined
from arcage.embedder.extractor import Extractor
from arcage.embedder.locate import CANONICAL, locate
from arcage.embedder.reading import with_faces
from arcage.sources.own_faces import aligned_crop, own_faces
from arcage.types import F32, U8, Face, ImageFaces


class NoDetector:
    """Finds nothing, and counts the canvases."""

    canvases = 0

    def candidates(self, canvases: U8, threshold: float, *, mirrored: bool = False) -> Candidates:
        self.canvases += len(canvases)
        return joined([])


@pytest.fixture(scope="session")
def found(extractor: Extractor, photo: bytes) -> Face:
    """The face that is detected in the example photo."""
    return extractor.extract(photo).faces[0]


def extract(extractor: Extractor, data: bytes, *given: Any) -> ImageFaces:
    faces = given[0] if len(given) == 1 and not isinstance(given[0], np.ndarray) else own_faces(*given)
    return next(iter(extractor.stream([(None, lambda: with_faces(lambda: data, faces))])))[1]


def eye_distances(landmarks: F32, expected: F32) -> float:
    """Return the mean distance of landmarks, in distances of the eyes."""
    eyes = np.linalg.norm(expected[1] - expected[0])
    return float(np.linalg.norm(landmarks - expected, axis=1).mean() / eyes)


def test_given_landmarks_are_kept_and_nothing_is_searched() -> None:
    detector = NoDetector()
    image = np.zeros((100, 200, 3), np.uint8)
    faces = own_faces([[10, 20, 50, 80], [-5, 0, 3, 9]], np.stack([TEMPLATE, TEMPLATE + 3]))
    got = locate(detector, [image, image], [None, faces])
    assert detector.canvases == 0
    assert np.array_equal(got.boxes, faces.boxes)
    assert np.array_equal(got.landmarks, faces.landmarks)
    assert got.scores.tolist() == [1, 1]
    assert got.pictures.tolist() == [1, 1]


def test_an_aligned_crop_is_one_face_at_the_template() -> None:
    got = locate(NoDetector(), [np.zeros((SIDE, SIDE, 3), np.uint8)], [aligned_crop()])
    assert got.boxes.tolist() == [[0, 0, 112, 112]]
    assert np.array_equal(got.landmarks[0], TEMPLATE.astype(np.float32))
    assert got.scores.tolist() == [1]


def test_without_a_face_the_landmarks_are_those_of_an_average_face() -> None:
    detector = NoDetector()
    got = locate(detector, [np.zeros((300, 300, 3), np.uint8)], [own_faces([[100, 50, 200, 250]])])
    assert detector.canvases == 2  # the part around the box, and its four orientations on one canvas
    assert got.scores.tolist() == [0]
    assert got.landmarks[0, 0].tolist() == pytest.approx([100 + 27, 50 + 0.36 * 200])
    assert got.landmarks[0, 2].tolist() == pytest.approx([150, 50 + 0.56 * 200])


@pytest.mark.parametrize("box", [(-90, 0, -10, 50), (300, 0, 350, 50), (0, -80, 40, 0), (10, 301, 40, 900)])
def test_a_box_outside_of_the_image_has_no_face(box: tuple[int, ...]) -> None:
    got = locate(NoDetector(), [np.zeros((300, 300, 3), np.uint8)], [own_faces([box])])
    assert got.scores.tolist() == [0]
    assert np.isfinite(got.landmarks).all()


def test_images_without_faces() -> None:
    images = [np.zeros((50, 50, 3), np.uint8)] * 2
    assert len(locate(NoDetector(), images, [own_faces([]), None])) == 0


def test_own_boxes_and_landmarks_give_the_same_descriptors(
    extractor: Extractor, photo: bytes, found: Face
) -> None:
    expected = extractor.extract(photo)
    got = extract(extractor, photo, found.box, found.landmarks)
    assert np.array_equal(got.descriptors, expected.descriptors)
    assert got.faces[0].score == 1
    assert (got.status, got.width, got.height) == ("ok", 512, 512)
    # With another key: a cache must not take one for the other.
    assert got.sha256 != expected.sha256


@pytest.mark.parametrize(
    ("grow", "shift", "limit"),
    [
        ((1, 1), (0, 0), 0.04),
        ((1.3, 1), (0, 0), 0.04),
        ((1.6, 1.6), (0, 0.1), 0.04),
        ((0.75, 0.75), (0, 0), 0.04),
        ((1, 1), (0.15, -0.15), 0.04),
    ],
)
def test_landmarks_are_found_in_boxes_of_other_detectors(
    grow: tuple[float, float],
    shift: tuple[float, float],
    limit: float,
    extractor: Extractor,
    photo: bytes,
    found: Face,
) -> None:
    size = found.box[2:] - found.box[:2]
    middle = (found.box[:2] + found.box[2:]) / 2 + np.array(shift) * size
    half = np.array(grow) * size / 2
    box = np.concatenate([middle - half, middle + half]).astype(np.float32)
    (got,) = extract(extractor, photo, box).faces
    assert np.array_equal(got.box, box)  # the box of the user, not of the detector
    assert got.score > 0.8
    assert eye_distances(got.landmarks, found.landmarks) < limit


@pytest.mark.parametrize(
    "rotation", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE]
)
def test_a_face_on_its_side(rotation: int, extractor: Extractor, astronaut: U8) -> None:
    turned = encode(cv2.rotate(astronaut, rotation), ".png")
    expected = extractor.extract(turned).faces[0]
    (got,) = extract(extractor, turned, expected.box).faces
    assert got.score > 0.85
    assert eye_distances(got.landmarks, expected.landmarks) < 0.05


def test_each_box_gets_the_face_in_it(extractor: Extractor, astronaut: U8) -> None:
    """Of two faces side by side, and in the order of the user."""
    part = astronaut[40:200, 150:300]
    image = encode(np.hstack([part, part[:, ::-1]]), ".png")
    faces = sorted(extractor.extract(image).faces, key=lambda face: -float(face.box[0]))
    assert len(faces) == 2
    boxes = np.stack([face.box for face in faces])
    got = extract(extractor, image, boxes)
    assert np.array_equal(np.stack([face.box for face in got.faces]), boxes)
    for face, expected in zip(got.faces, faces, strict=True):
        assert eye_distances(face.landmarks, expected.landmarks) < 0.1


def test_a_box_without_a_face_is_a_face_with_the_score_0(extractor: Extractor, photo: bytes) -> None:
    got = extract(extractor, photo, np.array([[400, 20, 500, 130], [177.9, 62.9, 268.5, 175.5]], np.float32))
    assert [face.score > 0 for face in got.faces] == [False, True]
    expected = np.array([400, 20]) + CANONICAL * [100, 110]
    assert np.allclose(got.faces[0].landmarks, expected)
    assert got.descriptors.shape == (2, extractor.dimension)


def test_images_with_and_without_boxes_may_come_together(
    extractor: Extractor, photo: bytes, found: Face
) -> None:
    faces = own_faces(found.box, found.landmarks)
    reads = [lambda: photo, lambda: with_faces(lambda: photo, faces), lambda: photo]
    images = [image for _, image in extractor.stream(enumerate(reads))]
    assert len({image.descriptors.tobytes() for image in images}) == 1
    assert len({image.sha256 for image in images}) == 2


def test_an_aligned_crop_has_the_descriptor_of_its_photo(
    extractor: Extractor, astronaut: U8, found: Face
) -> None:
    from arcage.embedder.align import similarity, warp

    matrix = similarity(found.landmarks[None])
    crop = warp([astronaut], np.zeros(1, np.intp), matrix, SIDE)[0]
    got = extract(extractor, encode(crop, ".png"), aligned_crop())
    expected = extract(extractor, encode(astronaut, ".png"), found.box, found.landmarks)
    assert np.array_equal(got.descriptors, expected.descriptors)
    assert got.faces[0].box.tolist() == [0, 0, 112, 112]


def test_an_aligned_crop_of_another_size_is_unreadable(extractor: Extractor, photo: bytes) -> None:
    got = extract(extractor, photo, aligned_crop())
    assert (got.status, got.error) == ("unreadable", "not an aligned crop of 112x112 pixels, but 512x512")
    assert got.sha256 != ""  # of the content, so that a cache keeps it


def test_own_faces_have_variants(make_extractor: Any, photo: bytes, found: Face) -> None:
    plain, variant = make_extractor(), make_extractor(variant=1)
    one, other = (extract(e, photo, found.box, found.landmarks) for e in (plain, variant))
    assert one.sha256 == other.sha256
    assert not np.array_equal(one.descriptors, other.descriptors)


def test_more_faces_than_are_searched_together(
    extractor: Extractor, photo: bytes, found: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    boxes = np.repeat(found.box[None], 5, axis=0)
    got = extract(extractor, photo, boxes)
    assert len({face.landmarks.tobytes() for face in got.faces}) == 1


def test_a_detector_is_asked_for_faces_of_any_size(yunet: FaceDetector, astronaut: U8, found: Face) -> None:
    """In a picture as large as those of cameras, and in one of a few pixels."""
    for scale in (0.2, 8):
        image = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        got = locate(yunet, [np.asarray(image, np.uint8)], [own_faces(found.box * scale)])
        assert got.scores[0] > 0.6
        assert eye_distances(got.landmarks[0] / np.float32(scale), found.landmarks) < 0.15
