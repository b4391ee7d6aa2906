"""Detect faces that are not upright: scans on their side or upside down, without EXIF orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from arcage.embedder import detect
from arcage.embedder.align import inverse, transform, warp
from arcage.embedder.candidates import Candidates, FaceDetector, joined
from arcage.embedder.views import View, reduced, search_view
from arcage.types import F32, F64, U8

UPRIGHT_SCORE = 0.91
"""Minimum detector score of faces that are taken as upright. Of 1,058 faces rotated by 90, 180 or 270
degrees, all that were found had a lower score, as have 1.5 % of the upright faces of UTKFace."""
SEARCH = View(320, 260)
"""The view of images that are searched in other orientations. It is small, because most images without a face
that is surely upright have no turned one either, and has a margin, because the image may be a tight crop."""
SIDE = 160
"""Side of the square of each orientation, pixels; the face takes up half of it."""
_ORIGINS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float64) * SIDE
"""Upper left corner, x and y, of the square of each orientation on the canvas."""
_AT_ONCE = 64
"""Maximum number of faces that are turned together."""
MIN_SCORE = 0.3
"""Minimum score of the candidates that are compared."""
MIN_BEST_SCORE = 0.85
"""Minimum score of a chosen orientation."""
MIN_GAIN = 0.02
"""Minimum gain of its score over that of the original orientation."""
MAX_OFFSET = 37.5
"""Maximum distance of the landmarks' centre from the centre of the square, pixels."""


def set_turned(
    detector: FaceDetector, images: Sequence[U8], found: Candidates, threshold: float, min_face: int
) -> Candidates:
    """Return the faces of each image in its best orientation: of those that are turned, other faces.

    In a photo on its side, a detector finds no face, or something beside it; in one upside down, it finds
    faces with a low score. Images without a face that is surely upright are therefore searched in the other
    orientations, in the view :data:`SEARCH`. If one of them is clearly better, its faces replace
    those of the image.

    Args:
        detector: finds the candidates of canvases.
        images: each (height, width, 3), uint8, RGB.
        found: the result of :func:`~arcage.embedder.detect.find_faces`, whose arguments ``threshold`` and
            ``min_face`` are.

    Returns:
        The faces in pixels of the original images, by image and then highest score first.
    """
    best = _best_scores(found, len(images))
    doubtful: list[int] = np.flatnonzero(best < UPRIGHT_SCORE).tolist()
    if not doubtful:
        return found
    scenes = [_scene(images[i]) for i in doubtful]
    turns = np.zeros(len(images), int)
    least = np.maximum(best + MIN_GAIN, MIN_BEST_SCORE)
    highest = least.copy()
    turned = [_turned(scene, quarters) for quarters in (1, 2, 3) for scene in scenes]
    there = _best_scores(search_view(detector, turned, SEARCH, threshold), len(turned)).reshape(3, -1)
    for quarters, best_there in enumerate(there, 1):
        scores = np.zeros(len(images), np.float32)
        scores[doubtful] = best_there
        better = scores >= highest
        turns[better], highest[better] = quarters, scores[better]
    parts = []
    for i, quarters in enumerate(turns.tolist()):
        if quarters:
            faces = detect.find_faces(detector, [_turned(images[i], quarters)], threshold, min_face)
            # Reduced, a face in profile may look like one on its side.
            if _best_scores(faces, 1)[0] >= least[i]:
                parts.append(_turned_back(faces, images[i], quarters).numbered([i]))
            else:
                turns[i] = 0
    together = joined([found.select(turns[found.pictures] == 0), *parts])
    return together.select(np.argsort(together.pictures, kind="stable"))


def _best_scores(faces: Candidates, pictures: int) -> F32:
    """Return the highest score of a face on each picture, shape (pictures,); 0 without a face."""
    best = np.zeros(pictures, np.float32)
    np.maximum.at(best, faces.pictures, faces.scores)
    return best


def _turned(image: U8, quarters: int) -> U8:
    return np.ascontiguousarray(np.rot90(image, quarters))


def _turned_back(faces: Candidates, image: U8, quarters: int) -> Candidates:
    """Return the faces of a turned image in pixels of the image."""
    corners, points = faces.boxes.reshape(-1, 2, 2).astype(np.float64), faces.landmarks.astype(np.float64)
    for turns in range(quarters, 0, -1):
        width = image.shape[turns % 2]  # of the image after one turn less
        corners, points = _quarter_back(corners, width), _quarter_back(points, width)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    return Candidates(boxes, points.astype(np.float32), faces.scores, faces.pictures)


def _quarter_back(points: F64, width: int) -> F64:
    """Return points, (..., 2), of a picture that was turned by a quarter in pixels of the picture before.

    Args:
        width: of the picture before.
    """
    return np.stack([width - 1 - points[..., 1], points[..., 0]], axis=-1)


def set_upright(detector: FaceDetector, images: Sequence[U8], found: Candidates) -> Candidates:
    """Return the faces with the landmarks of their upright orientation.

    The orientation of a single face may differ from that of its image. Faces with a low score are therefore
    detected in four orientations; if another one is clearly better, its landmarks are used.

    Args:
        detector: the detector that found the faces.
        images: each (height, width, 3), uint8, RGB.
        found: a result of :func:`set_turned`.
    """
    doubtful = np.flatnonzero(found.scores < UPRIGHT_SCORE)
    if not len(doubtful):
        return found
    landmarks = found.landmarks.copy()
    landmarks[doubtful], _ = best_orientations(detector, images, found.select(doubtful))
    return replace(found, landmarks=landmarks)


def _scene(image: U8) -> U8:
    # Large photos are subsampled: reading all pixels would take longer than the search.
    step = max(1, max(image.shape[:2]) // (4 * SEARCH.content))
    return reduced(np.ascontiguousarray(image[::step, ::step]), SEARCH.content)


def best_orientations(detector: FaceDetector, images: Sequence[U8], faces: Candidates) -> tuple[F32, F32]:
    """Return the landmarks of the best orientation of each face, (n, 5, 2), and its score there, (n,).

    Without a clearly best orientation, these are the landmarks of the face, and 0.
    """
    parts = [
        _orient(detector, images, faces.select(np.arange(start, min(start + _AT_ONCE, len(faces)))))
        for start in range(0, len(faces), _AT_ONCE)
    ]
    landmarks, scores = zip((faces.landmarks[:0], faces.scores[:0]), *parts, strict=True)
    return np.concatenate(landmarks), np.concatenate(scores)


def _orient(detector: FaceDetector, images: Sequence[U8], faces: Candidates) -> tuple[F32, F32]:
    low, high = faces.boxes[:, :2].astype(np.float64), faces.boxes[:, 2:].astype(np.float64)
    scale = SIDE / 2 / np.maximum(1.0, np.sqrt(np.prod(np.maximum(high - low, 0), axis=1)))
    matrices = np.zeros((len(faces), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale
    matrices[:, :, 2] = SIDE / 2 - scale[:, None] * (low + high) / 2
    squares = warp(images, faces.pictures, matrices, SIDE)
    # All four on one canvas: one detector run instead of four.
    canvases = np.empty((len(faces), 2 * SIDE, 2 * SIDE, 3), np.uint8)
    for k, (x, y) in enumerate(_ORIGINS.astype(int)):
        canvases[:, y : y + SIDE, x : x + SIDE] = np.rot90(squares, k, axes=(1, 2))
    found = detector.candidates(canvases, MIN_SCORE)
    found = found.select(np.argsort(-found.scores, kind="stable"))
    centres = found.landmarks.mean(axis=1)
    scores = np.zeros((len(faces), 4), np.float32)
    points = np.zeros((len(faces), 4, 5, 2))
    for k, origin in enumerate(_ORIGINS):
        near = np.flatnonzero(np.linalg.norm(centres - origin - SIDE / 2, axis=1) <= MAX_OFFSET)
        pictures, first = np.unique(found.pictures[near], return_index=True)
        scores[pictures, k] = found.scores[near[first]]
        points[pictures, k] = found.landmarks[near[first]] - origin
    best = scores.argmax(axis=1)
    rows = np.arange(len(faces))
    highest = scores[rows, best]
    turned = (best > 0) & (highest >= MIN_BEST_SCORE) & (highest >= scores[:, 0] + MIN_GAIN)
    upright = points[rows, best]
    for turns in (1, 2, 3):
        again = best >= turns
        upright[again] = _quarter_back(upright[again], SIDE)
    landmarks = transform(upright, inverse(matrices)).astype(np.float32)
    return np.where(turned[:, None, None], landmarks, faces.landmarks), np.where(turned, highest, 0)
