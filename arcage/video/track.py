"""Which face in a frame is which person: by the likeness of descriptors and the overlap of boxes."""

from __future__ import annotations

import numpy as np

from arcage.types import F32, Array, Face

LIKE = 0.65
"""A cosine from which two faces are one person wherever they are: above 99.99 % of the pairs of different
persons in LFW's photos with one face. Half of the pairs of one person are below 0.63 there, but frames of a
film are more alike, and the mean of a person's is nearer to each than they are to one another."""
NEAR = 0.45
"""One that is enough for a face where the person just was: above 97 % of the pairs of different persons."""
OVERLAP = 0.3
"""Intersection over union of boxes from which a face is where the person just was."""
PLACE = 0.1
"""What the overlap counts for, beside the cosine, where a face fits several persons. Little: a half hidden
face may count as a new person, who must not take the place of the one that comes out again.
"""
RECENT = 2
"""Frames that a person may be missed and still be said to have been just there."""
MARGIN = 0.1
"""Of a box's longer side: a face with an eye, the nose or a corner of the mouth nearer to the border of the
picture is cut."""


def is_whole(face: Face, width: int, height: int) -> bool:
    """Whether the border of the picture leaves enough of a face to tell who it is.

    A face that walks out of the picture passes through a few frames in which its descriptor is like nobody's:
    it would count as one more person.
    """
    x, y = face.landmarks.T
    nearest = min(x.min(), y.min(), width - x.max(), height - y.max())
    return bool(nearest >= MARGIN * (face.box[2:] - face.box[:2]).max())


class Tracker:
    """Numbers persons in the order in which they appear, and knows them again when they come back.

    Of a person are kept the sum of the descriptors and the last box: memory grows with the persons only.
    """

    def __init__(self) -> None:
        self._sums: list[F32] = []
        self._boxes: list[F32] = []
        self._seen: list[int] = []
        self._frame = 0

    def __len__(self) -> int:
        """How many persons there have been."""
        return len(self._sums)

    def assign(self, boxes: F32, descriptors: Array) -> list[int]:
        """The person of each face of the next frame; no two faces are one person.

        Args:
            boxes: shape (n, 4): x1, y1, x2, y2.
            descriptors: shape (n, dimension).
        """
        self._frame += 1
        faces = np.asarray(descriptors, np.float32)
        faces = faces / np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), 1e-12)
        persons = [-1] * len(faces)
        if self._sums and len(faces):
            templates = np.stack(self._sums)
            templates /= np.maximum(np.linalg.norm(templates, axis=1, keepdims=True), 1e-12)
            like = faces @ templates.T
            here = np.array(self._seen) >= self._frame - RECENT
            overlap = np.where(here, _overlap(boxes, np.stack(self._boxes)), 0)
            fits = (like >= LIKE) | ((overlap >= OVERLAP) & (like >= NEAR))
            score = np.where(fits, like + PLACE * overlap, -1)
            taken: set[int] = set()
            for at in np.argsort(-score, axis=None, kind="stable")[: int(fits.sum())].tolist():
                face, person = divmod(at, len(templates))
                if persons[face] < 0 and person not in taken:
                    persons[face] = person
                    taken.add(person)
        for face, person in enumerate(persons):
            if person < 0:
                persons[face] = len(self._sums)
                self._sums.append(faces[face].copy())
                self._boxes.append(boxes[face])
                self._seen.append(self._frame)
            else:
                self._sums[person] += faces[face]
                self._boxes[person] = boxes[face]
                self._seen[person] = self._frame
        return persons


def _overlap(a: F32, b: F32) -> F32:
    """Intersection over union of boxes, shape (n, 4) and (m, 4) -> (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-12), np.float32)
