"""Labels that the faces themselves contradict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arcage.data.labelled import LabelledFaces
from arcage.errors import UsageError
from arcage.heads.model import Predictions
from arcage.types import F32, F64


@dataclass(frozen=True, slots=True, eq=False)
class Suspicion:
    """How far each label is from the answer of heads that were fitted on other faces."""

    answers: Predictions
    years: F64
    """Shape (n,): by how many years the label lies outside the 90 % interval, below 0 inside; NaN where
    unknown."""
    doubt: F64
    """Shape (n,): the probability, by the answer, that the gender is the other one; NaN where unknown."""
    reasons: tuple[str, ...]
    """Why labels could not be compared."""


def suspicion(faces: LabelledFaces) -> Suspicion:
    """Compare all labels with out-of-fold answers of linear heads, which take seconds.

    Nobody's faces are on both sides of a fold where persons are known. A linear head cannot follow single
    wrong labels: what is random in them is left over (`benchmarks/labels/planted.py` plants some).
    """
    from arcage.heads.fit import fit_heads
    from arcage.heads.settings import Settings

    x, labels = faces.descriptors(), faces.labels()
    seen: list[Predictions] = []
    reasons = []
    for what, other in (("ages", "gender"), ("genders", "age")):
        seen.append(Predictions.empty(len(faces)))
        own = labels.without([other])
        if not np.isfinite([own.age, own.gender]).any():
            continue
        try:
            seen[-1] = fit_heads(x, own, fingerprint="", settings=Settings(kind="linear")).out_of_fold
        except UsageError as error:
            reasons.append(f"{what} cannot be compared: {error}")
    answers = Predictions(seen[0].age, seen[0].age_low, seen[0].age_high, seen[1].p_female)
    return Suspicion(answers, years_outside(answers, faces.age), doubt(answers, faces.gender), tuple(reasons))


def years_outside(answers: Predictions, age: F32) -> F64:
    """As :attr:`Suspicion.years`."""
    beyond = np.maximum(age - answers.age_high, answers.age_low - age)
    return np.asarray(beyond, np.float64)


def doubt(answers: Predictions, gender: F32) -> F64:
    """As :attr:`Suspicion.doubt`."""
    p_label = np.where(gender == 1, answers.p_female, 1 - answers.p_female)
    return np.where(np.isfinite(gender), 1 - p_label, np.nan).astype(np.float64)
