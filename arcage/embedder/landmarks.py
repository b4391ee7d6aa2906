"""A face's landmarks, found once more where the detector sees best."""

from __future__ import annotations

import cv2
import numpy as np

from arcage.embedder.align import move, similarity, warp
from arcage.embedder.detect import FaceDetector
from arcage.types import F32, F64, U8

CANVAS = 320
PLACES: F64 = np.array([[60.0, 61.2], [140.0, 61.8], [98.3, 102.5], [65.0, 137.8], [130.4, 138.1]]) + 60
"""Where the landmarks are brought before the second look, pixels of the canvas: where those of a UTKFace
crop lie on average when it has a margin of 60 pixels."""
THRESHOLD = 0.3
"""The least score of a candidate that is heard: next to a face's best cell are others that see it too."""
NEAR = 10.0
"""Mean distance of landmarks, pixels of the canvas, up to which two candidates mean the same face; between
the eyes lie 80."""
FAR = 50.0
"""Distance of the landmarks' mean from where it should be, pixels of the canvas, from which on another face
is seen."""
MIRRORED = [1, 0, 2, 4, 3]
"""The landmarks' order in the mirror image."""


def refine(detector: FaceDetector, image: U8, landmarks: F32) -> F32:
    """Landmarks that hardly depend on where and how large the face lies in the image.

    A detector's landmarks move by a pixel or two when the picture is scaled or shifted, and the
    descriptor with them. So each face is brought upright and to one size, searched again together with
    its mirror image, and all candidates that agree are averaged by their scores.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        landmarks: shape (5, 2), pixels of ``image``, as the detector found them first.

    Returns:
        Shape (5, 2), float32; ``landmarks`` where the second look finds nothing there.
    """
    matrix = similarity(landmarks, PLACES)
    canvas = warp(image, matrix, CANVAS)
    seen = _look(detector, canvas)
    flipped = _look(detector, np.ascontiguousarray(canvas[:, ::-1]))
    looks = [] if seen is None else [seen]
    if flipped is not None:
        looks.append((flipped * [-1, 1] + [CANVAS - 1, 0])[MIRRORED])
    if not looks:
        return landmarks
    back = move(np.mean(looks, axis=0), cv2.invertAffineTransform(matrix))
    return back.astype(np.float32)


def _look(detector: FaceDetector, canvas: U8) -> F64 | None:
    _, landmarks, scores = detector.candidates(canvas, THRESHOLD)
    if not len(scores):
        return None
    # Of several faces on the canvas the one in its middle is meant.
    off = np.linalg.norm(landmarks.mean(axis=1) - PLACES.mean(axis=0), axis=1)
    best = int(np.argmax(scores - off / FAR))
    if off[best] > FAR:
        return None
    agree = np.linalg.norm(landmarks - landmarks[best], axis=2).mean(axis=1) < NEAR
    weights = (scores * agree).astype(np.float64)
    return np.asarray(np.tensordot(weights / weights.sum(), landmarks, axes=1), np.float64)
