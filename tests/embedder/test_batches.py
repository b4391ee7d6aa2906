"""Images that go through all stages together give the same results as alone, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from detectors import cosine, resize, side_by_side

from arcage.embedder import detect
from arcage.embedder import extractor as module
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.types import U8, ImageFaces

if TYPE_CHECKING:
    from arcage.embedder.candidates import Candidates, FaceDetector

pytestmark = pytest.mark.usefixtures("bundled", "one_worker")

SIZES = [(1,), (2, 4)]


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """All images after the first go through the stages together."""
    monkeypatch.setattr(module, "cores", lambda: 0)  # one worker


@pytest.fixture(scope="module")
def make_batched(compiled: Path) -> Callable[[tuple[int, ...]], Extractor]:
    """Return a function that returns an Extractor whose networks have these batch sizes."""
    made: dict[tuple[int, ...], Extractor] = {}

    def make(sizes: tuple[int, ...]) -> Extractor:
        if sizes not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", str(compiled))
                engine = OpenVinoEngine()
                engine.detector_batches = engine.embedder_batches = sizes
                patch.setattr(module, "make_engine", lambda *args, **kwargs: engine)
                made[sizes] = Extractor(device="cpu", precision="float32")
                assert made[sizes].networks.dimension
        return made[sizes]

    return make


@pytest.fixture(params=SIZES, ids=str)
def batched(request: pytest.FixtureRequest, make_batched: Any) -> Extractor:
    extractor: Extractor = make_batched(request.param)
    return extractor


def png(image: U8) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))
    assert done
    return data.tobytes()


@pytest.fixture(scope="module")
def crops(astronaut: U8) -> list[bytes]:
    """Six crops of one face that differ in position and size."""
    return [png(astronaut[20 - i : 220 - 3 * i, 120 - 2 * i : 320 - 5 * i]) for i in range(6)]


def together(extractor: Extractor, images: Sequence[bytes]) -> list[ImageFaces]:
    """Return the results of images that are one task."""
    # The first image of a stream is a task of its own.
    first = png(np.zeros((8, 8, 3), np.uint8))
    results = list(extractor.stream((i, lambda d=d: d) for i, d in enumerate([first, *images])))
    assert [number for number, _ in results] == list(range(len(images) + 1))
    return [image for _, image in results[1:]]


def assert_same(found: ImageFaces, expected: ImageFaces) -> None:
    """Compare two results. A batch of another size may change the last digits."""
    assert (found.sha256, found.status, found.error) == (expected.sha256, expected.status, expected.error)
    assert (found.width, found.height) == (expected.width, expected.height)
    assert len(found.faces) == len(expected.faces) == len(found.descriptors)
    for face, right in zip(found.faces, expected.faces, strict=True):
        np.testing.assert_allclose(face.box, right.box, atol=0.01)
        np.testing.assert_allclose(face.landmarks, right.landmarks, atol=0.01)
        assert face.score == pytest.approx(right.score, abs=1e-4)
    for descriptor, right in zip(found.descriptors, expected.descriptors, strict=True):
        assert cosine(descriptor, right) > 0.9999


def test_damaged_images_in_the_middle_keep_their_rows(batched: Extractor, crops: list[bytes]) -> None:
    images = [crops[0], crops[1], b"text", crops[2], crops[3][:100], b"", crops[4]]
    results = together(batched, images)
    assert [image.status for image in results] == [
        *("ok", "ok", "unreadable", "ok", "unreadable", "unreadable", "ok")
    ]
    for data, found in zip(images, results, strict=True):
        assert_same(found, batched.extract(data))


def test_a_task_of_damaged_images_only(batched: Extractor) -> None:
    assert [image.status for image in together(batched, [b"", b"text", b""])] == ["unreadable"] * 3


def test_a_crowd_of_400_faces_beside_crops(make_batched: Any, crops: list[bytes], astronaut: U8) -> None:
    extractor = make_batched((2, 4))
    crowd = png(np.tile(resize(side_by_side(astronaut, 20), 2000, 100), (20, 1, 1)))
    images = [crops[0], crowd, crops[1]]
    results = together(extractor, images)
    assert [len(image.faces) for image in results][::2] == [1, 1]
    assert 390 <= len(results[1].faces) <= 400
    for i in (0, 2):
        assert_same(results[i], extractor.extract(images[i]))
    scores = [face.score for face in results[1].faces]
    assert scores == sorted(scores, reverse=True)
    # Each face has the descriptor of its own place: columns show one picture, every other one mirrored.
    column = [int(face.box[[0, 2]].mean() // 100) for face in results[1].faces]
    bright = [row for row, place in zip(results[1].descriptors, column, strict=True) if place == 0]
    assert len(bright) >= 19
    assert min(cosine(bright[0], other) for other in bright) > 0.97


def test_images_of_one_pixel(batched: Extractor, crops: list[bytes]) -> None:
    shapes = [(1, 1), (1, 300), (300, 1), (1, 2000)]
    tiny = [png(np.full((*shape, 3), 90, np.uint8)) for shape in shapes]
    images = [crops[0], *tiny, crops[1]]
    results = together(batched, images)
    assert [image.status for image in results] == ["ok", *["no_face"] * 4, "ok"]
    assert [(image.height, image.width) for image in results[1:-1]] == shapes
    for data, found in zip(images, results, strict=True):
        assert_same(found, batched.extract(data))


def opencv_error() -> cv2.error:
    """Return what OpenCV raises if memory is short."""
    error = cv2.error("OpenCV: Insufficient memory")
    error.code = cv2.Error.StsNoMem
    return error


@pytest.mark.parametrize("error", [MemoryError(), opencv_error()], ids=["Python", "OpenCV"])
def test_without_memory_for_a_batch_each_image_is_done_alone(
    batched: Extractor, crops: list[bytes], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected = [batched.extract(data) for data in crops]
    find, counts = detect.find_faces, []

    def find_faces(detector: FaceDetector, images: Sequence[U8], *args: Any) -> Candidates:
        counts.append(len(images))
        if len(images) > 1:
            raise error
        return find(detector, images, *args)

    monkeypatch.setattr(detect, "find_faces", find_faces)
    results = together(batched, crops)
    for found, right in zip(results, expected, strict=True):
        assert_same(found, right)
    # First of all the black image, which is searched twice.
    assert [n for n in counts if n > 1] == [len(crops)]
    assert counts[-len(crops) - 1 :] == [len(crops), *[1] * len(crops)]


def test_only_the_image_that_needs_too_much_memory_is_unreadable(
    batched: Extractor, crops: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    height = batched.extract(crops[2]).height
    find = detect.find_faces

    def find_faces(detector: FaceDetector, images: Sequence[U8], *args: Any) -> Candidates:
        if any(image.shape[0] == height for image in images):
            raise MemoryError
        return find(detector, images, *args)

    monkeypatch.setattr(detect, "find_faces", find_faces)
    results = together(batched, crops)
    assert [image.status for image in results] == ["ok", "ok", "unreadable", "ok", "ok", "ok"]
    assert "memory" in results[2].error
    # No cache keeps it.
    assert results[2].sha256 == ""


def test_the_order_of_images_changes_nothing(batched: Extractor, crops: list[bytes], photo: bytes) -> None:
    images = [*crops, photo]
    first = {image.sha256: image for image in together(batched, images)}
    assert len(first) == len(images)
    order = [3, 6, 0, 5, 1, 4, 2]
    for found in together(batched, [images[i] for i in order]):
        assert_same(found, first[found.sha256])
