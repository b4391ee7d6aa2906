"""Labels that contradict the faces: far from out-of-fold predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from arcage.audit.records import face_records, names_by_hash
from arcage.cache import Names
from arcage.data.labelled import LabelledFaces
from arcage.errors import UsageError
from arcage.heads.model import Predictions
from arcage.types import F32, F64, Array

MAX_SHARE = 0.05
"""Maximum share of the labels that are listed as suspicious."""
FAR_OUTSIDE = 10.0
"""Minimum distance of an age that is far outside its interval, years."""
CONTRADICTED = 0.95
"""Minimum probability of the other gender for a label that is contradicted."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelErrors:
    """How far each label is from an out-of-fold prediction."""

    predictions: Predictions
    years_outside: F64
    """Shape (n,): years from the label to the 90 % interval, negative inside it; NaN where unknown."""
    p_other: F64
    """Shape (n,): predicted probability of the gender that is not the label; NaN where unknown."""
    not_checked: tuple[str, ...]
    """Why labels could not be checked."""


def find_label_errors(faces: LabelledFaces) -> LabelErrors:
    """Compare all labels with out-of-fold predictions of linear heads, which takes seconds.

    All faces of a person are in one fold. Linear heads cannot fit single wrong labels, which therefore have
    large residuals (``benchmarks/accuracy/labels.py`` measures how many are found).
    """
    from arcage.heads.fit import fit_heads
    from arcage.heads.settings import Settings

    x, labels = faces.descriptors(), faces.labels()
    out_of_fold: list[Predictions] = []
    reasons = []
    for what, other in (("ages", "gender"), ("genders", "age")):
        out_of_fold.append(Predictions.empty(len(faces)))
        known = labels.without([other])
        if not np.isfinite([known.age, known.gender]).any():
            continue
        try:
            out_of_fold[-1] = fit_heads(
                x, known, fingerprint="", settings=Settings(kind="linear")
            ).out_of_fold
        except UsageError as error:
            reasons.append(f"{what} cannot be checked: {error}")
    ages, genders = out_of_fold
    predictions = Predictions(ages.age, ages.age_low, ages.age_high, genders.p_female)
    return LabelErrors(
        predictions,
        years_outside(predictions, faces.age),
        p_other(predictions, faces.gender),
        tuple(reasons),
    )


def years_outside(predictions: Predictions, age: F32) -> F64:
    """Return :attr:`LabelErrors.years_outside` for ages of shape (n,), years."""
    return np.asarray(np.maximum(age - predictions.age_high, predictions.age_low - age), np.float64)


def p_other(predictions: Predictions, gender: F32) -> F64:
    """Return :attr:`LabelErrors.p_other` for genders of shape (n,), 0 male, 1 female."""
    p_label = np.where(gender == 1, predictions.p_female, 1 - predictions.p_female)
    return np.where(np.isfinite(gender), 1 - p_label, np.nan).astype(np.float64)


def most_suspicious(score: Array, above: float) -> Array:
    """Return the rows with the highest scores, in descending order.

    Args:
        score: shape (n,); NaN where unknown.
        above: lower limit of the score. At most :data:`MAX_SHARE` of all known scores are returned.
    """
    order = np.argsort(-score, kind="stable")
    known = int(np.isfinite(score).sum())
    order = order[: int(np.ceil(MAX_SHARE * known))]
    return order[score[order] > above]


def suspicious_labels(errors: LabelErrors, faces: LabelledFaces, names: Names | None) -> dict[str, Any]:
    """List the most suspicious labels.

    Returns:
        ``by`` (the method), ``not_compared`` (reasons), ``far`` (number of ages at least :data:`FAR_OUTSIDE`
        years outside), ``contradicted`` (number of genders with at least :data:`CONTRADICTED`), and the lists
        ``age`` and ``gender``, the most suspicious first: records of
        :func:`arcage.audit.records.face_records` with ``source`` and the score, which is ``years_outside`` or
        ``doubt`` (the probability of the other gender).
    """
    chosen = {
        "age": most_suspicious(errors.years_outside, 0),
        "gender": most_suspicious(errors.p_other, 0.5),
    }
    paths = names_by_hash(names, faces.table.sha256(faces.rows[np.concatenate(list(chosen.values()))]))
    scores = {"age": ("years_outside", errors.years_outside), "gender": ("doubt", errors.p_other)}
    out: dict[str, Any] = {
        "by": "out-of-fold predictions of linear heads",
        "not_compared": list(errors.not_checked),
        "far": int((errors.years_outside >= FAR_OUTSIDE).sum()),
        "contradicted": int((errors.p_other >= CONTRADICTED).sum()),
    }
    for attribute, rows in chosen.items():
        name, score = scores[attribute]
        records = face_records(rows, faces, errors.predictions, paths)
        out[attribute] = [
            {name: float(score[row]), **record, "source": str(faces.source[row])}
            for row, record in zip(rows, records, strict=True)
        ]
    return out
