"""Refine the landmarks of faces by detecting them again, upright and at the detector's best size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arcage.embedder.align import inverse, similarity, transform, warp
from arcage.embedder.candidates import Candidates, FaceDetector
from arcage.types import F32, F64, U8, Array

CANVAS = 224
"""Side of the canvas, pixels."""
REFERENCE: F64 = np.array([[60.0, 61.2], [140.0, 61.8], [98.3, 102.5], [65.0, 137.8], [130.4, 138.1]]) + 12
"""Where the landmarks are placed for the second detection, pixels of the canvas: the average landmarks of
UTKFace's crops with a margin of 12 pixels."""
MIN_SCORE = 0.3
"""Minimum score of a candidate. Cells next to a face's best one also detect it, with lower scores."""
SAME_FACE = 10.0
"""Maximum mean distance between the landmarks of two candidates of one face, pixels of the canvas. The eyes
are 80 apart."""
MAX_OFFSET = 50.0
"""Maximum distance of a face's centre from where it is expected, pixels of the canvas. Beyond it is another
face."""
MIRROR_ORDER = [1, 0, 2, 4, 3]
"""Order of the landmarks in the mirror image."""
_AT_ONCE = 64
"""Maximum number of faces that are detected again together: their canvases take 20 MB."""


def refine(detector: FaceDetector, images: Sequence[U8], found: Candidates) -> F32:
    """Return landmarks that hardly depend on the position and size of the face in the image.

    A detector's landmarks move by a pixel or two when the picture is scaled or shifted, and the descriptor
    changes with them. Each face is therefore brought upright and to one size, detected again together with
    its mirror image, and all candidates that agree are averaged, weighted by their scores.

    Args:
        detector: the detector that found the faces.
        images: each (height, width, 3), uint8, RGB.
        found: the faces from the first detection, whose pictures are the images.

    Returns:
        Shape (n, 5, 2), float32; the landmarks of the first detection where a face is not found again.
    """
    parts = [found.landmarks[:0]]
    for start in range(0, len(found), _AT_ONCE):
        part = found.select(np.arange(start, min(start + _AT_ONCE, len(found))))
        parts.append(_refine(detector, images, part))
    return np.concatenate(parts)


def _refine(detector: FaceDetector, images: Sequence[U8], found: Candidates) -> F32:
    count = len(found)
    matrices = similarity(found.landmarks, REFERENCE)
    canvases = warp(images, found.pictures, matrices, CANVAS)
    seen, points = _middle_faces(detector.candidates(canvases, MIN_SCORE, mirrored=True), 2 * count)
    mirrored = (points[count:] * [-1, 1] + [CANVAS - 1, 0])[:, MIRROR_ORDER]
    weights = seen.reshape(2, count, 1, 1).astype(np.float64)
    total = weights.sum(axis=0)
    mean = (weights[0] * points[:count] + weights[1] * mirrored) / np.maximum(total, 1)
    back = transform(mean, inverse(matrices)).astype(np.float32)
    return np.where(total > 0, back, found.landmarks)


def _middle_faces(found: Candidates, count: int) -> tuple[Array, F64]:
    """Return which canvases show a face in their middle, and its average landmarks.

    Args:
        found: the candidates of all canvases.
        count: number of canvases.

    Returns:
        Shapes (count,), bool, and (count, 5, 2), float64, pixels of the canvas; zero where there is none.
    """
    offset = np.linalg.norm(found.landmarks.mean(axis=1) - REFERENCE.mean(axis=0), axis=1)
    order = np.lexsort((offset / MAX_OFFSET - found.scores, found.pictures))
    _, first = np.unique(found.pictures[order], return_index=True)
    best = np.zeros(count, np.intp)
    best[found.pictures[order[first]]] = order[first]
    seen = np.zeros(count, bool)
    seen[found.pictures[order[first]]] = offset[order[first]] <= MAX_OFFSET
    distance = np.linalg.norm(found.landmarks - found.landmarks[best[found.pictures]], axis=2).mean(axis=1)
    weights = (found.scores * ((distance < SAME_FACE) & seen[found.pictures])).astype(np.float64)
    total = np.bincount(found.pictures, weights, count)
    points = np.zeros((count, 5, 2))
    np.add.at(points, found.pictures, weights[:, None, None] * found.landmarks)
    return seen, points / np.where(total > 0, total, 1)[:, None, None]
