"""Assign faces to persons across frames, by the similarity of descriptors and the overlap of boxes."""

from __future__ import annotations

import numpy as np

from arcage.types import F32, Array, Face

SIMILAR = 0.65
"""Minimum cosine of two faces of one person anywhere in the picture. In LFW's photos with one face, 99.99 %
of the pairs of different persons are below it. So are half of the pairs of one person, but frames of a video
are more alike, and the mean of a person's descriptors is closer to each than they are to each other."""
SIMILAR_NEARBY = 0.45
"""Minimum cosine where the person was seen recently. In LFW, 97 % of the pairs of different persons are below
it."""
OVERLAP = 0.3
"""Minimum intersection over union with the last box of the person."""
OVERLAP_WEIGHT = 0.1
"""Weight of the overlap, relative to the cosine, if a face matches several persons. It is small: a half
occluded face may count as a new person, who must not replace the one who reappears there.
"""
RECENT = 2
"""Maximum number of frames since the person was last seen."""
MARGIN = 0.1
"""Minimum distance of the landmarks from the border of the picture, as a share of the longer side of the
box."""


def is_whole(face: Face, width: int, height: int) -> bool:
    """Return whether the face is far enough from the border of the picture to be identified.

    A face that leaves the picture is cut in a few frames, and its descriptor there resembles no person: it
    would count as a new one.
    """
    x, y = face.landmarks.T
    nearest = min(x.min(), y.min(), width - x.max(), height - y.max())
    return bool(nearest >= MARGIN * (face.box[2:] - face.box[:2]).max())


class Tracker:
    """Numbers persons in order of appearance, and recognises them when they return.

    It keeps the sum of the descriptors and the last box of each person, so memory grows only with the number
    of persons.
    """

    def __init__(self) -> None:
        self._sums: list[F32] = []
        self._boxes: list[F32] = []
        self._seen: list[int] = []
        self._frame = 0

    def __len__(self) -> int:
        """Return the number of persons so far."""
        return len(self._sums)

    def assign(self, boxes: F32, descriptors: Array) -> list[int]:
        """Return the person of each face of the next frame. No two faces of a frame are the same person.

        Args:
            boxes: shape (n, 4): x1, y1, x2, y2, pixels.
            descriptors: shape (n, dimension).
        """
        self._frame += 1
        faces = np.asarray(descriptors, np.float32)
        faces = faces / np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), 1e-12)
        persons = [-1] * len(faces)
        if self._sums and len(faces):
            templates = np.stack(self._sums)
            templates /= np.maximum(np.linalg.norm(templates, axis=1, keepdims=True), 1e-12)
            cosine = faces @ templates.T
            recent = np.array(self._seen) >= self._frame - RECENT
            overlap = np.where(recent, _overlap(boxes, np.stack(self._boxes)), 0)
            matches = (cosine >= SIMILAR) | ((overlap >= OVERLAP) & (cosine >= SIMILAR_NEARBY))
            score = np.where(matches, cosine + OVERLAP_WEIGHT * overlap, -1)
            taken: set[int] = set()
            for at in np.argsort(-score, axis=None, kind="stable")[: int(matches.sum())].tolist():
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
    """Return the intersection over union of boxes, shapes (n, 4) and (m, 4) -> (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-12), np.float32)
