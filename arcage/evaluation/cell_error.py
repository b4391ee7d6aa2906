"""Mean absolute age errors of cells of gender and age, and their average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import FEWEST, interval, percentile_ends, resamples
from arcage.types import F64, Array, Labels


def cell_error(
    predicted: F64, labels: Labels, *, width: int = 1, ages: tuple[int, int] | None = None, seed: int = 0
) -> dict[str, Any]:
    """Return the mean absolute error averaged over cells of gender and age, and that of each cell.

    A mean over faces is that of the most frequent ages. NIST IR 8525 averages over two genders and the ages
    from 18 to 30, so that each cell counts the same.

    Args:
        predicted: ages, shape (n,), years.
        labels: of the n faces, all with an age. Without any gender, the cells are of age alone.
        width: of a cell, years.
        ages: the first age, and the age after the last; None for the decades that have faces.

    Returns:
        ``mae``, years, with its bootstrap ``interval``: over the ``cells_used``, which have at least
        :data:`~arcage.evaluation.bootstrap.FEWEST` faces. ``cells``: each with ``gender``, ``age``,
        ``faces``, ``mae``, ``bias`` and the ``interval`` of its MAE. What cannot be computed is None.
    """
    age, persons = labels.age.astype(np.float64), labels.person
    genders = {name: labels.gender == number for number, name in enumerate(("male", "female"))}
    if not any(mask.any() for mask in genders.values()):
        genders = {"": np.ones(len(age), bool)}
    start, end = ages or (0, int(age.max()) + 1)
    cells, used = [], []
    error = predicted - age
    for name, mask in genders.items():
        for low in range(start, end, width):
            rows = np.flatnonzero(mask & (age >= low) & (age < low + width))
            few = len(rows) < FEWEST
            ends = interval(
                np.abs(error[rows])[:, None], None if persons is None else persons[rows], seed=seed
            )
            cells.append(
                {
                    "gender": name,
                    "age": str(low) if width == 1 else f"{low}-{low + width - 1}",
                    "faces": len(rows),
                    "mae": None if few else float(np.abs(error[rows]).mean()),
                    "bias": None if few else float(error[rows].mean()),
                    "interval": None if ends is None else ends[0].tolist(),
                }
            )
            if not few:
                used.append(rows)
    return {
        "mae": float(np.mean([np.abs(error[rows]).mean() for rows in used])) if used else None,
        "interval": _interval(np.abs(error), used, persons, seed),
        "cells_used": len(used),
        "cells": cells,
    }


def _interval(error: F64, cells: Sequence[Array], persons: Array | None, seed: int) -> list[float] | None:
    """Return the bootstrap interval of the mean over cells of their means; a person may be in several."""
    if not cells:
        return None
    rows = np.concatenate(cells)
    cell = np.repeat(np.arange(len(cells)), [len(members) for members in cells])
    names, person = np.unique(rows if persons is None else persons[rows], return_inverse=True)
    if len(names) < FEWEST:
        return None
    sums, counts = np.zeros((2, len(names), len(cells)))
    np.add.at(sums, (person, cell), error[rows])
    np.add.at(counts, (person, cell), 1)
    values = []
    for times in resamples(len(names), seed=seed):
        drawn = times @ counts
        means = np.divide(times @ sums, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0)
        # A sample without a face of some cell has the mean over its other cells.
        values.append(np.nanmean(means, axis=1))
    ends: list[float] = percentile_ends(np.concatenate(values)[:, None])[0].tolist()
    return ends
