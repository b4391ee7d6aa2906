"""Pairs of similar faces: copies of a picture, and faces that may show the same person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from arcage.audit.records import Records, face_records, names_by_hash
from arcage.cache import Names
from arcage.data.labelled import LabelledFaces
from arcage.heads.model import Predictions
from arcage.types import F32, Array

NEAR_COPY = 0.95
"""Minimum cosine of two descriptors of one picture that was saved twice (docs/guide/data.md)."""
LOOK_ALIKE = 0.8
"""Minimum cosine of two adults who are likely to be the same person (docs/guide/data.md)."""
COMPARED = 500_000
"""Maximum number of faces that are compared, chosen by the hash of their image."""
LISTED = 20
"""Maximum number of look-alikes in the report."""
CENTRED = 100
"""Minimum number of faces for which their mean is subtracted: raw levels of a network are similar for all
images."""
AXES, SAMPLE = 128, 20_000
"""Principal axes that rule out most pairs, and the maximum number of faces that they are computed from."""
BLOCK = 250
"""Rows that are compared at once."""
MAX_PAIRS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class SimilarPairs:
    """Pairs of faces, the most similar first."""

    first: Array
    """Shape (pairs,), int64: row of one face."""
    second: Array
    """Shape (pairs,), int64: row of the other face."""
    cosine: F32
    """Shape (pairs,)."""
    count: int
    """Number of pairs that were found, of which at most :data:`MAX_PAIRS` are listed."""


def similar_pairs(x: F32, least: float) -> SimilarPairs:
    """Find all pairs of rows with a cosine of at least ``least``.

    Takes time proportional to n^2, and memory for one copy of ``x``.

    Args:
        x: descriptors, shape (n, dimension), float32.
        least: the minimum cosine.
    """
    unit = x - x.mean(axis=0, dtype=np.float64).astype(np.float32) if len(x) >= CENTRED else x.copy()
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    first = second = np.empty(0, np.int64)
    cosine = np.empty(0, np.float32)
    count, floor, short = 0, least, _shorten(unit)
    for start in range(0, len(unit), BLOCK):
        possible = short[start : start + BLOCK] @ short[start:].T >= least - 1e-4
        columns = start + np.flatnonzero(possible.any(axis=0))
        close = unit[start : start + BLOCK] @ unit[columns].T
        # Each pair once, and no face with itself.
        close[np.arange(start, start + len(close))[:, None] >= columns] = -2
        count += int((close >= least).sum())
        if len(cosine) >= MAX_PAIRS:
            floor = float(cosine.min())
        found = close >= floor
        if found.sum() > MAX_PAIRS:
            floor = float(np.partition(close, -MAX_PAIRS, axis=None)[-MAX_PAIRS])
            found = close >= floor
        i, j = (rows[:MAX_PAIRS] for rows in np.nonzero(found))
        first, second = np.append(first, i + start), np.append(second, columns[j])
        cosine = np.append(cosine, close[i, j])
        best = np.argsort(-cosine, kind="stable")[:MAX_PAIRS]
        first, second, cosine = first[best], second[best], cosine[best]
    return SimilarPairs(first, second, cosine, count)


def duplicates(
    faces: LabelledFaces, predictions: Predictions, names: Names | None
) -> tuple[Records, dict[str, Any]]:
    """Find near copies and look-alikes among labelled faces.

    Args:
        faces, predictions: the faces, and out-of-fold predictions for the report.
        names: the caches' file names.

    Returns:
        The near copies, those with different labels first: ``cosine``, ``differs`` (whether the labels
        differ) and ``faces`` (two records of :func:`arcage.audit.records.face_records`).

        The look-alikes, which are not near copies and whose persons are unknown or have different names:
        ``compared`` (number of faces), ``cosine`` (the limit), ``pairs`` (their number), ``complete``
        (whether all pairs are counted), ``faces`` (in any pair) and ``most`` (the most similar pairs).
    """
    compared = faces.select(np.arange(len(faces)) < COMPARED)
    pairs = similar_pairs(compared.descriptors(), LOOK_ALIKE)
    first, second, cosine = pairs.first, pairs.second, pairs.cosine
    persons = compared.persons()
    # Two faces of one person may be alike. If they have two names, one of the names is likely to be wrong.
    strangers = np.ones(len(first), bool) if persons is None else persons[first] != persons[second]
    near = cosine >= NEAR_COPY
    age_gap = np.abs(compared.age[first] - compared.age[second])
    other_gender = np.abs(compared.gender[first] - compared.gender[second]) == 1
    differs = (age_gap > 0) | other_gender | (strangers & (persons is not None))

    paths = names_by_hash(names, compared.table.sha256(compared.rows[np.unique([first, second])]))

    def listed(chosen: Array) -> Records:
        records = [face_records(rows[chosen], compared, predictions, paths) for rows in (first, second)]
        return [
            {"cosine": float(c), "differs": bool(d), "faces": [one, other]}
            for c, d, one, other in zip(cosine[chosen], differs[chosen], *records, strict=True)
        ]

    copies = np.flatnonzero(near)
    gap = np.nan_to_num(age_gap[copies])
    copies = copies[np.lexsort((-gap, ~other_gender[copies], ~differs[copies]))]
    alike = np.flatnonzero(~near & strangers)
    return listed(copies), {
        "compared": len(compared),
        "cosine": LOOK_ALIKE,
        "pairs": len(alike),
        "complete": len(first) == pairs.count,
        "faces": len(np.unique([first[alike], second[alike]])),
        "most": listed(alike[:LISTED]),
    }


def _shorten(unit: F32) -> F32:
    """Return shorter rows whose products are upper bounds of the products of the rows of ``unit``.

    They consist of the coordinates p, q on the principal axes and the lengths of the residuals r, s:
    <unit, unit'> = <p, q> + <r, s>, and <r, s> <= |r| |s| (Cauchy-Schwarz).
    """
    if unit.shape[1] <= AXES or len(unit) < SAMPLE // 10:
        return unit
    sample = unit[:: max(1, len(unit) // SAMPLE)]
    axes = np.linalg.eigh(sample.T @ sample)[1][:, -AXES:]
    short = np.empty((len(unit), AXES + 1), np.float32)
    np.matmul(unit, axes, out=short[:, :-1])
    length = np.einsum("ij,ij->i", short[:, :-1], short[:, :-1])
    short[:, -1] = np.sqrt(np.maximum(1 - length, 0))
    return short
