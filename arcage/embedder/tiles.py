"""Tiles: parts of a large image, at a scale at which the detector finds its small faces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from arcage.embedder.candidates import Candidates, FaceDetector, non_maximum_suppression
from arcage.embedder.views import LARGE, content_size
from arcage.types import U8, Array

DETECTABLE_WIDTH = 12
"""Width of the smallest face that the detector is expected to find, pixels of the canvas."""
VIEW_FACE_HEIGHT = 24
"""Height of a face that is found without tiles, pixels of the image's finest view."""
MIN_OVERLAP = 64
"""Minimum overlap of two tiles, pixels of the canvas."""
_AT_ONCE = 8
"""Maximum number of tiles that are in memory: with 1,280 pixels, 5 MB each."""
CUT_FRACTION = 0.1
"""A box closer to a tile's border than this share of its size may be part of a face."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One side of a tile."""

    start: int
    stop: int
    """``start`` and ``stop`` are in pixels of the image."""
    canvas: int
    """Side of the canvas, pixels."""


def needs_tiles(width: int, height: int, min_face: int) -> bool:
    """Return whether faces of ``min_face`` pixels are too small for all views of an image of this size."""
    long_side = max(width, height)
    return long_side * DETECTABLE_WIDTH / min_face > content_size(long_side)


def search_tiles(detector: FaceDetector, image: U8, threshold: float, min_face: int) -> Iterator[Candidates]:
    """Yield the faces of each tile, in pixels of the image, all on picture 0.

    Tiles overlap by the size of the largest face that needs them, so that each such face is complete in one
    of them; larger faces are left to the views. The overlap is at most half of a tile: in images of more than
    34,000 pixels at the tiles' scale, a face of nearly that size may be missed. A few tiles at a time are cut
    and scaled, so that memory does not grow with their number.

    Args:
        detector: finds the candidates; duplicates within a tile are removed here.
        image: shape (height, width, 3), uint8, RGB.
        threshold: minimum score, 0 to 1.
        min_face: minimum face width, pixels of the image.
    """
    height, width = image.shape[:2]
    scale = DETECTABLE_WIDTH / min_face
    long_side = max(height, width)
    overlap = max(MIN_OVERLAP, VIEW_FACE_HEIGHT * scale * long_side / content_size(long_side))
    columns = segments(width, scale, overlap)
    for row in segments(height, scale, overlap):
        for part in (columns[i : i + _AT_ONCE] for i in range(0, len(columns), _AT_ONCE)):
            yield from _search_row(detector, image, threshold, scale, overlap, row, part)


def _search_row(
    detector: FaceDetector,
    image: U8,
    threshold: float,
    scale: float,
    overlap: float,
    row: Segment,
    columns: list[Segment],
) -> Iterator[Candidates]:
    """Yield the faces of some tiles of one row, whose canvases have one size."""
    height, width = image.shape[:2]
    canvases = np.zeros((len(columns), row.canvas, columns[0].canvas, 3), np.uint8)
    sizes = []
    for canvas, column in zip(canvases, columns, strict=True):
        part = image[row.start : row.stop, column.start : column.stop]
        h, w = max(1, round(part.shape[0] * scale)), max(1, round(part.shape[1] * scale))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        cv2.resize(part, (w, h), dst=canvas[:h, :w], interpolation=interpolation)
        sizes.append((h, w))
    all_found = detector.candidates(canvases, threshold)
    for i, (column, (h, w)) in enumerate(zip(columns, sizes, strict=True)):
        found = all_found.select(all_found.pictures == i).numbered([0] * len(columns))
        # A face at an inner border is complete in another tile.
        margin = CUT_FRACTION * found.sizes()
        complete = _inside(found.boxes[:, [0, 2]], margin, column, w, width)
        complete &= _inside(found.boxes[:, [1, 3]], margin, row, h, height)
        found = found.select(complete & (found.sizes() <= overlap))
        found = found.select(non_maximum_suppression(found))
        ratio = np.array([[(column.stop - column.start) / w, (row.stop - row.start) / h]], np.float32)
        yield found.scaled(ratio).shifted(np.array([[column.start, row.start]], np.float32))


def segments(length: int, scale: float, overlap: float) -> list[Segment]:
    """Divide one side of an image into the sides of its tiles.

    Canvas sizes are those of photos, because a runtime prepares each new shape.

    Args:
        length: of the image's side, pixels.
        scale: pixels of the canvas per pixel of the image.
        overlap: of two neighbours, pixels of the canvas; at most half of a tile counts.
    """
    content = math.ceil(length * scale)
    longest = LARGE.canvas
    # With almost as much as a tile, a panorama would have millions of them.
    overlap = min(overlap, longest / 2)
    count = 1 if content <= longest else math.ceil((content - overlap) / (longest - overlap))
    step = longest // 4
    canvas = min(longest, step * math.ceil((content + (count - 1) * overlap) / count / step))
    size = min(length, max(1, int(canvas / scale)))
    starts = [round(i * (length - size) / max(1, count - 1)) for i in range(count)]
    return [Segment(start, start + size, canvas) for start in starts]


def _inside(edges: Array, margin: Array, segment: Segment, content: int, length: int) -> Array:
    """Return which boxes are clear of the tile's inner borders along one axis.

    Args:
        edges: shape (n, 2): low and high edge of each box, pixels of the canvas.
        margin: shape (n,): required distance, pixels of the canvas.
        segment: the tile's side along the axis.
        content: pixels of the canvas that the image covers.
        length: of the image's side, pixels.
    """
    above = (segment.start == 0) | (edges[:, 0] > margin)
    below = (segment.stop == length) | (edges[:, 1] < content - margin)
    inside: Array = above & below
    return inside
