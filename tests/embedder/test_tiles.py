"""Tiles: small faces of large images are found, each once."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from detectors import FACE, FakeDetector, find_in, iou, resize

from arcage.embedder import tiles
from arcage.embedder.candidates import FaceDetector
from arcage.types import U8


def draw_portraits(astronaut: U8, width: int, height: int, face: int, places: list[tuple[int, int]]) -> U8:
    """Draw portraits with a given face width on grey; each place is an upper left corner."""
    scale = face / float(FACE[2] - FACE[0])
    portrait = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.full((height, width, 3), 120, np.uint8)
    for x, y in places:
        image[y : y + len(portrait), x : x + portrait.shape[1]] = portrait
    return image


def count_found(
    yunet: FaceDetector, image: U8, face: int, places: list[tuple[int, int]], min_face: int
) -> tuple[int, int]:
    """Return how many of the portraits are found exactly once, and how many faces are found in all."""
    faces = find_in(yunet, image, 0.5, min_face)
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
    image = draw_portraits(astronaut, width, height, face, places)
    hits, every = count_found(yunet, image, face, places, min_face)
    assert hits == 6
    assert every <= 7
    # The views of the whole image do not show them all.
    assert count_found(yunet, image, face, places, 1000)[0] < 6


def test_a_face_across_tiles_is_one(yunet: FaceDetector, astronaut: U8) -> None:
    # The inner borders of the tiles are near the centre of this image.
    (first, second) = tiles.segments(6000, 0.3, 64)
    for x in range(second.start - 200, first.stop + 40, 60):
        places = [(x, 10)]
        image = draw_portraits(astronaut, 6000, 300, 50, places)
        assert count_found(yunet, image, 50, places, 40) == (1, 1), x


def test_a_large_face_in_a_very_large_image_is_one(yunet: FaceDetector, astronaut: U8) -> None:
    image = resize(astronaut, 6000, 6000)
    (face,) = find_in(yunet, image, 0.5, 20)
    (before,) = find_in(yunet, image, 0.5, 1000)
    np.testing.assert_array_equal(face.box, before.box)


@pytest.mark.parametrize(
    ("width", "height", "min_face", "expected"),
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
def test_tiles_of_an_image(width: int, height: int, min_face: int, expected: list[str]) -> None:
    image = np.full((height, width, 3), 255, np.uint8)
    without, detector = FakeDetector(), FakeDetector()
    find_in(without, image, 0.5, 1000)
    find_in(detector, image, 0.5, min_face)
    assert detector.sizes == without.sizes + expected
    assert tiles.needs_tiles(width, height, min_face) == bool(expected)


def test_tiles_cover_the_image_and_overlap() -> None:
    for length in (1, 300, 4267, 8000, 12_500, 100_000):
        for scale in (0.1, 0.3, 1.0, 1.5):
            found = tiles.segments(length, scale, 64)
            assert found[0].start == 0
            assert found[-1].stop == length
            for one, following in pairwise(found):
                assert (one.stop - following.start) * scale >= 62
                assert one.canvas in (320, 640, 960, 1280)
            assert all(round((s.stop - s.start) * scale) <= s.canvas for s in found)


def test_a_panorama_has_no_more_tiles_than_half_of_each_needs() -> None:
    """The largest face that needs tiles would be as large as a tile, or larger."""
    for length in (30_000, 45_000, 45_511, 45_512, 65_535, 1_000_000):
        overlap = tiles.VIEW_FACE_HEIGHT * 1.5 * length / 1280
        found = tiles.segments(length, 1.5, overlap)
        assert (found[0].start, found[-1].stop) == (0, length)
        assert len(found) <= 1.5 * length / 640
        assert all(one.stop - following.start >= 425 for one, following in pairwise(found))


def test_a_face_at_the_border_of_a_tile_is_left_to_its_neighbour() -> None:
    def find(canvas: U8) -> list[tuple[float, ...]]:
        # Half a face at each border of a canvas, and one in its middle.
        width = canvas.shape[1]
        middle = width / 2 - 10, 100, width / 2 + 10, 120
        return [(0, 100, 10, 120, 0.9), (width - 10, 100, width, 120, 0.8), (*middle, 0.7)]

    image = np.full((700, 12000, 3), 255, np.uint8)
    found = list(tiles.search_tiles(FakeDetector(find), image, 0.5, 40))
    assert [len(candidates) for candidates in found] == [2, 1, 2]
    assert found[0].boxes[0][0] == 0


def test_tiles_of_a_row_are_searched_together_and_few_are_in_memory() -> None:
    def find(canvas: U8) -> list[tuple[float, ...]]:
        # The brightness of the tile's first pixels tells which it is.
        return [(100, 100, 120, 120, 0.5 + int(canvas[0, 4, 0]) / 510)]

    image = np.zeros((200, 40_000, 3), np.uint8)
    overlap = tiles.VIEW_FACE_HEIGHT * 0.3 * 40_000 / 1280
    columns = tiles.segments(40_000, 0.3, overlap)
    assert len(columns) > tiles._AT_ONCE
    for i, column in enumerate(columns):
        image[:, column.start : column.start + 200] = 10 * i
    detector = FakeDetector(find)
    found = list(tiles.search_tiles(detector, image, 0.5, 40))
    assert detector.batches == [tiles._AT_ONCE, len(columns) - tiles._AT_ONCE]
    assert len(found) == len(columns)
    for i, (candidates, column) in enumerate(zip(found, columns, strict=True)):
        assert candidates.pictures.tolist() == [0]
        assert candidates.scores[0] == pytest.approx(0.5 + 10 * i / 510)
        assert candidates.boxes[0, 0] == pytest.approx(column.start + 100 / 0.3, abs=1)
