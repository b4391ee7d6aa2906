"""Shares of faces with their confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import FEWEST, LEVEL, RESAMPLES, interval, percentile_ends
from arcage.types import F64, Array


def count_shares(columns: F64, persons: Array | None = None, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return for each column how many faces count, and which share they are.

    Args:
        columns: shape (n, k), 1 for a face that counts and 0 for another.
        persons: shape (n,), a number for each face's person; None if each face shows another person.

    Returns:
        For each column ``faces`` (n), ``number``, ``share``, and its bootstrap ``interval``. The share is
        None for fewer than :data:`~arcage.evaluation.bootstrap.FEWEST` faces, and the interval for fewer
        persons. If no face or every face counts, all bootstrap samples are equal, although other faces would
        differ; the interval is then the exact one of Clopper and Pearson (Biometrika, 1934).
    """
    faces, ends = len(columns), _intervals(columns, persons, seed)
    return [
        {
            "faces": faces,
            "number": number,
            "share": None if faces < FEWEST else number / faces,
            "interval": None if ends is None else ends[i].tolist(),
        }
        for i, number in enumerate(columns.sum(axis=0).astype(int).tolist())
    ]


def _intervals(columns: F64, persons: Array | None, seed: int) -> F64 | None:
    independent = len(columns) if persons is None else len(np.unique(persons))
    if persons is not None:
        ends = interval(columns, persons, seed=seed)
    elif independent < FEWEST:
        ends = None
    else:
        # The number of faces that count in a bootstrap sample of single faces is binomial.
        numbers = np.random.default_rng(seed).binomial(
            independent, columns.mean(axis=0), (RESAMPLES, columns.shape[1])
        )
        ends = percentile_ends(numbers / independent)
    if ends is not None:
        bound = 1 - ((1 - LEVEL) / 2) ** (1 / independent)
        ends[(columns == 0).all(axis=0)] = 0, bound
        ends[(columns == 1).all(axis=0)] = 1 - bound, 1
    return ends
