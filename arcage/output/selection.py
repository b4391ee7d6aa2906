"""Which faces of an image, and which of their values, are in the output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

import numpy as np

from arcage.errors import UsageError
from arcage.heads.distribution import HIGHEST_LEVEL, OLDEST, YOUNGEST
from arcage.heads.model import Heads, Predictions
from arcage.output.rows import Estimate, estimates
from arcage.types import ImageFaces

Faces = Literal["all", "largest", "center"]
"""``largest``: the face with the largest box; ``center``: the face nearest to the centre of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which faces of an image, and which of their values, are in the output.

    :class:`arcage.Predictor` describes the fields.

    Raises:
        UsageError: a field has an invalid value.
    """

    faces: Faces = "all"
    min_score: float = 0.0
    max_width: float = math.inf
    min_confidence: float = 0.5
    min_familiarity: float = 0.0
    interval: float = 90
    under: Sequence[int] = ()

    def __post_init__(self) -> None:
        for name in ("min_score", "max_width", "min_confidence", "min_familiarity", "interval"):
            if not _is_number(value := getattr(self, name)):
                raise UsageError(f"{name} is a number, not {value!r}")
        if isinstance(self.under, str) or not isinstance(self.under, Iterable):
            raise UsageError(f"under is a whole number of years, or a list of them, not {self.under!r}")
        if self.faces not in get_args(Faces):
            raise UsageError(f"faces is one of {', '.join(get_args(Faces))}, not {self.faces!r}")
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"min_score is between 0 and 1, not {self.min_score}")
        if not self.max_width >= 0:
            raise UsageError(f"max_width is a number of years, not {self.max_width}")
        if not 0.5 <= self.min_confidence <= 1:
            raise UsageError(f"min_confidence is between 0.5 and 1, not {self.min_confidence}")
        if not 0 <= self.min_familiarity <= 1:
            raise UsageError(f"min_familiarity is between 0 and 1, not {self.min_familiarity}")
        if not 1 <= self.interval <= 100 * HIGHEST_LEVEL:
            raise UsageError(f"interval is between 1 and {100 * HIGHEST_LEVEL:g}, not {self.interval:g}")
        ages = tuple(self.under)
        if wrong := [age for age in ages if not (_is_number(age) and _is_whole_age(age))]:
            raise UsageError(f"under is a whole number of years from 1 to {OLDEST:.0f}, not {wrong[0]!r}")
        object.__setattr__(self, "under", tuple(dict.fromkeys(map(int, ages))))

    def check(self, heads: Heads) -> None:
        """Check that heads have what the fields need.

        Raises:
            HeadsError: they lack it.
        """
        if self.min_familiarity:
            heads.check_familiarity("`min_familiarity`")
        if self.interval != 90:
            heads.check_distribution(f"`interval` {self.interval:g}")
        if self.under:
            heads.check_distribution("`under`")

    def count(self, image: ImageFaces) -> int:
        """Return the number of faces with the minimum score; they come first."""
        return sum(face.score >= self.min_score for face in image.faces)

    def chosen(self, image: ImageFaces) -> list[int]:
        """Return the indices of the faces of an image that are in the output."""
        count = self.count(image)
        if self.faces == "all" or count < 2:
            return list(range(count))
        boxes = np.stack([face.box for face in image.faces[:count]]).astype(np.float64)
        low, high = boxes[:, :2], boxes[:, 2:]
        if self.faces == "largest":
            return [int(np.argmax(np.prod(high - low, axis=1)))]
        centre = np.array([image.width, image.height]) / 2
        return [int(np.argmin(np.linalg.norm((low + high) / 2 - centre, axis=1)))]

    def estimates(self, predictions: Predictions) -> list[Estimate]:
        """Return the estimate of each face, without values that are too uncertain to show."""
        return estimates(
            predictions,
            max_width=self.max_width,
            min_confidence=self.min_confidence,
            min_familiarity=self.min_familiarity,
            interval=self.interval,
            under=self.under,
        )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole_age(age: float) -> bool:
    return YOUNGEST < age <= OLDEST and age == int(age)
