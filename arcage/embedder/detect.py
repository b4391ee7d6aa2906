"""Find the faces of an image of any size, each once."""

from __future__ import annotations

import numpy as np

from arcage.embedder.candidates import Candidates, FaceDetector, non_maximum_suppression
from arcage.embedder.tiles import needs_tiles, search_tiles
from arcage.embedder.views import LARGE, LARGE_IMAGE, PHOTO, SMALL_IMAGE, TIGHT, reduced, search_view
from arcage.types import U8, Face

DEFAULT_MIN_FACE = 40
"""Minimum face width, pixels of the image. Images of up to 4,266 pixels need no tiles for it."""
LOWEST_MIN_FACE = 8
"""Lowest minimum face width that can be set: smaller faces are hardly found, even enlarged."""
BORDER_FRACTION = 0.02
"""A box touches the image's border if it is closer to it than this share of the image's long side."""


def find_faces(
    detector: FaceDetector, image: U8, threshold: float, min_face: int = DEFAULT_MIN_FACE
) -> tuple[Face, ...]:
    """Return all faces of one image, highest score first.

    Small images are searched with a margin around them. Photos are searched at up to 640 pixels, large ones
    also at up to 1,280 pixels. If nothing is found, or a face touches the border, the image is searched
    again, small and with a margin. If faces of ``min_face`` pixels are too small for these views, tiles of
    the image are searched as well.

    Args:
        detector: finds the candidates of one canvas.
        image: shape (height, width, 3), uint8, RGB.
        threshold: minimum score, 0 to 1.
        min_face: minimum face width, pixels.
    """
    found = _search_views(detector, image, threshold)
    if needs_tiles(image.shape[1], image.shape[0], min_face):
        found += search_tiles(detector, image, threshold, min_face)
    views = np.repeat(np.arange(len(found)), [len(f) for f in found])
    boxes = np.concatenate([f.boxes for f in found])
    landmarks = np.concatenate([f.landmarks for f in found])
    scores = np.concatenate([f.scores for f in found])
    kept = non_maximum_suppression(boxes, scores, views)
    return tuple(Face(boxes[i], landmarks[i], float(scores[i])) for i in kept)


def _search_views(detector: FaceDetector, image: U8, threshold: float) -> list[Candidates]:
    """Return the faces of each view of the whole image, in pixels of the image."""
    height, width = image.shape[:2]
    if max(height, width) <= SMALL_IMAGE:
        return [search_view(detector, image, TIGHT, threshold)]
    # All views are made from the size of the finest one, so that a large photo is read once.
    scene = reduced(image, LARGE.content)
    found = [search_view(detector, scene, PHOTO, threshold)]
    if max(height, width) > LARGE_IMAGE:
        found.append(search_view(detector, scene, LARGE, threshold))
    boxes = np.concatenate([f.boxes for f in found])
    margin = BORDER_FRACTION * max(scene.shape[:2])
    right, bottom = scene.shape[1] - margin, scene.shape[0] - margin
    touching = (boxes[:, :2].min(axis=1) < margin) | (boxes[:, 2] > right) | (boxes[:, 3] > bottom)
    if not len(boxes) or touching.any():
        found.append(search_view(detector, scene, TIGHT, threshold))
    ratio = np.array([width / scene.shape[1], height / scene.shape[0]], np.float32)
    return [f.scaled(ratio) for f in found]
