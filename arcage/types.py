"""The values that pass between the parts of arcage."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

F16: TypeAlias = NDArray[np.float16]
F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
U8: TypeAlias = NDArray[np.uint8]
Array: TypeAlias = NDArray[Any]

Status: TypeAlias = Literal["ok", "no_face", "unreadable"]
"""``ok``: at least one face; ``no_face``: decoded, none found; ``unreadable``: could not be decoded."""


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face, in pixels of the upright image (EXIF orientation applied)."""

    box: F32
    """Shape (4,): x1, y1, x2, y2; may reach past the image's border."""
    landmarks: F32
    """Shape (5, 2), x and y: the eye on the image's left, the other eye, the tip of the nose,
    the mouth's corner on the image's left, the other corner (the order of ArcFace)."""
    score: float
    """The detector's confidence, 0 to 1."""


@dataclass(frozen=True, slots=True)
class ImageFaces:
    """What one image gave: its faces and their descriptors, or the reason why there are none."""

    sha256: str
    """Of the encoded image's bytes, 64 hexadecimal digits; empty where no bytes could be had, or no memory
    for them: such a result is not to be kept."""
    width: int
    """Of the upright image, in pixels; 0 where unreadable."""
    height: int
    status: Status
    error: str
    """Empty unless ``status`` is ``unreadable``."""
    faces: tuple[Face, ...]
    """From the highest detector score to the lowest."""
    descriptors: F16
    """Shape (len(faces), dimension)."""
    multi_frame: bool = False
    """Whether the file has more frames or pages than the first, which was read; not kept in a cache."""
    min_face: int | None = None
    """Minimum face width of the search, pixels; None if an older version of arcage did not record it."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of n faces."""

    age: F32
    """Shape (n,), years; NaN where unknown."""
    gender: F32
    """Shape (n,), 0 male, 1 female; NaN where unknown."""
    group: Array | None = None
    """Shape (n,), str: the subgroup that errors are reported for, empty where unknown. None if unknown for
    all."""
    person: Array | None = None
    """Shape (n,), int: faces with the same number show the same person. None if no person is known."""
    source: Array | None = None
    """Shape (n,), str: the label set of each face. None if there is only one set."""

    def __len__(self) -> int:
        return len(self.age)

    def select(self, rows: Array) -> Labels:
        """Return the labels of some faces, given as a boolean mask or as indices."""
        group, person, source = (
            None if column is None else column[rows] for column in (self.group, self.person, self.source)
        )
        return Labels(self.age[rows], self.gender[rows], group, person, source)

    def without(self, attributes: Collection[str]) -> Labels:
        """Return the labels with some attributes (``age``, ``gender``) set to unknown."""
        unknown = np.full(len(self), np.nan, np.float32)
        return replace(
            self,
            age=unknown if "age" in attributes else self.age,
            gender=unknown if "gender" in attributes else self.gender,
        )

    @classmethod
    def empty(cls, count: int) -> Labels:
        """Return the labels of ``count`` faces of which nothing is known."""
        unknown = np.full(count, np.nan, np.float32)
        return cls(unknown, unknown)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A face with its age and gender. An image without a face, or that cannot be read, is one row as well;
    what it cannot tell is None there.

    The fields, in this order, are the columns of every output. Boxes are in pixels of the upright image
    (EXIF orientation applied) and may reach past its border.
    """

    path: str
    """As it was asked for; ``-`` for an image that came as bytes."""
    face: int | None
    """0 for the image's face with the highest detector score, then 1, 2, ..."""
    faces: int
    """How many faces the image has, whether all of them are asked for or not."""
    x1: float | None
    y1: float | None
    x2: float | None
    y2: float | None
    det_score: float | None
    """The detector's confidence, 0 to 1."""
    age: float | None
    """In years; None where the heads were fitted without age, or are less sure than was asked for."""
    age_low: float | None
    """Lower end of the 90 % interval of the age."""
    age_high: float | None
    gender: Literal["female", "male"] | None
    """The likelier one; None where the heads were fitted without it, or are less sure than was asked for."""
    p_female: float | None
    """The probability, 0 to 1."""
    status: Literal["ok", "no_face", "unreadable"]
    error: str | None
    """Why the image is unreadable."""
