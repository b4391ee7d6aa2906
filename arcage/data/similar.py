"""Pairs of faces whose descriptors point the same way."""

from __future__ import annotations

import numpy as np

from arcage.types import F32, Array

CENTRED = 100
"""From this many faces on, what all of them share is taken away first: raw levels of a network lie close
together whatever they show."""
BLOCK = 500
MOST = 10_000
"""Pairs that are kept."""


def similar_pairs(x: F32, least: float) -> tuple[Array, Array, F32, int]:
    """Pairs with a cosine of ``least`` or more, all compared with all: n^2 time, memory of a few rows.

    Args:
        x: shape (n, dimension), float32.

    Returns:
        The two rows and the cosine of each pair, shape (pairs,), the most similar first, :data:`MOST` at
        most; and how many there are.
    """
    unit = x - x.mean(axis=0, dtype=np.float64).astype(np.float32) if len(x) >= CENTRED else x.copy()
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    first = second = np.empty(0, np.int64)
    cosine = np.empty(0, np.float32)
    count, floor = 0, least
    for start in range(0, len(unit), BLOCK):
        close = unit[start : start + BLOCK] @ unit[start:].T
        # Each pair once, and no face with itself.
        close[np.tril_indices(len(close), 0, close.shape[1])] = -2
        count += int((close >= least).sum())
        if len(cosine) >= MOST:
            floor = float(cosine.min())
        found = close >= floor
        if found.sum() > MOST:
            floor = float(np.partition(close, -MOST, axis=None)[-MOST])
            found = close >= floor
        i, j = (rows[:MOST] for rows in np.nonzero(found))
        first, second = np.append(first, i + start), np.append(second, j + start)
        cosine = np.append(cosine, close[i, j])
        best = np.argsort(-cosine, kind="stable")[:MOST]
        first, second, cosine = first[best], second[best], cosine[best]
    return first, second, cosine, count
