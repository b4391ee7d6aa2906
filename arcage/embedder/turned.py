"""Faces that do not stand upright in their image: scans on their side or upside down, without EXIF."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from arcage.embedder import detect
from arcage.embedder.align import move, warp
from arcage.embedder.detect import FaceDetector
from arcage.types import F64, U8, Face

DOUBTFUL = 0.91
"""The detector's score below which a face may be turned. Of 1,058 faces that were turned by 90, 180 or 270
degrees, each that was found had a lower one; 1.5 % of UTKFace's upright ones have."""
ON_SIDE = 320
"""Pixels of the long side of an image that is searched on its side: most images without a face have none on
their side either, so the second search has to be cheap."""
SIDE = 160
"""Pixels of the square in which each orientation is shown; the face takes up half of it."""
LEAST = 0.3
"""The least score of a candidate that is compared."""
CLEAR = 0.85
"""The least score of the orientation that a face is turned to."""
MARGIN = 0.02
"""By how much this orientation's score must be above that of the face as it is."""
NEAR = 37.5
"""Distance from the middle of the square, pixels, up to which landmarks are of the face that is meant."""


def set_upright(detector: FaceDetector, image: U8, face: Face) -> Face:
    """The face with landmarks that say which way up it is.

    A detector finds faces upside down as well, with less confidence, and takes the mouth for the eyes. So
    a face with a low score is looked at in four orientations, and where it is clearly better in another one,
    the landmarks are those found in there.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        face: as :func:`~arcage.embedder.detect.find_faces` found it.
    """
    return _best(detector, image, face)[0] if face.score < DOUBTFUL else face


def find_turned(detector: FaceDetector, image: U8, threshold: float) -> tuple[Face, ...]:
    """The faces of an image in which none was found upright, from the highest score to the lowest.

    The image, reduced to :data:`ON_SIDE` pixels, is searched on its side, which finds faces that are upright
    or upside down there. Faces that no orientation shows clearly are left out.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        threshold: the least detector score, 0 to 1.
    """
    height, width = image.shape[:2]
    # Of a large photo not all pixels are read: that would take longer than the search.
    step = max(1, max(height, width) // (4 * ON_SIDE))
    scene = detect.reduced(np.ascontiguousarray(image[::step, ::step]), ON_SIDE)
    side = np.ascontiguousarray(np.rot90(scene))
    ratio = width / scene.shape[1], height / scene.shape[0]
    # From a pixel on the side to the image's: x = width - 1 - y', y = x'.
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
    """The face with the landmarks of its best orientation, and the score of that."""
    low, high = face.box[:2].astype(np.float64), face.box[2:].astype(np.float64)
    scale = SIDE / 2 / max(1.0, float(np.sqrt(np.prod(high - low))))
    shift = SIDE / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    square = warp(image, matrix, SIDE)
    # All four on one canvas: one look instead of four.
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
    for _ in range(k):  # from the turned square back to the one before: x = side - 1 - y', y = x'
        points = np.stack([SIDE - 1 - points[:, 1], points[:, 0]], axis=1)
    points = move(points, cv2.invertAffineTransform(matrix))
    return replace(face, landmarks=points.astype(np.float32)), best[k]


def _corner(k: int) -> F64:
    """Where the square of an orientation begins on the canvas."""
    return np.array([k % 2, k // 2], np.float64) * SIDE
