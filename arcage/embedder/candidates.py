"""What a face detector returns for a batch of pictures, before and after non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arcage.errors import ModelError
from arcage.types import F32, U8, Array, Index

IOU_THRESHOLD = 0.4
"""Two boxes with a higher intersection over union are the same face."""
CONTAINED_FRACTION = 0.6
"""A box with more than this share of its area inside a better box of another view is part of that face: in a
large view of a close-up, a cheek and an eye can look like a face."""
MAX_CANDIDATES = 16_000
"""Only the candidates with the highest scores are compared; a canvas filled with faces has fewer."""

_CROWD = 256
"""Pictures with more candidates are compared on their own: each round would copy all of them."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Possible faces on a batch of pictures. The four arrays have one row per face."""

    boxes: F32
    """Shape (n, 4), float32: x1, y1, x2, y2, pixels."""
    landmarks: F32
    """Shape (n, 5, 2), float32: x, y, pixels, in the order of :attr:`arcage.types.Face.landmarks`."""
    scores: F32
    """Shape (n,), float32: the detector's confidence, 0 to 1."""
    pictures: Index
    """Shape (n,): the number of the picture that each face is on, from 0."""

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: NDArray[Any]) -> Candidates:
        """Return the rows of an index array or a boolean mask."""
        return Candidates(self.boxes[rows], self.landmarks[rows], self.scores[rows], self.pictures[rows])

    def sizes(self) -> F32:
        """Return the longer side of each box, pixels."""
        longer: F32 = (self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1)
        return longer

    def scaled(self, ratios: F32) -> Candidates:
        """Return the candidates in the pixels of resized pictures.

        Args:
            ratios: shape (pictures, 2): x, y.
        """
        ratio = ratios[self.pictures]
        boxes, landmarks = self.boxes * np.tile(ratio, 2), self.landmarks * ratio[:, None]
        return Candidates(boxes, landmarks, self.scores, self.pictures)

    def shifted(self, offsets: F32) -> Candidates:
        """Return the candidates with an offset added to all coordinates.

        Args:
            offsets: shape (pictures, 2): x, y, pixels.
        """
        offset = offsets[self.pictures]
        boxes, landmarks = self.boxes + np.tile(offset, 2), self.landmarks + offset[:, None]
        return Candidates(boxes, landmarks, self.scores, self.pictures)

    def numbered(self, numbers: Sequence[int] | Index) -> Candidates:
        """Return the candidates with other numbers of pictures: ``numbers[i]`` in the place of ``i``."""
        renamed = np.asarray(numbers, np.intp)[self.pictures]
        return Candidates(self.boxes, self.landmarks, self.scores, renamed)


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Return the rows of all parts in their order."""
    none = Candidates(
        np.empty((0, 4), np.float32),
        np.empty((0, 5, 2), np.float32),
        np.empty(0, np.float32),
        np.empty(0, np.intp),
    )
    parts = [none, *parts]
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.pictures for part in parts]),
    )


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
    """Finds face candidates on canvases."""

    def candidates(self, canvases: U8, threshold: float, *, mirrored: bool = False) -> Candidates:
        """Return the candidates before non-maximum suppression, in pixels of their canvas.

        Args:
            canvases: shape (n, height, width, 3), uint8, RGB; height and width are multiples of 32.
            threshold: minimum score, more than 0 to 1.
            mirrored: search the mirror image of each canvas as well. It is picture n + i for canvas i.
        """
        ...


def non_maximum_suppression(found: Candidates, views: Index | None = None) -> Index:
    """Return the rows to keep, by picture and then highest score first.

    Greedy, by :data:`IOU_THRESHOLD`. Boxes of different views are also compared by
    :data:`CONTAINED_FRACTION`. In each round, the best box left of every picture is kept. Crowded
    pictures are compared one by one.

    Args:
        found: the candidates of a batch of pictures.
        views: shape (n,): the number of the view that each box comes from; by default all come from one.
    """
    order = np.lexsort((-found.scores, found.pictures))
    pictures = found.pictures[order]
    order = order[np.arange(len(order)) - np.searchsorted(pictures, pictures) < MAX_CANDIDATES]
    pictures = found.pictures[order]
    x1, y1, x2, y2 = found.boxes[order].T.copy()
    view = np.zeros(len(order), np.intp) if views is None else views[order]
    columns = [x1, y1, x2, y2, (x2 - x1) * (y2 - y1), view]

    starts = np.flatnonzero(np.diff(pictures, prepend=-1))
    counts = np.diff(starts, append=len(order))
    crowded = counts > _CROWD
    kept = [
        start + _suppress_crowd([column[start : start + count] for column in columns])
        for start, count in zip(starts[crowded].tolist(), counts[crowded].tolist(), strict=True)
    ]
    rest = np.flatnonzero(np.repeat(~crowded, counts))
    while len(rest):
        starts = np.flatnonzero(np.diff(pictures[rest], prepend=-1))
        kept.append(rest[starts])
        best = np.repeat(rest[starts], np.diff(starts, append=len(rest)))
        one = _are_one([column[best] for column in columns], [column[rest] for column in columns])
        rest = rest[~(one | (rest == best))]
    rows: Index = order[np.sort(np.concatenate([np.empty(0, np.intp), *kept]))]
    return rows


def _suppress_crowd(columns: list[Array]) -> Index:
    """Return the rows of one picture to keep; they are sorted by score."""
    alive = np.ones(len(columns[0]), bool)
    for i in range(len(alive)):
        if alive[i]:
            # Slices, which unlike index arrays are not copied.
            rest = slice(i + 1, None)
            alive[rest] &= ~_are_one([column[i] for column in columns], [column[rest] for column in columns])
    kept: Index = np.flatnonzero(alive)
    return kept


def _are_one(best: list[Array], rest: list[Array]) -> NDArray[np.bool_]:
    """Return which boxes are the same face as a better one, or part of it.

    Args:
        best: x1, y1, x2, y2, area and view of the better box of each, or of all.
        rest: the same of the boxes.
    """
    (ax1, ay1, ax2, ay2, a, a_view), (bx1, by1, bx2, by2, b, b_view) = best, rest
    shared = np.maximum(np.minimum(ax2, bx2) - np.maximum(ax1, bx1), 0)
    shared = shared * np.maximum(np.minimum(ay2, by2) - np.maximum(ay1, by1), 0)
    same = shared > IOU_THRESHOLD * (a + b - shared)
    part = (a_view != b_view) & (shared > CONTAINED_FRACTION * np.minimum(a, b))
    one: NDArray[np.bool_] = same | part
    return one
