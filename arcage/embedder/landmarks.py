"""Refine a face's landmarks by detecting it again, upright and at the detector's best size."""

from __future__ import annotations

import cv2
import numpy as np

from arcage.embedder.align import similarity, transform, warp
from arcage.embedder.candidates import FaceDetector
from arcage.types import F32, F64, U8

CANVAS = 320
"""Side of the canvas, pixels."""
REFERENCE: F64 = np.array([[60.0, 61.2], [140.0, 61.8], [98.3, 102.5], [65.0, 137.8], [130.4, 138.1]]) + 60
"""Where the landmarks are placed for the second detection, pixels of the canvas: the average landmarks of
UTKFace's crops with a margin of 60 pixels."""
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


def refine(detector: FaceDetector, image: U8, landmarks: F32) -> F32:
    """Return landmarks that hardly depend on the position and size of the face in the image.

    A detector's landmarks move by a pixel or two when the picture is scaled or shifted, and the descriptor
    changes with them. Each face is therefore brought upright and to one size, detected again together with
    its mirror image, and all candidates that agree are averaged, weighted by their scores.

    Args:
        detector: the detector that found the face.
        image: shape (height, width, 3), uint8, RGB.
        landmarks: shape (5, 2), pixels of ``image``, from the first detection.

    Returns:
        Shape (5, 2), float32; ``landmarks`` itself if the face is not found again.
    """
    matrix = similarity(landmarks, REFERENCE)
    canvas = warp(image, matrix, CANVAS)
    upright = _detect(detector, canvas)
    mirrored = _detect(detector, np.ascontiguousarray(canvas[:, ::-1]))
    found = [] if upright is None else [upright]
    if mirrored is not None:
        found.append((mirrored * [-1, 1] + [CANVAS - 1, 0])[MIRROR_ORDER])
    if not found:
        return landmarks
    back = transform(np.mean(found, axis=0), cv2.invertAffineTransform(matrix))
    return back.astype(np.float32)


def _detect(detector: FaceDetector, canvas: U8) -> F64 | None:
    """Return the average landmarks of the face in the middle of the canvas; None if there is none."""
    found = detector.candidates(canvas, MIN_SCORE)
    if not len(found):
        return None
    offset = np.linalg.norm(found.landmarks.mean(axis=1) - REFERENCE.mean(axis=0), axis=1)
    best = int(np.argmax(found.scores - offset / MAX_OFFSET))
    if offset[best] > MAX_OFFSET:
        return None
    distance = np.linalg.norm(found.landmarks - found.landmarks[best], axis=2).mean(axis=1)
    weights = (found.scores * (distance < SAME_FACE)).astype(np.float64)
    return np.asarray(np.tensordot(weights / weights.sum(), found.landmarks, axes=1), np.float64)
