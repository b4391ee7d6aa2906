"""Age heaping: ages that occur too often because they were guessed or rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.types import F32

WHIPPLE_AGES = (23, 62)
"""Usual range of Whipple's index, years, both included."""
PEAK_RATIO, PEAK_FACES = 2.0, 20
"""Minimum faces of a peak, as a multiple of its neighbours and in total."""


def heaping(age: F32) -> dict[str, Any]:
    """Measure the preference for round ages.

    Args:
        age: shape (n,), years; NaN where unknown.

    Returns:
        ``whipple``: Whipple's index over :data:`WHIPPLE_AGES` (100: no preference for ages ending in 0 or
        5; 500: no other ages), None for fewer than :data:`PEAK_FACES` faces. ``peaks``: ages with many more
        faces than the two years before and after, each with ``age``, ``faces`` and ``times`` (the ratio); the
        largest excess first.
    """
    counts = np.bincount(np.floor(age[np.isfinite(age)]).astype(int), minlength=1)
    low, high = WHIPPLE_AGES
    adults = counts[low : high + 1]
    is_round = np.arange(low, low + len(adults)) % 5 == 0
    peaks = []
    for year, count in enumerate(counts.tolist()):
        neighbours = [n for n in (year - 2, year - 1, year + 1, year + 2) if 0 <= n < len(counts)]
        usual = float(counts[neighbours].mean()) if neighbours else 0.0
        if count >= PEAK_FACES and count >= PEAK_RATIO * usual and usual:
            peaks.append({"age": year, "faces": count, "times": count / usual})
    # By the excess over the neighbours, in faces.
    peaks.sort(key=lambda peak: -peak["faces"] * (1 - 1 / peak["times"]))
    enough = adults.sum() >= PEAK_FACES
    return {"whipple": 500 * float(adults[is_round].sum() / adults.sum()) if enough else None, "peaks": peaks}
