"""Choose the face of an image that a label belongs to."""

from __future__ import annotations

import numpy as np

from arcage.cache import CacheTable
from arcage.data.notes import LabelEntry

SAME_FACE = 0.5
"""Minimum overlap (intersection over union) of two boxes of one face."""
SAME_FACE_DRAWN = 0.2
"""The same for a box that somebody drew: a box around the whole head has twice the sides of the face."""


def labelled_row(table: CacheTable, first: int, entry: LabelEntry) -> int | None:
    """Return the row of the face that a label belongs to, or None if no face of the image matches.

    Boxes take precedence over face numbers, which depend on the detector.

    Args:
        table: rows of a cache.
        first: the image's first row.
        entry: the label. Without a face number or a box it belongs to the main face.
    """
    count = int(table.faces[first])
    if entry.face is None or not count:
        return main_face(table, first)
    if entry.box is None:
        return first + entry.face if entry.face < count else None
    boxes, box = table.boxes[first : first + count], np.array(entry.box)
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    both = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    overlap = common / np.maximum(both - common, 1e-9)
    best = int(np.argmax(overlap))
    if not entry.drawn:
        return first + best if overlap[best] >= SAME_FACE else None
    if overlap[best] >= SAME_FACE_DRAWN:
        return first + best
    # A box around the person has one face inside.
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = np.flatnonzero(((middle > box[:2]) & (middle < box[2:])).all(axis=1))
    return first + int(inside[0]) if len(inside) == 1 else None


def main_face(table: CacheTable, first: int) -> int:
    """Return the row of an image's main face: large and close to the centre.

    It maximises the box's side (the square root of its area) minus its distance from the image centre, both
    in pixels. For an image without a face this is its only row, ``first``.
    """
    count = int(table.faces[first])
    if count <= 1:
        return first
    box = table.boxes[first : first + count]
    size = np.sqrt(np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1))
    middle = np.array([table.width[first], table.height[first]]) / 2
    distance = np.hypot(*((box[:, :2] + box[:, 2:]) / 2 - middle).T)
    return first + int(np.argmax(size - distance))
