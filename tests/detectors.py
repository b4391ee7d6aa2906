"""What tests of the embedder share: the example photo's face, a fake detector, and comparisons."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from arcage.embedder.candidates import Candidates
from arcage.types import U8, Array

FACE = np.array([178.0, 63.0, 269.0, 175.0])
"""Box of the face in examples/astronaut.jpg, pixels."""
LANDMARKS = np.float32([[200.1, 101.6], [247.0, 102.4], [220.1, 124.3], [198.7, 142.3], [239.5, 143.3]])
"""Its landmarks as found by YuNet, pixels."""


class FakeDetector:
    """Returns the boxes and scores of ``find``, by default none, and records its canvases."""

    def __init__(self, find: Callable[[U8], list[tuple[float, ...]]] = lambda canvas: []) -> None:
        self.canvases: list[U8] = []
        self.find = find

    def candidates(self, canvas: U8, threshold: float) -> Candidates:
        self.canvases.append(canvas)
        rows = np.array(self.find(canvas), np.float32).reshape(-1, 5)
        corners = rows[:, :4].reshape(-1, 2, 2)
        return Candidates(rows[:, :4], corners[:, [0, 1, 0, 1, 0]], rows[:, 4])

    @property
    def sizes(self) -> list[str]:
        """Width x height of each canvas."""
        return [f"{canvas.shape[1]}x{canvas.shape[0]}" for canvas in self.canvases]


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
