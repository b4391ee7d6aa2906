"""Detect faces that are not upright: scans on their side or upside down, without EXIF orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from arcage.embedder import detect
from arcage.embedder.align import inverse, transform, warp
from arcage.embedder.candidates import Candidates, FaceDetector, joined
from arcage.embedder.views import reduced
from arcage.types import F32, U8

UPRIGHT_SCORE = 0.91
"""Minimum detector score of faces that are taken as upright. Of 1,058 faces rotated by 90, 180 or 270
degrees, all that were found had a lower score, as have 1.5 % of the upright faces of UTKFace."""
SEARCH_SIZE = 320
"""Long side of an image that is searched on its side, pixels. Most images in which no upright face is found
have no rotated one either, so the second search has to be fast."""
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


def set_upright(detector: FaceDetector, images: Sequence[U8], found: Candidates) -> Candidates:
    """Return the faces with the landmarks of their upright orientation.

    A detector also finds faces upside down, with a lower score, and mistakes the mouth for the eyes. Faces
    with a low score are therefore detected in four orientations; if another one is clearly better, its
    landmarks are used.

    Args:
        detector: the detector that found the faces.
        images: each (height, width, 3), uint8, RGB.
        found: a result of :func:`~arcage.embedder.detect.find_faces`.
    """
    doubtful = np.flatnonzero(found.scores < UPRIGHT_SCORE)
    if not len(doubtful):
        return found
    landmarks = found.landmarks.copy()
    landmarks[doubtful] = _best_orientations(detector, images, found.select(doubtful))[0]
    return replace(found, landmarks=landmarks)


def find_rotated(detector: FaceDetector, images: Sequence[U8], threshold: float) -> Candidates:
    """Return the faces of images without upright faces, by image and then highest score first.

    The images, reduced to :data:`SEARCH_SIZE` pixels, are searched on their side, where faces are upright or
    upside down. Faces without a clearly best orientation are left out.

    Args:
        detector: finds the candidates of canvases.
        images: each (height, width, 3), uint8, RGB.
        threshold: minimum detector score, 0 to 1.
    """
    if not images:
        return joined([])
    scenes = [_scene(image) for image in images]
    rotated = [np.ascontiguousarray(np.rot90(scene)) for scene in scenes]
    found = detect.find_faces(detector, rotated, threshold)
    landmarks, scores = _best_orientations(detector, rotated, found)
    good = np.flatnonzero(scores >= MIN_BEST_SCORE)
    found, landmarks = found.select(good), landmarks[good]
    # From the rotated image to the original: x = width - 1 - y', y = x'.
    back = np.zeros((len(images), 2, 3))
    for matrix, image, scene in zip(back, images, scenes, strict=True):
        x, y = image.shape[1] / scene.shape[1], image.shape[0] / scene.shape[0]
        matrix[:] = [0, -x, (scene.shape[1] - 1) * x], [y, 0, 0]
    back = back[found.pictures]
    corners = transform(found.boxes.reshape(-1, 2, 2), back)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    points = transform(landmarks, back).astype(np.float32)
    return Candidates(boxes, points, found.scores, found.pictures)


def _scene(image: U8) -> U8:
    # Large photos are subsampled: reading all pixels would take longer than the search.
    step = max(1, max(image.shape[:2]) // (4 * SEARCH_SIZE))
    return reduced(np.ascontiguousarray(image[::step, ::step]), SEARCH_SIZE)


def _best_orientations(detector: FaceDetector, images: Sequence[U8], faces: Candidates) -> tuple[F32, F32]:
    """Return the landmarks of the best orientation of each face, (n, 5, 2), and its score, (n,).

    Without a clearly best orientation, these are the landmarks of the face, and the score of its own.
    """
    parts = [
        _orient(detector, images, faces.select(np.arange(start, min(start + _AT_ONCE, len(faces)))))
        for start in range(0, len(faces), _AT_ONCE)
    ]
    return (
        np.concatenate([faces.landmarks[:0], *(landmarks for landmarks, _ in parts)]),
        np.concatenate([faces.scores[:0], *(scores for _, scores in parts)]),
    )


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
    for turns in (1, 2, 3):  # from a rotated square to the previous one: x = side - 1 - y', y = x'
        again = best >= turns
        upright[again] = np.stack([SIDE - 1 - upright[again, :, 1], upright[again, :, 0]], axis=2)
    landmarks = transform(upright, inverse(matrices)).astype(np.float32)
    return (
        np.where(turned[:, None, None], landmarks, faces.landmarks),
        np.where(turned, highest, scores[:, 0]),
    )
