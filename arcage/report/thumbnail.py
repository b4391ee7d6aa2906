"""Cut faces out of images, as small JPEG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arcage.audit.records import picture_key
from arcage.errors import ImageError
from arcage.files import read_bytes, sha256_bytes, spelled_on_disk
from arcage.images.decoder import decode
from arcage.types import F64, U8

SIDE = 96
"""Longest side of a thumbnail, pixels."""
MARGIN = 0.25
"""Margin around a face's box, as a share of its longer side."""
QUALITY = 85
"""JPEG quality."""


def thumbnails(
    faces: Mapping[str, Sequence[dict[str, Any]]], folders: Sequence[Path], side: int = SIDE
) -> dict[str, bytes]:
    """Return a JPEG of each face whose image is found, by :func:`arcage.audit.records.picture_key`.

    An image is used only if its content has the SHA-256 of the cache: a file may have been replaced, and a
    wrong face next to a label is worse than none.

    Args:
        faces: records of :func:`arcage.audit.records.face_records`. ``thumbnail`` of each is set.
        folders: the folders that were extracted.
        side: longest side of a thumbnail, pixels.
    """
    found: dict[str, bytes] = {}
    for face in chain.from_iterable(faces.values()):
        key = picture_key(face)
        if key not in found and (image := _read(folders, face["names"], face["sha256"])) is not None:
            found[key] = thumbnail(image, np.array(face["box"]), side)
        face["thumbnail"] = key in found
    return found


def thumbnail(image: U8, box: F64, side: int = SIDE) -> bytes:
    """Return the face as a JPEG; arguments as for :func:`cut`."""
    picture = cv2.cvtColor(cut(image, box, side), cv2.COLOR_RGB2BGR)
    data: bytes = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return data


def cut(image: U8, box: F64, side: int = SIDE) -> U8:
    """Return the square around a face with a margin, clipped at the border of the image.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        box: x1, y1, x2, y2, pixels; may reach past the border.
        side: maximum of either side of the result, pixels.

    Returns:
        Shape (h, w, 3), uint8, RGB.
    """
    half = (0.5 + MARGIN) * max(box[2] - box[0], box[3] - box[1], 1)
    centre = (box[:2] + box[2:]) / 2
    size = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(centre - half), 0, size - 1).astype(int)
    high = np.maximum(np.clip(np.ceil(centre + half), 0, size).astype(int), low + 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    scale = min(1.0, side / max(part.shape[:2]))
    width, height = (max(1, round(length * scale)) for length in (part.shape[1], part.shape[0]))
    small: U8 = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    return small


def _read(folders: Sequence[Path], names: list[str], sha256: str) -> U8 | None:
    for folder, name in product(folders, names):
        try:
            data = read_bytes(spelled_on_disk(folder, name))
            if sha256_bytes(data) == sha256:
                return decode(data)
        except ImageError:
            continue
    return None
