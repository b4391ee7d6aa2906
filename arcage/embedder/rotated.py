"""Detect faces that are not upright: scans on their side or upside down, without EXIF orientation."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from arcage.embedder import detect
from arcage.embedder.align import transform, warp
from arcage.embedder.candidates import FaceDetector
from arcage.embedder.views import reduced
from arcage.types import F64, U8, Face

UPRIGHT_SCORE = 0.91
"""Minimum detector score of faces that are taken as upright. Of 1,058 faces rotated by 90, 180 or 270
degrees, all that were found had a lower score, as have 1.5 % of the upright faces of UTKFace."""
SEARCH_SIZE = 320
"""Long side of an image that is searched on its side, pixels. Most images in which no upright face is found
have no rotated one either, so the second search has to be fast."""
SIDE = 160
"""Side of the square of each orientation, pixels; the face takes up half of it."""
MIN_SCORE = 0.3
"""Minimum score of the candidates that are compared."""
MIN_BEST_SCORE = 0.85
"""Minimum score of a chosen orientation."""
MIN_GAIN = 0.02
"""Minimum gain of its score over that of the original orientation."""
MAX_OFFSET = 37.5
"""Maximum distance of the landmarks' centre from the centre of the square, pixels."""


def set_upright(detector: FaceDetector, image: U8, face: Face) -> Face:
    """Return the face with the landmarks of its upright orientation.

    A detector also finds faces upside down, with a lower score, and mistakes the mouth for the eyes. A face
    with a low score is therefore detected in four orientations; if another one is clearly better, its
    landmarks are used.

    Args:
        detector: the detector that found the face.
        image: shape (height, width, 3), uint8, RGB.
        face: a result of :func:`~arcage.embedder.detect.find_faces`.
    """
    return _best_orientation(detector, image, face)[0] if face.score < UPRIGHT_SCORE else face


def find_rotated(detector: FaceDetector, image: U8, threshold: float) -> tuple[Face, ...]:
    """Return the faces of an image without upright faces, highest score first.

    The image, reduced to :data:`SEARCH_SIZE` pixels, is searched on its side, where faces are upright or
    upside down. Faces without a clearly best orientation are left out.

    Args:
        detector: finds the candidates of one canvas.
        image: shape (height, width, 3), uint8, RGB.
        threshold: minimum detector score, 0 to 1.
    """
    height, width = image.shape[:2]
    # Large photos are subsampled: reading all pixels would take longer than the search.
    step = max(1, max(height, width) // (4 * SEARCH_SIZE))
    scene = reduced(np.ascontiguousarray(image[::step, ::step]), SEARCH_SIZE)
    rotated = np.ascontiguousarray(np.rot90(scene))
    ratio = width / scene.shape[1], height / scene.shape[0]
    # From the rotated image to the original: x = width - 1 - y', y = x'.
    back = np.array([[0, -ratio[0], (scene.shape[1] - 1) * ratio[0]], [ratio[1], 0, 0]])
    found = []
    for face in detect.find_faces(detector, rotated, threshold):
        upright, score = _best_orientation(detector, rotated, face)
        if score >= MIN_BEST_SCORE:
            x, y = transform(face.box.reshape(2, 2), back).T
            box = np.array([x.min(), y.min(), x.max(), y.max()], np.float32)
            landmarks = transform(upright.landmarks, back).astype(np.float32)
            found.append(Face(box, landmarks, face.score))
    return tuple(found)


def _best_orientation(detector: FaceDetector, image: U8, face: Face) -> tuple[Face, float]:
    """Return the face with the landmarks of its best orientation, and that orientation's score."""
    low, high = face.box[:2].astype(np.float64), face.box[2:].astype(np.float64)
    scale = SIDE / 2 / max(1.0, float(np.sqrt(np.prod(high - low))))
    shift = SIDE / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    square = warp(image, matrix, SIDE)
    # All four on one canvas: one detector run instead of four.
    squares = [np.rot90(square, k) for k in range(4)]
    canvas = np.concatenate([np.concatenate(squares[:2], axis=1), np.concatenate(squares[2:], axis=1)])
    found = detector.candidates(canvas, MIN_SCORE)
    centres = found.landmarks.mean(axis=1)
    rows = [
        np.flatnonzero(np.linalg.norm(centres - _origin(k) - SIDE / 2, axis=1) <= MAX_OFFSET)
        for k in range(4)
    ]
    scores = [float(found.scores[r].max(initial=0)) for r in rows]
    k = int(np.argmax(scores))
    if k == 0 or scores[k] < MIN_BEST_SCORE or scores[k] < scores[0] + MIN_GAIN:
        return face, scores[0]
    points = found.landmarks[rows[k][np.argmax(found.scores[rows[k]])]] - _origin(k)
    for _ in range(k):  # from the rotated square to the previous one: x = side - 1 - y', y = x'
        points = np.stack([SIDE - 1 - points[:, 1], points[:, 0]], axis=1)
    points = transform(points, cv2.invertAffineTransform(matrix))
    return replace(face, landmarks=points.astype(np.float32)), scores[k]


def _origin(k: int) -> F64:
    """Return the upper left corner of an orientation's square on the canvas."""
    return np.array([k % 2, k // 2], np.float64) * SIDE
