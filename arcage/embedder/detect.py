"""An image of any size -> its faces: which canvases the detector sees, and how their answers merge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from arcage.types import F32, U8, Face


class FaceDetector(Protocol):
    """Finds face candidates on a canvas."""

    def candidates(self, canvas: U8, threshold: float) -> tuple[F32, F32, F32]:
        """Boxes (n, 4), landmarks (n, 5, 2) and scores (n,) in pixels of ``canvas`` (height, width, 3), RGB;
        height and width are multiples of 32."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """How an image is laid on a canvas: scaled until its long side is ``content``, then centred.

    A canvas without a margin is no larger than the image asks for, in steps of a quarter: most photos are
    not square, and what is black costs as much as what is not.
    """

    canvas: int
    content: int


# A tight crop fills the picture and touches its border: the detector, trained on photos, finds it
# when the picture is laid on a canvas with a margin of 60 pixels or more around 200.
TIGHT = View(320, 200)
PHOTO = View(640, 640)
LARGE = View(1280, 1280)

SMALL_IMAGE = 256
"""Pixels of the long side up to which an image is taken for a crop of one face."""
LARGE_IMAGE = 960
"""Pixels of the long side above which faces may be too small to be seen on the photo's canvas."""
BORDER = 0.02
"""A box nearer to the border than this share of the image's long side is said to touch it."""
OVERLAP = 0.4
"""Two boxes with more intersection over union than this are one face."""
INSIDE = 0.6
"""A box that lies by more than this share inside a better one of another view is a part of that face: on
a fine view a close-up's cheek and eye can pass for a face."""
LARGEST_FINE = 300
"""Pixels of a face on the large photo's canvas, above which the photo's canvas sees it better."""
SMALLEST = 12
"""Width of the smallest face that the detector is expected to find, pixels of the canvas."""
MIN_FACE = 40
"""Default minimum face width, pixels of the image. Up to 4,266 pixels of the long side, the views of the
whole image are enough for it."""
FINEST = 8
"""Lowest allowed minimum width: smaller faces are hardly found, even enlarged."""
ENOUGH = 24
"""Height of a face that is found without tiles, pixels of the finest view of the whole image."""
LEAST_OVERLAP = 64
"""Pixels of a tile's canvas."""
CUT = 0.1
"""A box closer to a tile's border than this share of its size may be a partial face."""
CANDIDATES = 16_000
"""At most so many candidates of a view are looked at, the best; a canvas tiled with faces gives fewer."""


def find_faces(
    detector: FaceDetector, image: U8, threshold: float, min_face: int = MIN_FACE
) -> tuple[Face, ...]:
    """All faces of one image, from the highest score to the lowest.

    Small images are searched with a margin around them. Photos are searched at up to 640 pixels,
    large ones at up to 1,280 as well; where nothing is found, or a face touches the border, they
    are searched once more, small and with a margin. If faces of ``min_face`` pixels are too small for
    these views, tiles of the image are searched too.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        threshold: the least detector score, 0 to 1.
        min_face: minimum face width, pixels.
    """
    found = _overview(detector, image, threshold)
    if needs_tiles(image.shape[1], image.shape[0], min_face):
        found += _search_tiles(detector, image, threshold, min_face)
    views = np.repeat(np.arange(len(found)), [len(f[2]) for f in found])
    boxes, landmarks, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    return tuple(Face(boxes[i], landmarks[i], float(scores[i])) for i in _nms(boxes, scores, views))


def needs_tiles(width: int, height: int, min_face: int) -> bool:
    """Whether finding faces of ``min_face`` pixels in an image of this size needs tiles."""
    long = max(width, height)
    return long * SMALLEST / min_face > _shown(long)


def _shown(long: int) -> int:
    """Return the long side of the finest view of a whole image, pixels."""
    if long <= SMALL_IMAGE:
        return TIGHT.content
    return min(long, PHOTO.content if long <= LARGE_IMAGE else LARGE.content)


def _overview(detector: FaceDetector, image: U8, threshold: float) -> list[tuple[F32, F32, F32]]:
    """Return the candidates of each view of the whole image, in pixels of the image."""
    height, width = image.shape[:2]
    long = max(height, width)
    if long <= SMALL_IMAGE:
        return [_search(detector, image, TIGHT, threshold)]
    # What the finest view shows is enough for the others, and the pixels of a large photo are read once.
    scene = reduced(image, LARGE.content)
    found = [_search(detector, scene, PHOTO, threshold)]
    if long > LARGE_IMAGE:
        found.append(_search(detector, scene, LARGE, threshold))
    ratio = np.array([width / scene.shape[1], height / scene.shape[0]], np.float32)
    height, width = scene.shape[:2]
    long = max(height, width)
    boxes = np.concatenate([f[0] for f in found])
    margin = BORDER * long
    touching = (
        (boxes[:, :2].min(axis=1) < margin) | (boxes[:, 2] > width - margin) | (boxes[:, 3] > height - margin)
    )
    if not len(boxes) or touching.any():
        found.append(_search(detector, scene, TIGHT, threshold))
    return [(boxes * np.tile(ratio, 2), landmarks * ratio, scores) for boxes, landmarks, scores in found]


def _search_tiles(
    detector: FaceDetector, image: U8, threshold: float, min_face: int
) -> list[tuple[F32, F32, F32]]:
    """Return the candidates of each tile, in pixels of the image.

    Tiles overlap by the size of the largest face that needs them, so that each such face is complete in one
    of them; views of the whole image find larger faces. Tiles are cut and scaled one at a time: memory does
    not grow with their number.
    """
    height, width = image.shape[:2]
    scale = SMALLEST / min_face
    long = max(height, width)
    overlap = max(LEAST_OVERLAP, ENOUGH * scale * long / _shown(long))
    rows, across = _cut(height, scale, overlap), _cut(width, scale, overlap)
    found = []
    for top, bottom, tall in rows:
        for left, right, wide in across:
            part = image[top:bottom, left:right]
            h, w = max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
            canvas = np.zeros((tall, wide, 3), np.uint8)
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            cv2.resize(part, (w, h), dst=canvas[:h, :w], interpolation=how)
            boxes, landmarks, scores = detector.candidates(canvas, threshold)
            size = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
            # A face that an inner border cuts is complete in another tile.
            near = CUT * size
            whole = (
                ((left == 0) | (boxes[:, 0] > near))
                & ((top == 0) | (boxes[:, 1] > near))
                & ((right == width) | (boxes[:, 2] < w - near))
                & ((bottom == height) | (boxes[:, 3] < h - near))
            )
            chosen = whole & (size <= overlap)
            boxes, landmarks, scores = boxes[chosen], landmarks[chosen], scores[chosen]
            keep = _nms(boxes, scores)
            ratio = np.array([(right - left) / w, (bottom - top) / h], np.float32)
            corner = np.array([left, top], np.float32)
            found.append(
                (
                    boxes[keep] * np.tile(ratio, 2) + np.tile(corner, 2),
                    landmarks[keep] * ratio + corner,
                    scores[keep],
                )
            )
    return found


def _cut(length: int, scale: float, overlap: float) -> list[tuple[int, int, int]]:
    """Divide one side of an image into tiles: start and end in the image, and side of the canvas, pixels.

    Canvas sizes are those of photos, because a runtime prepares each new shape.
    """
    shown = math.ceil(length * scale)
    most = LARGE.canvas
    count = 1 if shown <= most else math.ceil((shown - overlap) / (most - overlap))
    step = most // 4
    canvas = min(most, step * math.ceil((shown + (count - 1) * overlap) / count / step))
    size = min(length, max(1, int(canvas / scale)))
    starts = [round(i * (length - size) / max(1, count - 1)) for i in range(count)]
    return [(start, start + size, canvas) for start in starts]


def reduced(image: U8, content: int) -> U8:
    """An image whose long side is ``content`` at most."""
    height, width = image.shape[:2]
    scale = content / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _search(detector: FaceDetector, image: U8, view: View, threshold: float) -> tuple[F32, F32, F32]:
    """One view's candidates, in the image's pixels."""
    height, width = image.shape[:2]
    long = max(height, width)
    scale = view.content / long if view is TIGHT else min(1.0, view.content / long)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    step = view.canvas // 4 if view.content == view.canvas else view.canvas
    rows, columns = -(-h // step) * step, -(-w // step) * step
    top, left = (rows - h) // 2, (columns - w) // 2
    canvas = np.zeros((rows, columns, 3), np.uint8)
    if (h, w) == (height, width):
        canvas[top : top + h, left : left + w] = image
    else:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        cv2.resize(image, (w, h), dst=canvas[top : top + h, left : left + w], interpolation=how)
    boxes, landmarks, scores = detector.candidates(canvas, threshold)
    if view is LARGE:
        fine = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) <= LARGEST_FINE
        boxes, landmarks, scores = boxes[fine], landmarks[fine], scores[fine]
    keep = _nms(boxes, scores)
    shift = np.array([left, top], np.float32)
    ratio = np.array([width / w, height / h], np.float32)
    boxes = (boxes[keep] - np.tile(shift, 2)) * np.tile(ratio, 2)
    return boxes, (landmarks[keep] - shift) * ratio, scores[keep]


def _nms(boxes: F32, scores: F32, views: NDArray[np.intp] | None = None) -> list[int]:
    """Indices to keep, best first: greedy non-maximum suppression, within and between views."""
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    x1, y1, x2, y2 = boxes[order].T.copy()
    area = (x2 - x1) * (y2 - y1)
    view = np.zeros(len(order), np.intp) if views is None else views[order]
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            # Slices, not gathers: pictures of texture can give thousands of candidates.
            rest = slice(i + 1, None)
            width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
            height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
            shared = np.maximum(width, 0) * np.maximum(height, 0)
            same = shared > OVERLAP * (area[i] + area[rest] - shared)
            part = (view[rest] != view[i]) & (shared > INSIDE * np.minimum(area[i], area[rest]))
            alive[rest] &= ~(same | part)
    return [int(i) for i in order[alive]]
