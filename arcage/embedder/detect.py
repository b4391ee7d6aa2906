"""Find the faces of images of any size, each once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arcage.embedder.candidates import Candidates, FaceDetector, joined, non_maximum_suppression
from arcage.embedder.tiles import needs_tiles, search_tiles
from arcage.embedder.views import LARGE, LARGE_IMAGE, PHOTO, SMALL_IMAGE, TIGHT, reduced, search_view
from arcage.types import U8

DEFAULT_MIN_FACE = 40
"""Minimum face width, pixels of the image. Images of up to 4,266 pixels need no tiles for it."""
LOWEST_MIN_FACE = 8
"""Lowest minimum face width that can be set: smaller faces are hardly found, even enlarged."""
BORDER_FRACTION = 0.02
"""A box touches the image's border if it is closer to it than this share of the image's long side."""


def find_faces(
    detector: FaceDetector, images: Sequence[U8], threshold: float, min_face: int = DEFAULT_MIN_FACE
) -> Candidates:
    """Return all faces of each image, by image and then highest score first.

    Small images are searched with a margin around them. Photos are searched at up to 640 pixels, large ones
    also at up to 1,280 pixels. If nothing is found, or a face touches the border, the image is searched
    again, small and with a margin. If faces of ``min_face`` pixels are too small for these views, tiles of
    the image are searched as well.

    Args:
        detector: finds the candidates of canvases.
        images: each (height, width, 3), uint8, RGB.
        threshold: minimum score, 0 to 1.
        min_face: minimum face width, pixels.
    """
    small = [i for i, image in enumerate(images) if max(image.shape[:2]) <= SMALL_IMAGE]
    large = [i for i, image in enumerate(images) if max(image.shape[:2]) > SMALL_IMAGE]
    found = [search_view(detector, [images[i] for i in small], TIGHT, threshold).numbered(small)]
    found += [
        part.numbered(large) for part in _search_photos(detector, [images[i] for i in large], threshold)
    ]
    for i, image in enumerate(images):
        if needs_tiles(image.shape[1], image.shape[0], min_face):
            tiles = search_tiles(detector, image, threshold, min_face)
            found += [tile.numbered([i]) for tile in tiles]
    views = np.repeat(np.arange(len(found)), [len(part) for part in found])
    together = joined(found)
    return together.select(non_maximum_suppression(together, views))


def _search_photos(detector: FaceDetector, images: Sequence[U8], threshold: float) -> list[Candidates]:
    """Return the faces of each view of whole photos, in pixels of the photos."""
    if not images:
        return []
    # All views are made from the size of the finest one, so that a large photo is read once.
    scenes = [reduced(image, LARGE.content) for image in images]
    sizes = np.array([(scene.shape[1], scene.shape[0]) for scene in scenes], np.float32)
    found = [search_view(detector, scenes, PHOTO, threshold)]
    fine = [i for i, image in enumerate(images) if max(image.shape[:2]) > LARGE_IMAGE]
    if fine:
        found.append(search_view(detector, [scenes[i] for i in fine], LARGE, threshold).numbered(fine))
    faces = joined(found)
    size = sizes[faces.pictures]
    margin = BORDER_FRACTION * size.max(axis=1)
    touching = (faces.boxes[:, :2].min(axis=1) < margin) | (faces.boxes[:, 2:] > size - margin[:, None]).any(
        axis=1
    )
    again = np.ones(len(scenes), bool)
    again[faces.pictures] = False
    again[faces.pictures[touching]] = True
    tight = [int(i) for i in np.flatnonzero(again)]
    if tight:
        found.append(search_view(detector, [scenes[i] for i in tight], TIGHT, threshold).numbered(tight))
    full = np.array([(image.shape[1], image.shape[0]) for image in images])
    return [part.scaled((full / sizes).astype(np.float32)) for part in found]
