"""Views: how a whole image is placed on the detector's canvas."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from arcage.embedder.candidates import Candidates, FaceDetector, non_maximum_suppression
from arcage.types import U8


@dataclass(frozen=True, slots=True)
class View:
    """A size of the image on the detector's canvas, both in pixels.

    The image is scaled until its long side is ``content``, then centred. A view without a margin uses a
    canvas that is cropped to the image, in steps of a quarter: most photos are not square, and black pixels
    take as long as others.
    """

    # These names are part of the pipeline's fingerprint.
    canvas: int
    content: int


# A tight crop fills the picture up to its border. The detector is trained on photos, and finds such a face
# when the picture has a margin: 60 pixels or more around 200.
TIGHT = View(320, 200)
PHOTO = View(640, 640)
LARGE = View(1280, 1280)

SMALL_IMAGE = 256
"""Maximum long side of an image that is treated as the crop of one face, pixels."""
LARGE_IMAGE = 960
"""Long side, pixels, above which faces may be too small for the view :data:`PHOTO`."""
LARGE_VIEW_MAX_FACE = 300
"""Maximum size of a face in the view :data:`LARGE`, pixels of its canvas. :data:`PHOTO` shows larger faces
better."""


def content_size(long_side: int) -> int:
    """Return the long side of an image in its finest view, pixels.

    Args:
        long_side: of the image, pixels.
    """
    if long_side <= SMALL_IMAGE:
        return TIGHT.content
    return min(long_side, PHOTO.content if long_side <= LARGE_IMAGE else LARGE.content)


def reduced(image: U8, long_side: int) -> U8:
    """Return the image, reduced to ``long_side`` pixels if it is larger.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        long_side: maximum of height and width, pixels.
    """
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def search_view(detector: FaceDetector, image: U8, view: View, threshold: float) -> Candidates:
    """Return the faces that the detector finds in one view, in pixels of the image.

    Args:
        detector: finds the candidates; duplicates are removed here.
        image: shape (height, width, 3), uint8, RGB.
        view: only :data:`TIGHT` enlarges small images.
        threshold: minimum score, 0 to 1.
    """
    height, width = image.shape[:2]
    long_side = max(height, width)
    scale = view.content / long_side if view is TIGHT else min(1.0, view.content / long_side)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    step = view.canvas // 4 if view.content == view.canvas else view.canvas
    rows, columns = -(-h // step) * step, -(-w // step) * step
    top, left = (rows - h) // 2, (columns - w) // 2
    canvas = np.zeros((rows, columns, 3), np.uint8)
    if (h, w) == (height, width):
        canvas[top : top + h, left : left + w] = image
    else:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        cv2.resize(image, (w, h), dst=canvas[top : top + h, left : left + w], interpolation=interpolation)
    found = detector.candidates(canvas, threshold)
    if view is LARGE:
        found = found.select(found.sizes() <= LARGE_VIEW_MAX_FACE)
    found = found.select(non_maximum_suppression(found.boxes, found.scores))
    offset = np.array([left, top], np.float32)
    ratio = np.array([width / w, height / h], np.float32)
    return found.shifted(-offset).scaled(ratio)
