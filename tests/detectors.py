"""What tests of the embedder share: the example photo's face, a fake detector, and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from arcage.embedder.align import align
from arcage.embedder.candidates import Candidates, FaceDetector, joined
from arcage.embedder.detect import DEFAULT_MIN_FACE, find_faces
from arcage.types import U8, Array, Face

FACE = np.array([178.0, 63.0, 269.0, 175.0])
"""Box of the face in examples/astronaut.jpg, pixels."""
LANDMARKS = np.float32([[200.1, 101.6], [247.0, 102.4], [220.1, 124.3], [198.7, 142.3], [239.5, 143.3]])
"""Its landmarks as found by YuNet, pixels."""


class FakeDetector:
    """Returns the boxes and scores of ``find`` for each canvas, by default none, and records its canvases.

    Of a call with mirror images, these are recorded after all canvases.
    """

    def __init__(self, find: Callable[[U8], list[tuple[float, ...]]] = lambda canvas: []) -> None:
        self.canvases: list[U8] = []
        self.batches: list[int] = []
        """Number of canvases of each call."""
        self.find = find

    def candidates(self, canvases: U8, threshold: float, *, mirrored: bool = False) -> Candidates:
        self.batches.append(len(canvases))
        seen = [*canvases, *(canvases[:, :, ::-1] if mirrored else ())]
        self.canvases += seen
        return joined([on_picture(self.find(canvas), i) for i, canvas in enumerate(seen)])

    @property
    def sizes(self) -> list[str]:
        """Width x height of each canvas."""
        return [f"{canvas.shape[1]}x{canvas.shape[0]}" for canvas in self.canvases]


def on_picture(boxes: list[tuple[float, ...]], picture: int = 0) -> Candidates:
    """Return candidates on one picture; each is x1, y1, x2, y2, score. Landmarks are at two corners."""
    rows = np.array(boxes, np.float32).reshape(-1, 5)
    corners = rows[:, :4].reshape(-1, 2, 2)
    pictures = np.full(len(rows), picture, np.intp)
    return Candidates(rows[:, :4], corners[:, [0, 1, 0, 1, 0]], rows[:, 4], pictures)


def as_candidates(faces: Sequence[Face]) -> Candidates:
    """Return faces as candidates on picture 0."""
    return Candidates(
        np.array([face.box for face in faces], np.float32).reshape(-1, 4),
        np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2),
        np.array([face.score for face in faces], np.float32),
        np.zeros(len(faces), np.intp),
    )


def faces_of(found: Candidates, picture: int = 0) -> list[Face]:
    """Return the faces on one picture, in their order."""
    rows = np.flatnonzero(found.pictures == picture)
    return [Face(found.boxes[i], found.landmarks[i], float(found.scores[i])) for i in rows]


def find_in(
    detector: FaceDetector, image: U8, threshold: float, min_face: int = DEFAULT_MIN_FACE
) -> list[Face]:
    """Return the faces of one image."""
    found = find_faces(detector, [image], threshold, min_face)
    assert not found.pictures.any()
    return faces_of(found)


def align_one(image: U8, landmarks: Array) -> U8:
    """Return one face of an image, aligned, shape (112, 112, 3)."""
    (crop,) = align([image], np.zeros(1, np.intp), landmarks[None])
    assert crop.dtype == np.uint8
    return np.asarray(crop)


def same_candidates(found: Candidates, expected: Candidates) -> None:
    """Assert that both are equal in every bit, and in their order and types."""
    for ours, theirs in zip(values_of(found), values_of(expected), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def values_of(found: Candidates) -> tuple[Array, ...]:
    return found.boxes, found.landmarks, found.scores, found.pictures


class FakeEngine:
    """An engine whose only network returns what ``run`` does for a batch, and records shapes and batches."""

    def __init__(self, run: Callable[[Array], dict[str, Array]], sizes: tuple[int, ...] = (1,)) -> None:
        self.run = run
        self.detector_batches = sizes
        self.models: list[bytes] = []
        self.shapes: list[tuple[int, ...]] = []
        self.batches: list[Array] = []
        self.asked: list[tuple[str, ...]] = []
        """Names of the outputs of each run."""

    def load(self, model: bytes, shape: tuple[int, ...], **_: object) -> Any:
        self.models.append(model)
        self.shapes.append(shape)

        def network(batch: Array, outputs: Sequence[str] = ()) -> dict[str, Array]:
            self.batches.append(batch)
            self.asked.append(tuple(outputs))
            return self.run(batch)

        return network


def iou(a: Array, b: Array) -> float:
    """Return the intersection over union of two boxes, shape (4,)."""
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def cosine(a: Array, b: Array) -> float:
    """Return the cosine similarity of two descriptors, shape (dimension,)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def resize(image: U8, width: int, height: int) -> U8:
    interpolation = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation)


def side_by_side(astronaut: U8, count: int) -> U8:
    """Return ``count`` copies of the face, every other one mirrored, each darker than the last."""
    head = astronaut[20:220, 120:320]
    heads = [(head[:, :: 1 - 2 * (i % 2)] * (1 - i / 20)).astype(np.uint8) for i in range(count)]
    return np.concatenate(heads, axis=1)
