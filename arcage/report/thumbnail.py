"""A face as a small JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from arcage.types import F64, U8

SIDE = 96
"""Longest side of a thumbnail, pixels."""
MARGIN = 0.25
"""Shown around a face's box, as a share of its longer side."""
QUALITY = 85


def thumbnail(image: U8, box: F64) -> bytes:
    """The face as a JPEG; arguments as of :func:`cut`."""
    picture = cv2.cvtColor(cut(image, box), cv2.COLOR_RGB2BGR)
    data: bytes = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return data


def cut(image: U8, box: F64) -> U8:
    """The square around a face with some margin, as far as the image reaches.

    Args:
        image: shape (height, width, 3), RGB.
        box: x1, y1, x2, y2, pixels; may reach past the border.

    Returns:
        Shape (h, w, 3), at most :data:`SIDE` on either side.
    """
    half = (0.5 + MARGIN) * max(box[2] - box[0], box[3] - box[1], 1)
    centre = (box[:2] + box[2:]) / 2
    size = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(centre - half), 0, size - 1).astype(int)
    high = np.maximum(np.clip(np.ceil(centre + half), 0, size).astype(int), low + 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    scale = min(1.0, SIDE / max(part.shape[:2]))
    width, height = (max(1, round(side * scale)) for side in (part.shape[1], part.shape[0]))
    small: U8 = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    return small
