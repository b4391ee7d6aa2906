"""Values that the packages of arcage exchange: faces, predictions and array types."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from arcage.text import counted, gender_text, visible

F16: TypeAlias = NDArray[np.float16]
F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
U8: TypeAlias = NDArray[np.uint8]
Index: TypeAlias = NDArray[np.intp]
Array: TypeAlias = NDArray[Any]

FacesFrom: TypeAlias = Literal["detector", "boxes", "aligned"]
"""Where the faces of images are from: the detector, boxes that the user gave, or images that are aligned
crops. Descriptors of one image differ between them."""
_LONGEST_NAME = 60
"""Number of characters of a path in a repr."""

Status: TypeAlias = Literal["ok", "no_face", "unreadable"]
"""``ok``: at least one face; ``no_face``: decoded, but no face found; ``unreadable``: not decoded."""


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face, in pixels of the upright image (EXIF orientation applied)."""

    box: F32
    """Shape (4,), x1, y1, x2, y2; may extend beyond the image."""
    landmarks: F32
    """Shape (5, 2), x and y, in the order of ArcFace: the eye on the left of the image, the other eye, the
    tip of the nose, the corner of the mouth on the left of the image, the other corner."""
    score: float
    """Confidence of the detector, 0 to 1. In a box that the user gave, it is 0 if no face is confirmed there,
    and 1 if the user gave the landmarks as well, so that none is searched."""


@dataclass(frozen=True, slots=True, eq=False)
class GivenFaces:
    """The faces of an image as the user gave them, in pixels of the upright image (EXIF orientation applied).

    There may be none. They are kept in their order. :func:`arcage.sources.own_faces.own_faces` makes them.
    """

    boxes: F32
    """Shape (n, 4), x1, y1, x2, y2; may extend beyond the image."""
    landmarks: F32
    """Shape (n, 5, 2), in the order of :attr:`Face.landmarks`; NaN for a face without given landmarks."""
    aligned: bool = False
    """Whether the image is itself one aligned crop. Then ``boxes`` and ``landmarks`` are empty."""

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True)
class ImageFaces:
    """The faces of one image with their descriptors, or the reason why there are none."""

    sha256: str
    """Digest of the encoded image, 64 hexadecimal digits; if the user gave boxes, of the image and the boxes.
    Empty if the image could not be read on this machine at this time; such a result is not cached."""
    width: int
    """Width of the upright image, pixels; 0 if unreadable."""
    height: int
    status: Status
    error: str
    """Why the image is unreadable; empty for other images."""
    faces: tuple[Face, ...]
    """In decreasing order of the detector's confidence; those that the user gave are in their order."""
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

    def __repr__(self) -> str:
        return f"<Labels of {counted(len(self), 'face')}>"

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
    """Age and gender of one face. An image without a face, or an unreadable one, is one prediction as well.

    The fields before ``more``, in this order, are the columns of all tables. Missing values are None.
    """

    path: str
    """Path or URL of the image as in the input; ``-`` for an image given as bytes."""
    face: int | None
    """Number of the face in its image, from 0, in decreasing order of the detector's confidence; for boxes
    that the user gave, in their order."""
    faces: int
    """Number of faces in the image, including those that are not in the output."""
    x1: float | None
    """Box of the face in pixels of the upright image (EXIF orientation applied). May extend beyond it."""
    y1: float | None
    x2: float | None
    y2: float | None
    det_score: float | None
    """Confidence of the detector, 0 to 1. In a box that the user gave, it is 0 if no face is confirmed there,
    and 1 if the landmarks are given as well."""
    age: float | None
    """Age, years. None if the heads were fitted without ages, or the interval is wider than requested."""
    age_low: float | None
    """Lower end of the interval of the age, years: of 90 %, unless another level was asked for."""
    age_high: float | None
    """Upper end of the interval."""
    gender: Literal["female", "male"] | None
    """The more probable gender. None if the heads were fitted without genders, or the probability is lower
    than requested."""
    p_female: float | None
    """Probability of ``female``, 0 to 1."""
    status: Literal["ok", "no_face", "unreadable"]
    error: str | None
    """Why the image is unreadable, or why there is no prediction for a box that the user gave."""
    familiarity: float | None = None
    """The share of the training faces that are farther from the average of them than this face, 0 to 1. None
    if the heads lack this measure."""
    more: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    """The columns that were asked for in addition, by name, such as ``p_under_18``: the probability of being
    younger than 18 years, 0 to 1. Empty without a face."""
    image_size: tuple[int, int] | None = None
    """Width and height of the upright image, pixels. None for an unreadable image, and for a video."""

    def __repr__(self) -> str:
        number = "" if self.face is None else f" #{self.face}"
        return f"<Prediction {short_name(self.path)}{number}: {short_text(self)}>"


def short_text(row: Prediction) -> str:
    """Return what a row says on one line, such as ``35.7 (27-48) female 93 %``, ``no face`` or its error."""
    if row.face is None:
        return visible(row.error or row.status.replace("_", " "))
    words = [] if row.age is None else [f"{row.age:.1f}"]
    if row.age_low is not None and row.age_high is not None:
        words.append(f"({row.age_low:.0f}-{row.age_high:.0f})")
    if row.gender is not None and row.p_female is not None:
        words.append(gender_text(row.p_female))
    return " ".join(words) or "nothing predicted"


def short_name(path: str) -> str:
    """Return a path, or the end of a long one, with invisible characters made visible."""
    return visible(path if len(path) <= _LONGEST_NAME else f"...{path[-_LONGEST_NAME:]}")
