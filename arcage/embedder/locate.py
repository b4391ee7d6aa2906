"""Find the landmarks of faces whose boxes the user gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from arcage.embedder.align import SIDE, TEMPLATE
from arcage.embedder.candidates import Candidates, FaceDetector, joined
from arcage.embedder.landmarks import refine
from arcage.embedder.rotated import best_orientations
from arcage.embedder.views import TIGHT, search_view
from arcage.types import F32, U8, Array, GivenFaces, Index

CANONICAL: F32 = np.array(
    [[0.27, 0.36], [0.73, 0.36], [0.5, 0.56], [0.305, 0.733], [0.695, 0.733]], np.float32
)
"""Where the landmarks of an average face are, as shares of its box: the medians of the boxes that the bundled
detector finds in 18,757 images of UTKFace and 6,274 of LFW, made symmetric."""
MIN_SCORE = 0.3
"""Minimum score of a face in a given box. It is lower than for a search: somebody says that there is one."""
MIN_OVERLAP = 0.2
"""Minimum intersection over union of a given box and that of the face in it. Detectors differ in how much of
a head their boxes include; that of a neighbour overlaps less."""
_AROUND = 1.0
"""How far beyond a box its face is searched, in longer sides of the box, both sides together."""
_AT_ONCE = 64
"""Maximum number of faces that are searched together."""


def locate(detector: FaceDetector, images: Sequence[U8], given: Sequence[GivenFaces | None]) -> Candidates:
    """Return the faces that a user gave, with their landmarks, by image and in the order of the user.

    Given landmarks are kept, and the score is 1. Otherwise the face is searched in its box and around it, in
    all four orientations, and its landmarks are refined as those of any face. If there is none, the landmarks
    are those of an average face in the box, and the score is 0.

    Args:
        detector: finds the candidates of canvases.
        images: each (height, width, 3), uint8, RGB.
        given: the faces of each image; None for images that are left out.
    """
    parts = []
    for number, faces in enumerate(given):
        if faces is not None:
            boxes, landmarks = (_CROP, TEMPLATE[None]) if faces.aligned else (faces.boxes, faces.landmarks)
            scores, pictures = np.ones(len(boxes), np.float32), np.full(len(boxes), number)
            parts.append(Candidates(boxes, landmarks.astype(np.float32), scores, pictures))
    found = joined(parts)
    unknown = np.flatnonzero(np.isnan(found.landmarks).any(axis=(1, 2)))
    landmarks, scores = found.landmarks.copy(), found.scores.copy()
    for start in range(0, len(unknown), _AT_ONCE):
        rows = unknown[start : start + _AT_ONCE]
        part = _search(detector, images, found.select(rows))
        landmarks[rows], scores[rows] = part.landmarks, part.scores
    return replace(found, landmarks=landmarks, scores=scores)


_CROP: F32 = np.array([[0, 0, SIDE, SIDE]], np.float32)


def _search(detector: FaceDetector, images: Sequence[U8], faces: Candidates) -> Candidates:
    """Return the faces with the landmarks and scores of what is found in their boxes."""
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    landmarks = faces.boxes[:, None, :2] + CANONICAL * sides[:, None]
    scores = np.zeros(len(faces), np.float32)
    scenes, corners, shown = _scenes(images, faces)
    candidates = search_view(detector, scenes, TIGHT, MIN_SCORE).shifted(corners).numbered(shown)
    rows, best = _best(candidates, faces.boxes)
    landmarks[rows], scores[rows] = candidates.landmarks[best], candidates.scores[best]
    turned, turned_scores = best_orientations(
        detector, images, replace(faces, landmarks=landmarks, scores=scores)
    )
    better = turned_scores > scores
    landmarks[better], scores[better] = turned[better], turned_scores[better]
    seen = np.flatnonzero(scores > 0)
    confirmed = replace(faces, landmarks=landmarks, scores=scores)
    landmarks[seen] = refine(detector, images, confirmed.select(seen))
    return replace(confirmed, landmarks=landmarks)


def _scenes(images: Sequence[U8], faces: Candidates) -> tuple[list[U8], F32, Index]:
    """Return the part of its image around each box, its upper left corner, and the row of its face.

    Boxes outside of their image have none.
    """
    low, high = faces.boxes[:, :2], faces.boxes[:, 2:]
    margin = ((1 + _AROUND) * faces.sizes()[:, None] - (high - low)) / 2
    sizes = np.array([images[i].shape[1::-1] for i in faces.pictures], np.float32).reshape(-1, 2)
    first = np.clip(np.floor(low - margin), 0, sizes).astype(int)
    last = np.clip(np.ceil(high + margin), 0, sizes).astype(int)
    inside = (low < sizes).all(axis=1) & (high > 0).all(axis=1)
    shown = np.flatnonzero(inside & (last > first).all(axis=1))
    scenes = [
        images[faces.pictures[i]][first[i, 1] : last[i, 1], first[i, 0] : last[i, 0]] for i in shown.tolist()
    ]
    return scenes, first[shown].astype(np.float32), shown


def _best(candidates: Candidates, boxes: F32) -> tuple[Index, Index]:
    """Return the boxes in which there is a face, and the best candidate for each.

    Args:
        candidates: their pictures are indices of ``boxes``.
        boxes: shape (n, 4).
    """
    box = boxes[candidates.pictures]
    overlap = _overlap(candidates.boxes, box)
    centre = candidates.landmarks.mean(axis=1)
    here = (centre >= box[:, :2]).all(axis=1) & (centre <= box[:, 2:]).all(axis=1) & (overlap >= MIN_OVERLAP)
    order = np.flatnonzero(here)
    order = order[np.lexsort((-(overlap * candidates.scores)[order], candidates.pictures[order]))]
    rows, first = np.unique(candidates.pictures[order], return_index=True)
    return rows, order[first]


def _overlap(a: F32, b: F32) -> Array:
    """Return the intersection over union of pairs of boxes, shape (n,)."""
    common = np.prod(np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0), axis=1)
    both = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1)
    overlap: Array = common / np.maximum(both - common, 1e-9)
    return overlap
