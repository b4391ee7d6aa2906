"""Views: canvas sizes, margins, and coordinates in pixels of the image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectors import FakeDetector, find_in

from arcage.embedder import views
from arcage.types import U8


@pytest.mark.parametrize(
    ("width", "height", "sizes"),
    [
        (200, 200, ["256x256"]),
        (256, 256, ["256x256"]),
        (257, 100, ["320x160", "256x256"]),
        (320, 320, ["320x320", "256x256"]),
        (640, 480, ["640x480", "256x256"]),
        (960, 960, ["640x640", "256x256"]),
        (961, 500, ["640x480", "1280x640", "256x256"]),
        (2800, 4200, ["480x640", "960x1280", "256x256"]),
    ],
)
def test_views_of_an_image_without_faces(width: int, height: int, sizes: list[str]) -> None:
    detector = FakeDetector()
    assert find_in(detector, np.full((height, width, 3), 255, np.uint8), 0.5) == []
    assert detector.sizes == sizes
    for canvas in detector.canvases:
        assert (canvas.dtype, canvas.shape[2]) == (np.uint8, 3)
        rows, columns = (np.flatnonzero(canvas.any(axis=(2, i))) for i in (1, 0))
        # The image is centred, and keeps its aspect ratio.
        assert abs(rows[0] - (len(canvas) - 1 - rows[-1])) <= 1
        assert abs(columns[0] - (canvas.shape[1] - 1 - columns[-1])) <= 1
        assert len(columns) / len(rows) == pytest.approx(width / height, rel=0.02)
    # The last view has a margin on all sides.
    assert max(len(rows), len(columns)) <= 200


def test_a_small_image_is_enlarged_and_has_a_margin() -> None:
    detector = FakeDetector()
    find_in(detector, np.full((50, 25, 3), 255, np.uint8), 0.5)
    rows, columns = (np.flatnonzero(detector.canvases[0].any(axis=(2, i))) for i in (1, 0))
    assert (rows[0], len(rows), columns[0], len(columns)) == (28, 200, 78, 100)


def test_boxes_are_in_pixels_of_the_image() -> None:
    def find(canvas: U8) -> list[tuple[float, ...]]:
        # The box around all pixels that are not black.
        rows, columns = (np.flatnonzero(canvas.any(axis=(2, i))) for i in (1, 0))
        return [(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, 0.9)]

    for width, height in ((50, 25), (200, 200), (500, 300), (1000, 700), (4001, 1333)):
        image = np.full((height, width, 3), 255, np.uint8)
        (face,) = find_in(FakeDetector(find), image, 0.5)
        np.testing.assert_allclose(face.box, [0, 0, width, height], atol=1e-3)
        np.testing.assert_allclose(face.landmarks[:2], [[0, 0], [width, height]], atol=1e-3)
        assert face.score == pytest.approx(0.9)


def test_only_small_faces_are_taken_from_the_large_view() -> None:
    detector = FakeDetector(lambda canvas: [(0, 0, 310, 20, 0.9), (500, 500, 790, 700, 0.8)])
    image = np.full((1280, 1280, 3), 255, np.uint8)
    assert len(views.search_view(detector, [image], views.LARGE, 0.5)) == 1
    assert len(views.search_view(detector, [image], views.PHOTO, 0.5)) == 2


def test_a_view_of_several_images_is_in_the_pixels_of_each() -> None:
    def find(canvas: U8) -> list[tuple[float, ...]]:
        rows, columns = (np.flatnonzero(canvas.any(axis=(2, i))) for i in (1, 0))
        return [(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, 0.9), (0, 0, 1, 1, canvas.max() / 255)]

    detector = FakeDetector(find)
    sizes = [(500, 330), (100, 90), (620, 470), (150, 150), (1000, 700), (1300, 910)]
    # The second candidate tells the images apart by their brightness.
    images = [np.full((h, w, 3), 255 - i, np.uint8) for i, (w, h) in enumerate(sizes)]
    found = views.search_view(detector, images, views.PHOTO, 0.5)
    assert detector.batches == [4, 2]
    assert found.pictures.tolist() == [i for i in range(len(sizes)) for _ in range(2)]
    for i, (width, height) in enumerate(sizes):
        rows = found.select(found.pictures == i)
        first = int(np.argmin(np.abs(rows.scores - 0.9)))
        np.testing.assert_allclose(rows.boxes[first], [0, 0, width, height], atol=1e-3)
        assert rows.scores[1 - first] == pytest.approx((255 - i) / 255)
        alone = views.search_view(FakeDetector(find), [images[i]], views.PHOTO, 0.5)
        np.testing.assert_array_equal(rows.boxes, alone.boxes)
    assert len(views.search_view(detector, [], views.TIGHT, 0.5)) == 0


def test_an_image_is_reduced_and_never_enlarged() -> None:
    image = np.zeros((300, 900, 3), np.uint8)
    assert views.reduced(image, 90).shape == (30, 90, 3)
    assert views.reduced(image, 900) is image
    assert views.reduced(image[:1], 90).shape == (1, 90, 3)


@pytest.mark.parametrize("shape", [(300, 400), (500, 350), (1001, 799), (2047, 1025), (4, 3000), (3000, 1)])
def test_a_reduced_image_is_an_average_and_nothing_moves(shape: tuple[int, int]) -> None:
    y, x = np.indices(shape)
    smooth = np.repeat((20 + 100 * y / shape[0] + 100 * x / shape[1])[..., None], 3, axis=2).astype(np.uint8)
    found = views.reduced(smooth, 200)
    expected = cv2.resize(smooth, found.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - expected).max() <= 1  # half a pixel is 0.25 to 0.5
    assert abs(found.mean() - expected.mean()) < 0.2
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert views.reduced(noise, 200).std() < 0.75 * noise.std()


@pytest.mark.parametrize(
    ("long_side", "content"), [(1, 200), (256, 200), (257, 257), (960, 640), (961, 961), (9000, 1280)]
)
def test_the_size_of_the_finest_view(long_side: int, content: int) -> None:
    assert views.content_size(long_side) == content
