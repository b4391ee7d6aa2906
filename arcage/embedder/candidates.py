"""What a face detector returns, before and after non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arcage.errors import ModelError
from arcage.types import F32, U8

IOU_THRESHOLD = 0.4
"""Two boxes with a higher intersection over union are the same face."""
CONTAINED_FRACTION = 0.6
"""A box with more than this share of its area inside a better box of another view is part of that face: in a
large view of a close-up, a cheek and an eye can look like a face."""
MAX_CANDIDATES = 16_000
"""Only the candidates with the highest scores are compared; a canvas filled with faces has fewer."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Possible faces on one picture. The three arrays have one row per face."""

    boxes: F32
    """Shape (n, 4), float32: x1, y1, x2, y2, pixels."""
    landmarks: F32
    """Shape (n, 5, 2), float32: x, y, pixels, in the order of :attr:`arcage.types.Face.landmarks`."""
    scores: F32
    """Shape (n,), float32: the detector's confidence, 0 to 1."""

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: NDArray[Any] | list[int]) -> Candidates:
        """Return the rows of an index array or a boolean mask."""
        return Candidates(self.boxes[rows], self.landmarks[rows], self.scores[rows])

    def sizes(self) -> F32:
        """Return the longer side of each box, pixels."""
        longer: F32 = (self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1)
        return longer

    def scaled(self, ratio: F32) -> Candidates:
        """Return the candidates in the pixels of a resized picture; ``ratio`` is (x, y)."""
        return Candidates(self.boxes * np.tile(ratio, 2), self.landmarks * ratio, self.scores)

    def shifted(self, offset: F32) -> Candidates:
        """Return the candidates with ``offset``, (x, y) in pixels, added to all coordinates."""
        return Candidates(self.boxes + np.tile(offset, 2), self.landmarks + offset, self.scores)


def check_finite(values: F32) -> None:
    """Check values of a detector. A score that is NaN would be left out without an error.

    Raises:
        ModelError: one is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise ModelError("the face detector returns NaN or infinity: it is damaged, get it again")


def checked_candidates(found: Candidates) -> Candidates:
    """Return the candidates after checking that all values are numbers.

    Raises:
        ModelError: one is NaN or infinite.
    """
    for values in (found.boxes, found.landmarks, found.scores):
        check_finite(values)
    return found


class FaceDetector(Protocol):
    """Finds face candidates on a canvas."""

    def candidates(self, canvas: U8, threshold: float) -> Candidates:
        """Return the candidates before non-maximum suppression, in pixels of the canvas.

        Args:
            canvas: shape (height, width, 3), uint8, RGB; height and width are multiples of 32.
            threshold: minimum score, 0 to 1.
        """
        ...


def non_maximum_suppression(boxes: F32, scores: F32, views: NDArray[np.intp] | None = None) -> list[int]:
    """Return the indices of the boxes to keep, highest score first.

    Greedy, by :data:`IOU_THRESHOLD`. Boxes of different views are also compared by
    :data:`CONTAINED_FRACTION`.

    Args:
        boxes: shape (n, 4): x1, y1, x2, y2.
        scores: shape (n,).
        views: shape (n,): the number of the view that each box comes from; by default all come from one.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    x1, y1, x2, y2 = boxes[order].T.copy()
    area = (x2 - x1) * (y2 - y1)
    view = np.zeros(len(order), np.intp) if views is None else views[order]
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            # Slices instead of index arrays: pictures with texture can give thousands of candidates.
            rest = slice(i + 1, None)
            width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
            height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
            shared = np.maximum(width, 0) * np.maximum(height, 0)
            same = shared > IOU_THRESHOLD * (area[i] + area[rest] - shared)
            part = (view[rest] != view[i]) & (shared > CONTAINED_FRACTION * np.minimum(area[i], area[rest]))
            alive[rest] &= ~(same | part)
    return [int(i) for i in order[alive]]
