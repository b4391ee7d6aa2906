"""Combine the frames of one person into one prediction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from arcage.heads.distribution import LEVELS
from arcage.types import Face

_DECIMALS = (1, 1, 1, 4)
"""Decimals of age, age_low, age_high and p_female, as in the output. Equal values are counted together, so
memory does not grow with the length of the video."""
_FAMILIARITY_DECIMALS = 6
_SIGMAS = 1.645
"""Half the width of the 90 % interval of a normal distribution, in standard deviations."""
_QUARTILES = 1.349
"""Distance between the quartiles of a normal distribution, in standard deviations."""
MAX_REDUCTION = 0.35
"""Maximum reduction of the variance that belongs to the interval, as a share of it. In LFW, photos of one
person differ more than frames do (light, camera, years): of 87 persons with ten photos or more, the share is
0.15 in the median and above 0.35 for one in ten. A video with a larger share has blurred faces or mixes up
persons, which does not make the prediction more certain.
"""


class Person:
    """Combines the frames of one person.

    Age, its interval, p_female and familiarity are interquartile means: the mean of the middle half of the
    frames. A few frames with a blurred or occluded face do not change it.

    The interval is narrowed, but not by the square root of the number of frames, because frames are not
    independent. One part of the error is the same in all frames (the person looks older or younger to the
    heads; the camera; the light), and more frames do not remove it. The other part changes from frame to
    frame (pose, expression, blur, noise). It makes the ages differ, so the variance ``v`` of the ages in
    this video estimates it. Only this part is reduced, and only by the number ``n`` of different seconds in
    which the person was seen, because frames closer than that show nearly the same picture::

        narrowed width = width * sqrt(1 - min(v / u, MAX_REDUCTION) * (1 - 1 / n))

    ``u`` is the variance that belongs to the width of a frame's interval. ``v`` is computed from the
    distance between the quartiles. A still picture shown for an hour (v = 0) and a single second (n = 1)
    narrow nothing. The quantiles of the distribution move towards the age by the same factor.
    """

    def __init__(self) -> None:
        self.face: Face
        """In the frame with the highest detector score."""
        self._values: list[Counter[float]] = [Counter() for _ in _DECIMALS]
        self._quantiles: list[Counter[float]] = [Counter() for _ in LEVELS]
        self._familiarity: Counter[float] = Counter()
        self._score = -1.0
        self._second = -1
        self._seconds = 0

    def add(
        self,
        face: Face,
        values: Sequence[float],
        seconds: float,
        quantiles: Sequence[float] = (),
        familiarity: float = math.nan,
    ) -> None:
        """Add one frame.

        Args:
            face: in this frame.
            values: age, age_low, age_high, p_female; NaN if the heads do not predict it.
            seconds: time since the start of the video; never decreases from call to call.
            quantiles: of the age, at the probabilities :data:`~arcage.heads.distribution.LEVELS`; empty or
                NaN for heads without a distribution.
            familiarity: NaN for heads without this measure.
        """
        if face.score > self._score:
            self.face, self._score = face, face.score
        if int(seconds) != self._second:
            self._second = int(seconds)
            self._seconds += 1
        for counter, value, decimals in zip(self._values, values, _DECIMALS, strict=True):
            if not math.isnan(value):
                counter[round(value, decimals)] += 1
        if quantiles and not math.isnan(quantiles[0]):
            for counter, value in zip(self._quantiles, quantiles, strict=True):
                counter[round(value, _DECIMALS[0])] += 1
        if not math.isnan(familiarity):
            self._familiarity[round(familiarity, _FAMILIARITY_DECIMALS)] += 1

    def estimate(self) -> tuple[float, float, float, float]:
        """Return age, age_low, age_high and p_female; NaN without values."""
        age, low, high, p_female = (_middle(counter)[0] for counter in self._values)
        factor = self._factor()
        return age, age - factor * (age - low), age + factor * (high - age), p_female

    def quantiles(self) -> list[float]:
        """Return the quantiles of the age; NaN without values."""
        age, factor = _middle(self._values[0])[0], self._factor()
        return [age + factor * (_middle(counter)[0] - age) for counter in self._quantiles]

    def familiarity(self) -> float:
        """Return the familiarity; NaN without values."""
        return _middle(self._familiarity)[0]

    def _factor(self) -> float:
        """Return the factor by which the interval is narrowed."""
        (_, spread), (low, _), (high, _) = map(_middle, self._values[:3])
        u = ((high - low) / (2 * _SIGMAS)) ** 2
        v = (spread / _QUARTILES) ** 2
        share = min(v / u, MAX_REDUCTION) if u > 0 else 0.0
        return math.sqrt(1 - share * (1 - 1 / self._seconds))


def _middle(counter: Counter[float]) -> tuple[float, float]:
    """Return the interquartile mean and the distance between the quartiles; NaN without values."""
    if not counter:
        return math.nan, math.nan
    values = np.array(sorted(counter))
    ends = np.cumsum([counter[value] for value in values.tolist()])
    quarters = ends[-1] / 4 * np.array([1, 3])
    inside = np.diff(np.clip(ends, *quarters), prepend=quarters[0])
    low, high = values[np.searchsorted(ends, quarters)]
    return float(values @ inside / inside.sum()), float(high - low)
