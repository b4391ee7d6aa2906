"""What many frames say of one person, as one answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from arcage.types import Face

_DECIMALS = (1, 1, 1, 4)
"""Of age, its two ends and p_female: those of the output. Equal answers are counted, so what is kept of a
person does not grow with the film."""
_SIGMAS = 1.645
"""Standard deviations from the middle of a normal distribution to the ends of its 90 % interval."""
_QUARTILES = 1.349
"""Standard deviations between the quartiles of a normal distribution."""
MOST = 0.35
"""The most that is taken from an interval, as a share of its variance. The photos of a person in LFW differ
by more than frames do (light, camera, years); their ages spread so far that the share would be above this for
one person of ten, and 0.15 for the middle one (of 87 with ten photos or more). A film in which it is more has
faces that are blurred or mixed up, which makes no answer surer.
"""


class Person:
    """Joins the frames of one person.

    Age, its interval and p_female are interquartile means: the mean of the middle half of the frames, which a
    few frames with a blurred or half hidden face do not move.

    The interval is narrowed, but not by the square root of the number of frames: these are not independent.
    Of the error of one frame a part is the same in all of them (the person, whom the heads take for older or
    younger; the camera; the light), and no number of frames removes it. The other part changes from frame to
    frame (pose, expression, blur, noise) and makes the ages differ, so that their variance ``v`` in this film
    shows its size. Only that is reduced, and only by the number ``n`` of different seconds in which the
    person was seen, as frames closer than that show nearly the same picture::

        narrowed width = width * sqrt(1 - min(v / u, MOST) * (1 - 1 / n))

    with ``u`` the variance that belongs to the width of a frame's interval. ``v`` comes from the distance of
    the quartiles. A still picture shown for an hour (v = 0) and a glance (n = 1) narrow nothing.
    """

    def __init__(self) -> None:
        self.face: Face
        """Where the detector was surest."""
        self._said: list[Counter[float]] = [Counter() for _ in _DECIMALS]
        self._score = -1.0
        self._second = -1
        self._seconds = 0

    def add(self, face: Face, said: Sequence[float], seconds: float) -> None:
        """One more frame.

        Args:
            face: in this frame.
            said: age, its low and high end, p_female; NaN where the heads do not tell.
            seconds: from the start of the film; not before that of the last call.
        """
        if face.score > self._score:
            self.face, self._score = face, face.score
        if int(seconds) != self._second:
            self._second = int(seconds)
            self._seconds += 1
        for counter, value, decimals in zip(self._said, said, _DECIMALS, strict=True):
            if not math.isnan(value):
                counter[round(value, decimals)] += 1

    def answer(self) -> tuple[float, float, float, float]:
        """Age, its low and high end, p_female; NaN where nothing was said."""
        (age, between), (low, _), (high, _), (p_female, _) = map(_middle, self._said)
        u = ((high - low) / (2 * _SIGMAS)) ** 2
        v = (between / _QUARTILES) ** 2
        share = min(v / u, MOST) if u > 0 else 0.0
        factor = math.sqrt(1 - share * (1 - 1 / self._seconds))
        return age, age - factor * (age - low), age + factor * (high - age), p_female


def _middle(counter: Counter[float]) -> tuple[float, float]:
    """The interquartile mean, and the distance between the quartiles; NaN of nothing."""
    if not counter:
        return math.nan, math.nan
    values = np.array(sorted(counter))
    ends = np.cumsum([counter[value] for value in values.tolist()])
    quarters = ends[-1] / 4 * np.array([1, 3])
    inside = np.diff(np.clip(ends, *quarters), prepend=quarters[0])
    low, high = values[np.searchsorted(ends, quarters)]
    return float(values @ inside / inside.sum()), float(high - low)
