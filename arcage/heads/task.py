"""The task of fitting one attribute: the faces, their labels and weights, and the cross-fitting folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from arcage.errors import UsageError
from arcage.heads.callbacks import Callback, Step
from arcage.heads.kernel import Fold
from arcage.heads.model import INTERVAL
from arcage.heads.settings import Settings
from arcage.text import counted
from arcage.types import F32, Array, Labels

Attribute = Literal["age", "gender"]

VARIANT_WEIGHT = np.float32(0.5)
"""Weight of a degraded variant relative to its face. Most faces that the heads will see are better than their
variants."""
MIN_FACES = 50
"""Minimum number of labelled faces: fewer cannot be cross-fitted and calibrated."""
NO_WEIGHT = "all labelled faces have the weight 0: set a weight above 0 for those to fit on"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """The task of fitting one attribute.

    The first ``faces`` rows are the faces, followed by the same faces in each degraded variant.
    """

    attribute: Attribute
    x: F32
    """Shape (n, dimension): descriptors."""
    labels: Labels
    """Age and gender of the n rows; the fitted attribute is always known."""
    weight: F32
    """Shape (n,), mean 1; rows with the weight 0 are not fitted on."""
    folds: tuple[Fold, ...]
    """Rows with the weight 0 are in no training part."""
    faces: int
    """Number of faces; predictions for them alone are calibrated on and reported."""
    settings: Settings
    callback: Callback | None = None

    @property
    def target(self) -> F32:
        """Shape (n,): the labels of the fitted attribute."""
        return self.labels.age if self.attribute == "age" else self.labels.gender

    @property
    def fitted(self) -> Array:
        """Shape (n,), bool: the rows to fit on."""
        return np.asarray(self.weight > 0)

    @property
    def models(self) -> int:
        """Number of models in a cross-fit: one for each fold and one for all rows."""
        return len(self.folds) + 1

    def report(self, step: Step) -> None:
        """Pass a completed step to the callback."""
        if self.callback is not None:
            self.callback(step)


def make_task(
    attribute: Attribute,
    x: F32,
    labels: Labels,
    known: Array,
    *,
    variants: Sequence[F32],
    weight: F32,
    settings: Settings,
    callback: Callback | None,
) -> Task:
    """Make the task of fitting an attribute on the rows ``known``.

    Raises:
        UsageError: no row has a weight.
    """
    folds = split_folds(known, labels.person, settings)
    times = 1 + len(variants)
    if variants or len(known) < len(x):
        own, x = x, np.empty((times * len(known), x.shape[1]), np.float32)
        for i, part in enumerate((own, *variants)):
            x[i * len(known) : (i + 1) * len(known)] = part[known]
    weights = np.concatenate([weight[known], *[VARIANT_WEIGHT * weight[known]] * len(variants)])
    if not weights.any():
        raise UsageError(NO_WEIGHT)
    weights /= weights.mean()

    def with_variants(rows: Array) -> Array:
        return np.concatenate([rows + i * len(known) for i in range(times)])

    splits = [Fold(with_variants(fold.train), with_variants(fold.test)) for fold in folds]
    return Task(
        attribute,
        x,
        Labels(np.tile(labels.age[known], times), np.tile(labels.gender[known], times)),
        weights,
        tuple(Fold(fold.train[weights[fold.train] > 0], fold.test) for fold in splits),
        len(known),
        settings,
        callback,
    )


def split_folds(known: Array, persons: Array | None, settings: Settings) -> tuple[Fold, ...]:
    """Split the rows ``known`` into folds, with each person in one fold.

    Args:
        persons: shape (n,), a number for each face's person; None if no person is known.

    Returns:
        Folds of indices into ``known``.
    """
    from sklearn.model_selection import GroupKFold, KFold

    if persons is None:
        splits = KFold(settings.folds, shuffle=True, random_state=settings.seed).split(known)
    else:
        by_person = GroupKFold(settings.folds, shuffle=True, random_state=settings.seed)
        splits = by_person.split(known, groups=persons[known])
    return tuple(Fold(train, test) for train, test in splits)


def check_labels(labels: Labels, folds: int, min_faces: int = MIN_FACES) -> None:
    """Check whether heads can be fitted on labels.

    Raises:
        UsageError: there are too few labelled faces or persons, or the faces have a single gender.
    """
    if not np.isfinite([labels.age, labels.gender]).any():
        raise UsageError("no face has a label: check that `labels` fits the extracted images")
    attributes: tuple[Attribute, ...] = ("age", "gender")
    for attribute in attributes:
        if reason := why_not_fitted(attribute, labels, folds, min_faces):
            raise UsageError(reason)


def why_not_fitted(attribute: Attribute, labels: Labels, folds: int, min_faces: int = MIN_FACES) -> str:
    """Return the reason why an attribute cannot be fitted; empty if it can, or if no face has a label."""
    label = labels.age if attribute == "age" else labels.gender
    known = np.flatnonzero(np.isfinite(label))
    if not len(known):
        return ""
    if attribute == "gender" and len(np.unique(label[known])) < 2:
        word = "female" if label[known[0]] else "male"
        return f"all labelled faces have the same gender, {word}: add faces of the other one"
    if len(known) < min_faces:
        have = counted(len(known), "face has", "faces have")
        return f"only {have} a label for {attribute}; at least {min_faces} are needed"
    persons = len(known) if labels.person is None else len(np.unique(labels.person[known]))
    if persons < folds:
        return (
            f"the faces with a label for {attribute} come from fewer than {folds} persons or groups "
            f"({persons}): add more of them, or leave them out"
        )
    return ""


def same_age(labels: Labels) -> str:
    """Return that almost all faces have the same age, in words: every interval would be that age alone.

    Empty if they do not, or if no face has an age.
    """
    years, counts = np.unique(labels.age[np.isfinite(labels.age)], return_counts=True)
    if not len(years) or counts.max() < INTERVAL * counts.sum():
        return ""
    who = "all" if len(years) == 1 else f"{counts.max():,} of {counts.sum():,}"
    return f"{who} labelled faces have the same age, {years[counts.argmax()]:g}: add other ages"
