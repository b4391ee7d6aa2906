"""One row of the answer: a face, or the reason why an image gave none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arcage.text import percent


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


def gender_words(p_female: float) -> str:
    """The more probable gender with its probability, such as ``female 97 %``."""
    return f"female {percent(p_female)}" if p_female >= 0.5 else f"male {percent(1 - p_female)}"
