"""Detection: the faces of images of every size and shape, each once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from detectors import FACE, FakeDetector, faces_of, find_in, iou, resize, same_candidates

from arcage.embedder.candidates import FaceDetector
from arcage.embedder.detect import find_faces
from arcage.embedder.views import PHOTO, search_view
from arcage.images.decoder import decode
from arcage.types import U8, Array

SHARED = Path(__file__).parents[3] / "shared" / "data"


def crop_face(astronaut: U8, margin: float = 0.0) -> tuple[U8, Array]:
    """Return the face with a margin, as a share of its size, and its box in the crop."""
    size = np.tile(FACE[2:] - FACE[:2], 2)
    x1, y1, x2, y2 = np.round(FACE + margin * size * [-1, -1, 1, 1]).astype(int)
    return np.ascontiguousarray(astronaut[y1:y2, x1:x2]), FACE - [x1, y1, x1, y1]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (257, 1), (3, 2), (1, 256)])
def test_images_of_a_few_pixels_do_not_crash(width: int, height: int, yunet: FaceDetector) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    fake = FakeDetector()
    for detector in (yunet, fake):
        assert find_in(detector, image, 0.5) == []
    assert all(canvas.any() for canvas in fake.canvases)


def test_the_photo_at_every_size(yunet: FaceDetector, astronaut: U8) -> None:
    for side in (64, 200, 256, 257, 512, 900, 1000, 6000):
        image = resize(astronaut, side, side)
        (face,) = find_in(yunet, image, 0.5)
        assert iou(face.box, FACE * side / 512) > 0.7, side
        left, right, nose, *mouth = face.landmarks
        assert left[0] < nose[0] < right[0]
        assert max(left[1], right[1]) < nose[1] < min(point[1] for point in mouth)


def test_a_small_face_in_a_very_large_photo(yunet: FaceDetector, astronaut: U8) -> None:
    photo = np.full((4000, 6000, 3), 90, np.uint8)
    photo[3000:3400, 4000:4400] = resize(astronaut, 400, 400)
    (face,) = find_in(yunet, photo, 0.5)
    assert iou(face.box, FACE * 400 / 512 + [4000, 3000] * 2) > 0.7


def test_two_faces_far_apart(yunet: FaceDetector, astronaut: U8) -> None:
    panorama = np.full((500, 3000, 3), 100, np.uint8)
    panorama[50:450, 10:310] = astronaut[:400, 100:400]
    panorama[80:480, 2680:2980] = astronaut[:400, 400:100:-1]
    faces = sorted(find_in(yunet, panorama, 0.5), key=lambda face: face.box[0])
    assert len(faces) == 2
    assert iou(faces[0].box, FACE + [10 - 100, 50] * 2) > 0.7
    mirrored = np.array([400 - FACE[2], FACE[1], 400 - FACE[0], FACE[3]])
    assert iou(faces[1].box, mirrored + [2680, 80] * 2) > 0.7


def test_every_face_of_a_group(yunet: FaceDetector, astronaut: U8) -> None:
    head = astronaut[20:220, 130:330]
    photo = np.full((900, 1400, 3), 128, np.uint8)
    places = [(20, 30, 200), (300, 60, 120), (600, 20, 300), (1000, 100, 180), (100, 500, 350)]
    places += [(700, 600, 80), (1100, 500, 250)]
    for x, y, side in places:
        photo[y : y + side, x : x + side] = resize(head, side, side)
    faces = find_in(yunet, photo, 0.5)
    assert len(faces) == len(places)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for x, y, side in places:
        expected = (FACE - [130, 20] * 2) * side / 200 + [x, y] * 2
        assert sum(iou(face.box, expected) > 0.7 for face in faces) == 1


@pytest.mark.parametrize("long", [90, 200, 300, 700, 1500, 3000])
def test_a_crop_as_tight_as_the_face(long: int, yunet: FaceDetector, astronaut: U8) -> None:
    for margin in (-0.1, 0.0, 0.1):
        crop, box = crop_face(astronaut, margin)
        ratio = long / max(crop.shape)
        image = resize(crop, round(crop.shape[1] * ratio), long)
        (face,) = find_in(yunet, image, 0.5)
        assert iou(face.box, box * ratio) > 0.7


def test_a_face_at_the_border_is_searched_again_with_a_margin(yunet: FaceDetector, astronaut: U8) -> None:
    crop, box = crop_face(astronaut, -0.15)
    ratio = 900 / len(crop)
    image = resize(crop, round(crop.shape[1] * ratio), 900)
    # The first view does not show it well.
    first = search_view(yunet, [image], PHOTO, 0.5)
    assert first.scores.max(initial=0) < 0.7
    assert max((iou(found, box * ratio) for found in first.boxes), default=0) < 0.7
    (face,) = find_in(yunet, image, 0.5)
    assert face.score > 0.9
    assert iou(face.box, box * ratio) > 0.7
    # Such a box extends beyond the border.
    assert face.box[1] < 0


def test_half_a_face_at_the_border(yunet: FaceDetector, astronaut: U8) -> None:
    image = np.ascontiguousarray(astronaut[:, 222:])
    (face,) = find_in(yunet, image, 0.5)
    assert iou(np.clip(face.box, 0, None), np.array([0, FACE[1], FACE[2] - 222, FACE[3]])) > 0.6


def test_pictures_without_a_face(yunet: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    for image in (
        rng.integers(0, 256, (1280, 1280, 3), np.uint8),
        rng.integers(0, 256, (200, 200, 3), np.uint8),
        np.zeros((300, 300, 3), np.uint8),
        np.full((700, 300, 3), 255, np.uint8),
    ):
        assert find_in(yunet, image, 0.5) == []


def test_images_of_all_kinds_together_have_the_faces_of_each_alone(
    yunet: FaceDetector, astronaut: U8
) -> None:
    # Small, with and without a margin; photos; a large one; one with tiles; and some without a face.
    crop, _ = crop_face(astronaut, -0.15)
    portrait = resize(astronaut, 260, 260)
    tiled = np.full((400, 6000, 3), 120, np.uint8)
    tiled[50:310, 5000:5260] = portrait
    images = [
        tiled,
        resize(astronaut, 200, 200),
        np.zeros((1, 1, 3), np.uint8),
        resize(crop, 900 * crop.shape[1] // len(crop), 900),
        np.full((300, 500, 3), 90, np.uint8),
        astronaut,
        np.concatenate([portrait, portrait[:, ::-1]], axis=1),
        resize(astronaut, 1600, 1600),
        astronaut,
    ]
    alone = [find_faces(yunet, [image], 0.5) for image in images]
    assert [len(found) for found in alone] == [1, 1, 0, 1, 0, 1, 2, 1, 1]
    together = find_faces(yunet, images, 0.5)
    assert together.pictures.tolist() == [0, 1, 3, 5, 6, 6, 7, 8]
    for i, expected in enumerate(alone):
        same_candidates(together.select(together.pictures == i), expected.numbered([i]))
    assert len(find_faces(yunet, [], 0.5)) == 0


def test_canvases_of_one_shape_are_searched_together() -> None:
    detector = FakeDetector()
    shapes = [(480, 640), (100, 100), (640, 480), (200, 256), (470, 640)]
    found = find_faces(detector, [np.full((*shape, 3), 255, np.uint8) for shape in shapes], 0.5)
    assert len(found) == 0
    # Two small images; two wide photos and a high one; then all photos with a margin.
    assert detector.batches == [2, 2, 1, 3]
    assert detector.sizes == ["256x256"] * 2 + ["640x480"] * 2 + ["480x640"] + ["256x256"] * 3


def test_only_photos_without_faces_or_with_some_at_the_border_are_searched_again() -> None:
    boxes = {10: (200, 200, 300, 300, 0.9), 20: (0, 200, 100, 300, 0.9), 40: (540, 200, 640, 300, 0.9)}

    def find(canvas: U8) -> list[tuple[float, ...]]:
        level = int(canvas[len(canvas) // 2, canvas.shape[1] // 2, 0])
        return [boxes[level]] if level in boxes and len(canvas) == 640 else []

    detector = FakeDetector(find)
    images = [np.full((640, 640, 3), level, np.uint8) for level in (10, 20, 30, 40)]
    found = find_faces(detector, images, 0.5)
    assert found.pictures.tolist() == [0, 1, 3]
    assert [face.box.tolist() for face in faces_of(found, 3)] == [[540, 200, 640, 300]]
    assert detector.batches == [4, 3]
    assert [int(canvas[160, 160, 0]) for canvas in detector.canvases[4:]] == [20, 30, 40]


def test_eight_threads_at_once(yunet: FaceDetector, astronaut: U8) -> None:
    images = [astronaut, np.ascontiguousarray(astronaut[:, ::-1]), resize(astronaut, 200, 200)] * 8
    expected = [find_in(yunet, image, 0.5) for image in images[:3]] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: find_in(yunet, image, 0.5), images))
    for ours, alone in zip(found, expected, strict=True):
        assert len(ours) == len(alone) == 1
        np.testing.assert_allclose(ours[0].box, alone[0].box, atol=1e-3)
        np.testing.assert_allclose(ours[0].landmarks, alone[0].landmarks, atol=1e-3)


@pytest.mark.shared
def test_utkface_and_lfw(yunet: FaceDetector) -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    crops = sorted((SHARED / "utkface").glob("*.jpg"))[::317][:60]
    photos = sorted((SHARED / "lfw").glob("*/*.jpg"))[::83][:40]
    assert (len(crops), len(photos)) == (60, 40)
    for path in crops:
        faces = find_in(yunet, decode(path.read_bytes()), 0.5)
        assert faces, path
        # UTKFace is aligned: eyes and mouth are at the same places in all crops.
        assert iou(faces[0].box, np.array([20.0, 5.0, 175.0, 190.0])) > 0.4, path
    for path in photos:
        # The labelled person is in the middle of the picture.
        faces = find_in(yunet, decode(path.read_bytes()), 0.5)
        assert any(iou(face.box, np.array([80.0, 70.0, 170.0, 185.0])) > 0.4 for face in faces), path
