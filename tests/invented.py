"""Invented results, and caches that store them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from arcage.cache import Cache, ShardWriter
from arcage.types import Face, ImageFaces

FINGERPRINT = "f"
DIMENSION = 8


def image(seed: int, *, faces: int = 1, status: str | None = None, dimension: int = DIMENSION) -> ImageFaces:
    """Return an invented result whose descriptors contain the seed and the number of the face."""
    rng = np.random.default_rng(seed)
    found = tuple(
        Face(
            box=rng.uniform(-5, 500, 4).astype(np.float32),
            landmarks=rng.uniform(0, 500, (5, 2)).astype(np.float32),
            score=float(np.float32(0.9 - 0.1 * index)),
        )
        for index in range(faces)
    )
    descriptors = np.full((faces, dimension), seed, dtype=np.float16)
    descriptors[:, -1] = np.arange(faces)
    return ImageFaces(
        sha256=sha(seed),
        width=640,
        height=480 + seed,
        status=status or ("ok" if faces else "no_face"),  # type: ignore[arg-type]
        error="the JPEG ends too early" if status == "unreadable" else "",
        faces=found,
        descriptors=descriptors,
    )


def sha(seed: int) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()


def assert_same(left: ImageFaces | None, right: ImageFaces) -> None:
    assert left is not None
    for field in ("sha256", "width", "height", "status", "error"):
        assert getattr(left, field) == getattr(right, field)
    assert [face.score for face in left.faces] == [face.score for face in right.faces]
    for one, other in zip(left.faces, right.faces, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        assert one.box.dtype == one.landmarks.dtype == np.float32
    assert left.descriptors.dtype == np.float16
    np.testing.assert_array_equal(left.descriptors, right.descriptors)


def store(cache: Cache, *images: ImageFaces, per_shard: int = 2048) -> None:
    with ShardWriter(cache, images_per_shard=per_shard) as writer:
        for one in images:
            writer.add(one)


def files(cache: Cache, suffix: str) -> list[Path]:
    return sorted(cache.path.glob(f"*.{suffix}"))


def searched(seed: int, min_face: int | None, faces: int = 1) -> ImageFaces:
    return replace(image(seed, faces=faces), min_face=min_face)


EVERY_KIND = [image(1, faces=3), image(2, faces=0), image(3, faces=0, status="unreadable"), image(4)]
