"""Views: how a whole image is placed on the detector's canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from arcage.embedder.candidates import Candidates, FaceDetector, joined, non_maximum_suppression
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
# when the picture has a margin: 28 pixels around 200 are as good as 60.
TIGHT = View(256, 200)
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
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    # OpenCV halves a picture ten times as fast as it averages it to another size.
    while image.shape[0] >= 2 * high and image.shape[1] >= 2 * wide:
        image = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    # Interpolation would skip pixels of a line, which cannot be halved.
    average = image.shape[0] >= 2 * high or image.shape[1] >= 2 * wide
    interpolation = cv2.INTER_AREA if average else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (wide, high), interpolation=interpolation), np.uint8)


def search_view(detector: FaceDetector, images: Sequence[U8], view: View, threshold: float) -> Candidates:
    """Return the faces that the detector finds in one view of each image, in pixels of the images.

    Args:
        detector: finds the candidates; duplicates are removed here.
        images: each (height, width, 3), uint8, RGB. Canvases of one shape are searched together.
        view: only :data:`TIGHT` enlarges small images.
        threshold: minimum score, 0 to 1.
    """
    places = [_place(image, view) for image in images]
    groups: dict[tuple[int, int], list[int]] = {}
    for i, place in enumerate(places):
        groups.setdefault((place.rows, place.columns), []).append(i)
    parts = []
    for (rows, columns), numbers in groups.items():
        canvases = np.zeros((len(numbers), rows, columns, 3), np.uint8)
        for canvas, i in zip(canvases, numbers, strict=True):
            place = places[i]
            draw(
                images[i], canvas[place.top : place.top + place.height, place.left : place.left + place.width]
            )
        parts.append(detector.candidates(canvases, threshold).numbered(numbers))
    found = joined(parts)
    if view is LARGE:
        found = found.select(found.sizes() <= LARGE_VIEW_MAX_FACE)
    found = found.select(non_maximum_suppression(found))
    offsets = np.array([(place.left, place.top) for place in places], np.float32).reshape(-1, 2)
    ratios = [
        (image.shape[1] / place.width, image.shape[0] / place.height)
        for image, place in zip(images, places, strict=True)
    ]
    return found.shifted(-offsets).scaled(np.array(ratios, np.float32).reshape(-1, 2))


def draw(image: U8, canvas: U8) -> None:
    """Resize an image into a part of a canvas, (height, width, 3)."""
    (height, width), (h, w) = image.shape[:2], canvas.shape[:2]
    if (h, w) == (height, width):
        canvas[:] = image
    else:
        interpolation = cv2.INTER_AREA if max(h, w) < max(height, width) else cv2.INTER_LINEAR
        cv2.resize(image, (w, h), dst=canvas, interpolation=interpolation)


@dataclass(frozen=True, slots=True)
class _Place:
    """A canvas, and where on it an image is, pixels."""

    rows: int
    columns: int
    top: int
    left: int
    height: int
    width: int


def _place(image: U8, view: View) -> _Place:
    height, width = image.shape[:2]
    scale = view.content / max(height, width)
    if view is not TIGHT:
        scale = min(1.0, scale)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    step = view.canvas // 4 if view.content == view.canvas else view.canvas
    rows, columns = -(-h // step) * step, -(-w // step) * step
    return _Place(rows, columns, (rows - h) // 2, (columns - w) // 2, h, w)
