"""Detection: images of every size and shape to the faces that are in them, once each."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from arcage.embedder import detect
from arcage.embedder.detect import FaceDetector, _nms, find_faces
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.types import F32, U8, Array

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

FACE = np.array([178.0, 63.0, 269.0, 175.0])
"""The astronaut's face, in the photo's pixels."""
SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def yunet(extractor: Extractor) -> FaceDetector:
    return extractor.networks.detector


def iou(a: Array, b: Array) -> float:
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def resize(image: U8, width: int, height: int) -> U8:
    how = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how)


def tight(astronaut: U8, margin: float = 0.0) -> tuple[U8, Array]:
    """The astronaut's face with so much around it as a share of the face, and the box in there."""
    size = np.tile(FACE[2:] - FACE[:2], 2)
    x1, y1, x2, y2 = np.round(FACE + margin * size * [-1, -1, 1, 1]).astype(int)
    return np.ascontiguousarray(astronaut[y1:y2, x1:x2]), FACE - [x1, y1, x1, y1]


class Recorder:
    """A detector that finds nothing, or what it is told, and keeps the canvases that it saw."""

    def __init__(self, find: Callable[[U8], list[tuple[float, ...]]] = lambda canvas: []) -> None:
        self.canvases: list[U8] = []
        self.find = find

    def candidates(self, canvas: U8, threshold: float) -> tuple[F32, F32, F32]:
        self.canvases.append(canvas)
        rows = np.array(self.find(canvas), np.float32).reshape(-1, 5)
        corners = rows[:, :4].reshape(-1, 2, 2)
        landmarks = corners[:, [0, 1, 0, 1, 0]]
        return rows[:, :4], landmarks, rows[:, 4]

    @property
    def sizes(self) -> list[str]:
        """Width x height."""
        return [f"{canvas.shape[1]}x{canvas.shape[0]}" for canvas in self.canvases]


# Non-maximum suppression


def slow_nms(boxes: F32, scores: F32) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if all(iou(boxes[i], boxes[j]) <= detect.OVERLAP for j in kept):
            kept.append(i)
    return kept


def test_of_boxes_that_overlap_the_best_is_kept() -> None:
    boxes = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [0, 5, 10, 15]])
    assert _nms(boxes, np.float32([0.6, 0.9, 0.7, 0.8])) == [1, 3, 2]
    assert _nms(np.empty((0, 4), np.float32), np.empty(0, np.float32)) == []
    # Boxes of no size and equal scores: in their order.
    assert _nms(np.zeros((3, 4), np.float32), np.ones(3, np.float32)) == [0, 1, 2]


def test_it_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5, 40, 40, 80):
        centre, half = rng.uniform(0, 300, (count, 2)), rng.uniform(1, 80, (count, 2))
        boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
        scores = rng.random(count).round(1).astype(np.float32)
        assert _nms(boxes, scores) == slow_nms(boxes, scores)


def test_thousands_of_candidates_stay_fast() -> None:
    # As many as a canvas of 1,280 pixels can give, and none overlaps another.
    rows, columns = np.divmod(np.arange(33_600), 184)
    corner = np.stack([columns, rows], axis=1) * 7.0
    boxes = np.concatenate([corner, corner + 6], axis=1).astype(np.float32)
    scores = np.random.default_rng(0).uniform(0.5, 1, len(boxes)).astype(np.float32)
    start = time.process_time()
    kept = _nms(boxes, scores)
    assert time.process_time() - start < 5
    assert kept == np.argsort(-scores, kind="stable")[: detect.CANDIDATES].tolist()


def test_parts_of_a_face_are_dropped_between_views_only() -> None:
    boxes = np.float32([[0, 0, 100, 100], [10, 10, 50, 50], [60, 60, 120, 120]])
    scores = np.float32([0.9, 0.6, 0.6])
    assert _nms(boxes, scores, np.array([0, 1, 1])) == [0, 2]
    assert _nms(boxes, scores, np.array([0, 0, 0])) == [0, 1, 2]


# Views


@pytest.mark.parametrize(
    ("width", "height", "sizes"),
    [
        (200, 200, ["320x320"]),
        (256, 256, ["320x320"]),
        (257, 100, ["320x160", "320x320"]),
        (320, 320, ["320x320", "320x320"]),
        (640, 480, ["640x480", "320x320"]),
        (960, 960, ["640x640", "320x320"]),
        (961, 500, ["640x480", "1280x640", "320x320"]),
        (2800, 4200, ["480x640", "960x1280", "320x320"]),
    ],
)
def test_views_of_an_image_without_faces(width: int, height: int, sizes: list[str]) -> None:
    recorder = Recorder()
    assert find_faces(recorder, np.full((height, width, 3), 255, np.uint8), 0.5) == ()
    assert recorder.sizes == sizes
    for canvas in recorder.canvases:
        assert (canvas.dtype, canvas.shape[2]) == (np.uint8, 3)
        rows, columns = (np.flatnonzero(canvas.any(axis=(2, i))) for i in (1, 0))
        # Centred, and of the image's shape.
        assert abs(rows[0] - (len(canvas) - 1 - rows[-1])) <= 1
        assert abs(columns[0] - (canvas.shape[1] - 1 - columns[-1])) <= 1
        assert len(columns) / len(rows) == pytest.approx(width / height, rel=0.02)
    # The last try has a margin on all sides.
    assert max(len(rows), len(columns)) <= 200


def test_a_small_image_is_enlarged_and_has_a_margin() -> None:
    recorder = Recorder()
    find_faces(recorder, np.full((50, 25, 3), 255, np.uint8), 0.5)
    rows, columns = (np.flatnonzero(recorder.canvases[0].any(axis=(2, i))) for i in (1, 0))
    assert (rows[0], len(rows), columns[0], len(columns)) == (60, 200, 110, 100)


def test_boxes_come_back_in_the_images_pixels() -> None:
    def find(canvas: U8) -> list[tuple[float, ...]]:
        # The box around all that is not black.
        rows, columns = (np.flatnonzero(canvas.any(axis=(2, i))) for i in (1, 0))
        return [(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, 0.9)]

    for width, height in ((50, 25), (200, 200), (500, 300), (1000, 700), (4001, 1333)):
        image = np.full((height, width, 3), 255, np.uint8)
        (face,) = find_faces(Recorder(find), image, 0.5)
        np.testing.assert_allclose(face.box, [0, 0, width, height], atol=1e-3)
        np.testing.assert_allclose(face.landmarks[:2], [[0, 0], [width, height]], atol=1e-3)
        assert face.score == pytest.approx(0.9)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (257, 1), (3, 2), (1, 256)])
def test_images_of_a_few_pixels_do_not_crash(width: int, height: int, yunet: FaceDetector) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    recorder = Recorder()
    for detector in (yunet, recorder):
        assert find_faces(detector, image, 0.5) == ()
    assert all(canvas.any() for canvas in recorder.canvases)


# The bundled detector


def test_yunet_equals_opencvs(yunet: FaceDetector, astronaut: U8) -> None:
    canvas = np.zeros((640, 640, 3), np.uint8)
    canvas[64:576, 64:576] = astronaut
    canvas[:200, :200] = resize(astronaut, 200, 200)
    path = str(BUNDLED_FOLDER / "face_detection_yunet_2023mar.onnx")
    theirs = cv2.FaceDetectorYN.create(path, "", (640, 640), score_threshold=0.5, nms_threshold=0.4)
    _, found = theirs.detect(np.ascontiguousarray(canvas[:, :, ::-1]))
    boxes, landmarks, scores = yunet.candidates(canvas, 0.5)
    keep = _nms(boxes, scores)
    assert len(keep) == len(found) == 2
    assert (boxes.dtype, landmarks.dtype, scores.dtype) == (np.float32,) * 3
    for ours, row in zip(keep, sorted(found, key=lambda row: -row[14]), strict=True):
        box = np.concatenate([row[:2], row[:2] + row[2:4]])
        assert iou(boxes[ours], box) > 0.99
        assert np.abs(landmarks[ours] - row[4:14].reshape(5, 2)).max() < 0.5
        assert scores[ours] == pytest.approx(row[14], abs=1e-3)


def test_the_photo_at_every_size(yunet: FaceDetector, astronaut: U8) -> None:
    for side in (64, 200, 256, 257, 512, 900, 1000, 6000):
        image = resize(astronaut, side, side)
        (face,) = find_faces(yunet, image, 0.5)
        assert iou(face.box, FACE * side / 512) > 0.7, side
        left, right, nose, *mouth = face.landmarks
        assert left[0] < nose[0] < right[0]
        assert max(left[1], right[1]) < nose[1] < min(point[1] for point in mouth)


def test_a_small_face_in_a_very_large_photo(yunet: FaceDetector, astronaut: U8) -> None:
    photo = np.full((4000, 6000, 3), 90, np.uint8)
    photo[3000:3400, 4000:4400] = resize(astronaut, 400, 400)
    (face,) = find_faces(yunet, photo, 0.5)
    assert iou(face.box, FACE * 400 / 512 + [4000, 3000] * 2) > 0.7


def test_two_faces_far_apart(yunet: FaceDetector, astronaut: U8) -> None:
    panorama = np.full((500, 3000, 3), 100, np.uint8)
    panorama[50:450, 10:310] = astronaut[:400, 100:400]
    panorama[80:480, 2680:2980] = astronaut[:400, 400:100:-1]
    faces = sorted(find_faces(yunet, panorama, 0.5), key=lambda face: face.box[0])
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
    faces = find_faces(yunet, photo, 0.5)
    assert len(faces) == len(places)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for x, y, side in places:
        expected = (FACE - [130, 20] * 2) * side / 200 + [x, y] * 2
        assert sum(iou(face.box, expected) > 0.7 for face in faces) == 1


@pytest.mark.parametrize("long", [90, 200, 300, 700, 1500, 3000])
def test_a_crop_as_tight_as_the_face(long: int, yunet: FaceDetector, astronaut: U8) -> None:
    for margin in (-0.1, 0.0, 0.1):
        crop, box = tight(astronaut, margin)
        ratio = long / max(crop.shape)
        image = resize(crop, round(crop.shape[1] * ratio), long)
        (face,) = find_faces(yunet, image, 0.5)
        assert iou(face.box, box * ratio) > 0.7


def test_a_face_at_the_border_is_searched_again_with_a_margin(yunet: FaceDetector, astronaut: U8) -> None:
    crop, box = tight(astronaut, -0.15)
    ratio = 900 / len(crop)
    image = resize(crop, round(crop.shape[1] * ratio), 900)
    # The first look is of no use.
    boxes, _, scores = detect._search(yunet, image, views.PHOTO, 0.5)
    assert scores.max(initial=0) < 0.7
    assert max((iou(found, box * ratio) for found in boxes), default=0) < 0.75
    (face,) = find_faces(yunet, image, 0.5)
    assert face.score > 0.9
    assert iou(face.box, box * ratio) > 0.75
    # Such a box reaches past the border.
    assert face.box[1] < 0


def test_half_a_face_at_the_border(yunet: FaceDetector, astronaut: U8) -> None:
    image = np.ascontiguousarray(astronaut[:, 222:])
    (face,) = find_faces(yunet, image, 0.5)
    assert iou(np.clip(face.box, 0, None), np.array([0, FACE[1], FACE[2] - 222, FACE[3]])) > 0.6


def test_pictures_without_a_face(yunet: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    for image in (
        rng.integers(0, 256, (1280, 1280, 3), np.uint8),
        rng.integers(0, 256, (200, 200, 3), np.uint8),
        np.zeros((300, 300, 3), np.uint8),
        np.full((700, 300, 3), 255, np.uint8),
    ):
        assert find_faces(yunet, image, 0.5) == ()


def test_eight_threads_at_once(yunet: FaceDetector, astronaut: U8) -> None:
    images = [astronaut, np.ascontiguousarray(astronaut[:, ::-1]), resize(astronaut, 200, 200)] * 8
    expected = [find_faces(yunet, image, 0.5) for image in images[:3]] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: find_faces(yunet, image, 0.5), images))
    for ours, alone in zip(found, expected, strict=True):
        assert len(ours) == len(alone) == 1
        np.testing.assert_allclose(ours[0].box, alone[0].box, atol=1e-3)
        np.testing.assert_allclose(ours[0].landmarks, alone[0].landmarks, atol=1e-3)


def read(path: Path) -> Any:
    from arcage.images.decode import decode

    return decode(path.read_bytes())


@pytest.mark.shared
def test_utkface_and_lfw(yunet: FaceDetector) -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    crops = sorted((SHARED / "utkface").glob("*.jpg"))[::317][:60]
    photos = sorted((SHARED / "lfw").glob("*/*.jpg"))[::83][:40]
    assert (len(crops), len(photos)) == (60, 40)
    for path in crops:
        faces = find_faces(yunet, read(path), 0.5)
        assert faces, path
        # UTKFace is aligned: eyes and mouth lie where they lie in all of them.
        assert iou(faces[0].box, np.array([20.0, 5.0, 175.0, 190.0])) > 0.4, path
    for path in photos:
        # The person of the label is in the middle of the picture.
        faces = find_faces(yunet, read(path), 0.5)
        assert any(iou(face.box, np.array([80.0, 70.0, 170.0, 185.0])) > 0.4 for face in faces), path


# Tiles


def scene(astronaut: U8, width: int, height: int, face: int, places: list[tuple[int, int]]) -> U8:
    """Draw portraits with a given face width on grey, each at its upper left corner."""
    scale = face / float(FACE[2] - FACE[0])
    portrait = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.full((height, width, 3), 120, np.uint8)
    for x, y in places:
        image[y : y + len(portrait), x : x + portrait.shape[1]] = portrait
    return image


def found_of(
    yunet: FaceDetector, image: U8, face: int, places: list[tuple[int, int]], min_face: int
) -> tuple[int, int]:
    """Return how many of the portraits are found once, and how many faces in all."""
    faces = find_faces(yunet, image, 0.5, min_face)
    boxes = [FACE * face / float(FACE[2] - FACE[0]) + [x, y, x, y] for x, y in places]
    return sum(sum(iou(f.box, box) > 0.5 for f in faces) == 1 for box in boxes), len(faces)


@pytest.mark.parametrize(
    ("width", "height", "face", "min_face"),
    [(12000, 500, 80, 40), (500, 20000, 60, 40), (7000, 3000, 45, 40), (5000, 600, 20, 20), (900, 700, 9, 8)],
)
def test_small_faces_of_large_images(
    width: int, height: int, face: int, min_face: int, yunet: FaceDetector, astronaut: U8
) -> None:
    side = round(512 * face / 91) + 1
    across, down = np.linspace(5, width - side - 5, 6), np.linspace(5, height - side - 5, 6)
    places = [(int(x), int(y)) for x, y in zip(across, down, strict=True)]
    image = scene(astronaut, width, height, face, places)
    hits, every = found_of(yunet, image, face, places, min_face)
    assert hits == 6
    assert every <= 7
    # Too small for the views of the whole image.
    assert found_of(yunet, image, face, places, 1000)[0] < 6


def test_a_face_across_tiles_is_one(yunet: FaceDetector, astronaut: U8) -> None:
    # The inner borders of the tiles are around the centre of this image.
    (first, second) = detect._cut(6000, 0.3, 64)
    for x in range(second[0] - 200, first[1] + 40, 60):
        places = [(x, 10)]
        image = scene(astronaut, 6000, 300, 50, places)
        assert found_of(yunet, image, 50, places, 40) == (1, 1), x


def test_a_large_face_in_a_very_large_image_is_one(yunet: FaceDetector, astronaut: U8) -> None:
    image = resize(astronaut, 6000, 6000)
    (face,) = find_faces(yunet, image, 0.5, 20)
    (before,) = find_faces(yunet, image, 0.5, 1000)
    np.testing.assert_array_equal(face.box, before.box)


@pytest.mark.parametrize(
    ("width", "height", "min_face", "tiles"),
    [
        (4266, 3200, 40, []),
        (4267, 3200, 40, ["960x960"] * 2),
        (12000, 2000, 40, ["1280x640"] * 3),
        (20000, 500, 40, ["1280x320"] * 6),
        (500, 20000, 40, ["320x1280"] * 6),
        (1280, 960, 12, []),
        (900, 700, 12, ["960x960"]),
        (256, 256, 10, ["320x320"]),
        (256, 256, 40, []),
    ],
)
def test_tiles_of_an_image(width: int, height: int, min_face: int, tiles: list[str]) -> None:
    image = np.full((height, width, 3), 255, np.uint8)
    without, recorder = Recorder(), Recorder()
    find_faces(without, image, 0.5, 1000)
    find_faces(recorder, image, 0.5, min_face)
    assert recorder.sizes == without.sizes + tiles
    assert detect.needs_tiles(width, height, min_face) == bool(tiles)


def test_tiles_show_every_pixel_and_overlap() -> None:
    for length in (1, 300, 4267, 8000, 12_500, 100_000):
        for scale in (0.1, 0.3, 1.0, 1.5):
            tiles = detect._cut(length, scale, 64)
            assert tiles[0][0] == 0
            assert tiles[-1][1] == length
            for (_, end, canvas), (start, _, _) in pairwise(tiles):
                assert (end - start) * scale >= 62
                assert canvas in (320, 640, 960, 1280)
            assert all(round((end - start) * scale) <= canvas for start, end, canvas in tiles)


def test_what_a_tile_cuts_is_left_to_its_neighbour() -> None:
    def find(canvas: U8) -> list[tuple[float, ...]]:
        # Half a face at each border of a canvas, and one in its middle.
        width = canvas.shape[1]
        middle = width / 2 - 10, 100, width / 2 + 10, 120
        return [(0, 100, 10, 120, 0.9), (width - 10, 100, width, 120, 0.8), (*middle, 0.7)]

    image = np.full((700, 12000, 3), 255, np.uint8)
    tiles = detect._search_tiles(Recorder(find), image, 0.5, 40)
    assert [len(scores) for _, _, scores in tiles] == [2, 1, 2]
    assert tiles[0][0][0][0] == 0
