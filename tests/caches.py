"""Caches with synthetic descriptors, written in the same way as by an extraction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from arcage.cache import Cache, ShardWriter
from arcage.types import Face, ImageFaces

FINGERPRINT = "0123456789abcdef"
BOX = (50, 50, 150, 150)


def image(
    content: bytes | str,
    descriptors: Sequence[Sequence[float]] = ((1, 2),),
    boxes: Sequence[Sequence[float]] | None = None,
    status: str | None = None,
) -> ImageFaces:
    """Return the result of an image of 200 x 200 pixels with these bytes: one face per descriptor."""
    data = content.encode() if isinstance(content, str) else content
    values = np.asarray(descriptors, np.float16)
    faces = tuple(
        Face(np.array(box, np.float32), np.zeros((5, 2), np.float32), 0.9)
        for box in (boxes or [BOX] * len(values))
    )
    return ImageFaces(
        sha256=hashlib.sha256(data).hexdigest(),
        width=200,
        height=200,
        status=status or ("ok" if faces else "no_face"),  # type: ignore[arg-type]
        error="empty file" if status == "unreadable" else "",
        faces=faces,
        descriptors=values,
    )


def write(
    directory: Path,
    images: Iterable[tuple[str | None, ImageFaces]],
    *,
    dimension: int = 2,
    fingerprint: str = FINGERPRINT,
) -> Cache:
    """Write a cache of named images."""
    cache = Cache(directory, fingerprint, dimension=dimension)
    with ShardWriter(cache) as writer:
        for name, one in images:
            # The descriptors of images without a face have no dimension.
            writer.add(one if one.faces else replace(one, descriptors=np.empty((0, dimension))), name)
    return cache
