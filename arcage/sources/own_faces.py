"""Faces that the user gives: boxes, perhaps with landmarks, or images that are aligned crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from arcage.errors import UsageError
from arcage.sources.source import Source
from arcage.types import F32, FacesFrom, GivenFaces

MAX_COORDINATE = 1e6
"""Maximum absolute value of a coordinate, pixels. No image is larger."""
FORM = {(4,): "4 numbers, x1, y1, x2, y2", (5, 2): "5 points, x and y"}
"""The form of one face, by the shape of its array."""


class OwnFaces(Protocol):
    """Gives the faces of images, which are then not detected."""

    @property
    def faces_from(self) -> FacesFrom:
        """Where the faces are from."""
        ...

    def faces_of(self, source: Source) -> GivenFaces:
        """Return the faces of an image."""
        ...

    def remark(self) -> str:
        """Return what is to be said after all images; empty if nothing is."""
        ...


def own_faces(boxes: Any, landmarks: Any = None) -> GivenFaces:
    """Check the boxes and landmarks of the faces in one image.

    Args:
        boxes: numbers, shape (n, 4): x1, y1, x2, y2, pixels of the upright image; or (4,) for one face.
        landmarks: numbers, shape (n, 5, 2) or (n, 10), or without n for one face, in the order of
            :attr:`arcage.types.Face.landmarks`; all NaN for a face whose landmarks are unknown. None if all
            are.

    Raises:
        UsageError: a shape is wrong, a value is not a number of pixels, or a box has no area.
    """
    found = _array("boxes", boxes, (4,))
    points = np.full((len(found), 5, 2), np.nan, np.float32)
    if landmarks is not None:
        points = _array("landmarks", landmarks, (5, 2))
        if len(points) != len(found):
            raise UsageError(f"there are {len(found)} `boxes` and {len(points)} `landmarks`: give as many")
    for number, (box, point) in enumerate(zip(found, points, strict=True)):
        if problem := face_problem(box.tolist(), point.reshape(-1).tolist()):
            raise UsageError(f"`boxes`, face {number}: {problem}")
    return GivenFaces(found, points)


def aligned_crop() -> GivenFaces:
    """Return the faces of an image that is itself one aligned crop."""
    return GivenFaces(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), aligned=True)


def as_aligned(sources: Iterable[Source]) -> Iterator[Source]:
    """Yield the images, each of which is itself one aligned crop."""
    return (replace(source, faces=aligned_crop()) for source in sources)


class AlignedCrops:
    """Images that are themselves aligned crops."""

    faces_from: FacesFrom = "aligned"

    def faces_of(self, source: Source) -> GivenFaces:
        """Return the faces of an image."""
        return aligned_crop()

    def remark(self) -> str:
        """Return nothing to say."""
        return ""


def face_problem(box: Sequence[float], landmarks: Sequence[float] = ()) -> str:
    """Return what is wrong with a face that a user gave, in words; empty if nothing is.

    Args:
        box: x1, y1, x2, y2.
        landmarks: x and y of five points; empty or all NaN if they are unknown.
    """
    x1, y1, x2, y2 = box
    if not all(abs(value) <= MAX_COORDINATE for value in box):
        return f"the box {_shown(box)} is not four numbers of pixels"
    if not (x2 > x1 and y2 > y1):
        return f"the box {_shown(box)} has no area: x1 must be less than x2, and y1 less than y2"
    if max(map(abs, box)) <= 2:
        return f"the box {_shown(box)} is within two pixels: give pixels, not parts of the image"
    known = [value == value for value in landmarks]  # NaN is not equal to itself
    if not any(known):
        return ""
    if not all(known):
        return "some of its landmarks are missing: give all five points, or none"
    if not all(abs(value) <= MAX_COORDINATE for value in landmarks):
        return f"the landmarks {_shown(landmarks)} are not numbers of pixels"
    x, y = landmarks[::2], landmarks[1::2]
    if max(max(x) - min(x), max(y) - min(y)) < 1:
        return f"the landmarks {_shown(landmarks)} are one point"
    return ""


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _array(name: str, given: Any, shape: tuple[int, ...]) -> F32:
    """Return an array of shape (n, *shape)."""
    try:
        with np.errstate(over="ignore"):
            array = np.array(given, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"`{name}` are not all numbers: give {FORM[shape]} for each face") from None
    flat = (int(np.prod(shape)),)
    if array.shape[-1:] != (0,) and (array.shape in (shape, flat) or array.shape[1:] in (shape, flat)):
        return array.reshape(-1, *shape)
    if array.shape[:1] == (0,):
        return np.empty((0, *shape), np.float32)
    raise UsageError(f"`{name}` has the shape {array.shape}: give {FORM[shape]} for each face")
