"""Detect faces that are not upright: scans on their side or upside down, without EXIF."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from arcage.embedder import detect
from arcage.embedder.align import move, warp
from arcage.embedder.detect import FaceDetector
from arcage.types import F64, U8, Face

DOUBTFUL = 0.91
"""Detector score below which a face may be rotated. Of 1,058 faces rotated by 90, 180 or 270 degrees, all
that were found had a lower score; 1.5 % of the upright faces of UTKFace do."""
ON_SIDE = 320
"""Long side of an image that is searched on its side, pixels: most images without a face have none on their
side either, so the second search has to be cheap."""
SIDE = 160
"""Side of the square of each orientation, pixels; the face takes up half of it."""
LEAST = 0.3
"""Minimum score of the candidates that are compared."""
CLEAR = 0.85
"""Minimum score of a chosen orientation."""
MARGIN = 0.02
"""Minimum gain of its score over that of the original orientation."""
NEAR = 37.5
"""Maximum distance of the face's landmarks from the centre of the square, pixels."""


def set_upright(detector: FaceDetector, image: U8, face: Face) -> Face:
    """Return the face with the landmarks of its upright orientation.

    A detector also finds faces upside down, with a lower score, and mistakes the mouth for the eyes. A face
    with a low score is therefore detected in four orientations; if another one is clearly better, its
    landmarks are used.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        face: a result of :func:`~arcage.embedder.detect.find_faces`.
    """
    return _best(detector, image, face)[0] if face.score < DOUBTFUL else face


def find_turned(detector: FaceDetector, image: U8, threshold: float) -> tuple[Face, ...]:
    """Return the faces of an image without upright faces, from the highest score to the lowest.

    The image, reduced to :data:`ON_SIDE` pixels, is searched on its side, where faces are upright or upside
    down. Faces without a clearly best orientation are left out.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        threshold: minimum detector score, 0 to 1.
    """
    height, width = image.shape[:2]
    # Large photos are subsampled: reading all pixels would take longer than the search.
    step = max(1, max(height, width) // (4 * ON_SIDE))
    scene = detect.reduced(np.ascontiguousarray(image[::step, ::step]), ON_SIDE)
    side = np.ascontiguousarray(np.rot90(scene))
    ratio = width / scene.shape[1], height / scene.shape[0]
    # From the rotated image to the original: x = width - 1 - y', y = x'.
    back = np.array([[0, -ratio[0], (scene.shape[1] - 1) * ratio[0]], [ratio[1], 0, 0]])
    found = []
    for face in detect.find_faces(detector, side, threshold):
        righted, score = _best(detector, side, face)
        if score >= CLEAR:
            x, y = move(face.box.reshape(2, 2), back).T
            box = np.array([x.min(), y.min(), x.max(), y.max()], np.float32)
            landmarks = move(righted.landmarks, back).astype(np.float32)
            found.append(Face(box, landmarks, face.score))
    return tuple(found)


def _best(detector: FaceDetector, image: U8, face: Face) -> tuple[Face, float]:
    """Return the face with the landmarks of its best orientation, and that score."""
    low, high = face.box[:2].astype(np.float64), face.box[2:].astype(np.float64)
    scale = SIDE / 2 / max(1.0, float(np.sqrt(np.prod(high - low))))
    shift = SIDE / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    square = warp(image, matrix, SIDE)
    # All four on one canvas: one detector run instead of four.
    turns = [np.rot90(square, k) for k in range(4)]
    canvas = np.concatenate([np.concatenate(turns[:2], axis=1), np.concatenate(turns[2:], axis=1)])
    _, landmarks, scores = detector.candidates(canvas, LEAST)
    middle = landmarks.mean(axis=1)
    seen = [np.flatnonzero(np.linalg.norm(middle - _corner(k) - SIDE / 2, axis=1) <= NEAR) for k in range(4)]
    best = [float(scores[i].max(initial=0)) for i in seen]
    k = int(np.argmax(best))
    if k == 0 or best[k] < CLEAR or best[k] < best[0] + MARGIN:
        return face, best[0]
    points = landmarks[seen[k][np.argmax(scores[seen[k]])]] - _corner(k)
    for _ in range(k):  # from the rotated square to the previous one: x = side - 1 - y', y = x'
        points = np.stack([SIDE - 1 - points[:, 1], points[:, 0]], axis=1)
    points = move(points, cv2.invertAffineTransform(matrix))
    return replace(face, landmarks=points.astype(np.float32)), best[k]


def _corner(k: int) -> F64:
    """Return the origin of an orientation's square on the canvas."""
    return np.array([k % 2, k // 2], np.float64) * SIDE
