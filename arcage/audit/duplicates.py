"""Pairs of faces whose descriptors point the same way."""

from __future__ import annotations

import numpy as np

from arcage.types import F32, Array

CENTRED = 100
"""From this many faces on, what all of them share is taken away first: raw levels of a network lie close
together whatever they show."""
AXES, SAMPLE = 128, 20_000
"""Principal axes that rule most pairs out, and the faces at most that they are found on."""
BLOCK = 250
MOST = 10_000
"""Pairs that are kept."""


def similar_pairs(x: F32, least: float) -> tuple[Array, Array, F32, int]:
    """Pairs with a cosine of ``least`` or more, all compared with all: n^2 time, memory of one copy of ``x``.

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
    count, floor, short = 0, least, _short(unit)
    for start in range(0, len(unit), BLOCK):
        possible = short[start : start + BLOCK] @ short[start:].T >= least - 1e-4
        columns = start + np.flatnonzero(possible.any(axis=0))
        close = unit[start : start + BLOCK] @ unit[columns].T
        # Each pair once, and no face with itself.
        close[np.arange(start, start + len(close))[:, None] >= columns] = -2
        count += int((close >= least).sum())
        if len(cosine) >= MOST:
            floor = float(cosine.min())
        found = close >= floor
        if found.sum() > MOST:
            floor = float(np.partition(close, -MOST, axis=None)[-MOST])
            found = close >= floor
        i, j = (rows[:MOST] for rows in np.nonzero(found))
        first, second = np.append(first, i + start), np.append(second, columns[j])
        cosine = np.append(cosine, close[i, j])
        best = np.argsort(-cosine, kind="stable")[:MOST]
        first, second, cosine = first[best], second[best], cosine[best]
    return first, second, cosine, count


def _short(unit: F32) -> F32:
    """Rows whose products are not below those of the rows of ``unit``, and soon computed.

    They are the coordinates p, q on the principal axes, and behind them how long the rest r, s of the row is:
    <unit, unit'> = <p, q> + <r, s>, and <r, s> <= |r| |s| (Cauchy-Schwarz).
    """
    if unit.shape[1] <= AXES or len(unit) < SAMPLE // 10:
        return unit
    some = unit[:: max(1, len(unit) // SAMPLE)]
    axes = np.linalg.eigh(some.T @ some)[1][:, -AXES:]
    short = np.empty((len(unit), AXES + 1), np.float32)
    np.matmul(unit, axes, out=short[:, :-1])
    length = np.einsum("ij,ij->i", short[:, :-1], short[:, :-1])
    short[:, -1] = np.sqrt(np.maximum(1 - length, 0))
    return short
