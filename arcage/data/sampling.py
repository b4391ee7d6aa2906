"""Which labelled faces a fit is made of, and how much each of them counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from arcage.data.labelled import LabelledFaces
from arcage.errors import UsageError
from arcage.evaluation.comparison import as_text, verdicts
from arcage.text import counted
from arcage.types import F32, Array

Balance = Literal["age", "source"]
BALANCES: tuple[Balance, ...] = get_args(Balance)
NEIGHBOURS = 2
"""Faces of an age are counted with those of so many years below and above: labels are rounded and guessed."""
BOUND = 4.0
"""The rarest faces weigh so many times what the usual ones do at most, and the commonest so much less."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Ways to shape the training part, all off by default. What is held out is never thinned or weighted."""

    ages: tuple[int, int] | None = None
    """Youngest and oldest, both included; other faces take no part, in figures neither."""
    per_age: int | None = None
    """Faces of one age, in whole years, that are fitted on at most."""
    balance: Balance | None = None
    """By what rare faces are given more weight."""

    @property
    def options(self) -> dict[str, Sampling]:
        """Each chosen option as it was given, and what would be without it."""
        out = {}
        if self.ages is not None:
            out["--ages {}-{}".format(*self.ages)] = replace(self, ages=None)
        if self.per_age is not None:
            out[f"--per-age {self.per_age}"] = replace(self, per_age=None)
        if self.balance is not None:
            out[f"--balance {self.balance}"] = replace(self, balance=None)
        return out

    def check(self, faces: LabelledFaces) -> None:
        """Raises UsageError where the labels have nothing to choose by."""
        if (self.ages or self.per_age or self.balance == "age") and not np.isfinite(faces.age).any():
            raise UsageError("no face has an age to choose by: leave out `ages`, `per_age` and `balance` age")
        if self.balance == "source" and len(np.unique(faces.source)) < 2:
            raise UsageError("`balance` source is for several `labels`: there is one")

    def inside(self, faces: LabelledFaces) -> Array:
        """Which faces take part, shape (n,), bool. Those of unknown age do."""
        if self.ages is None:
            return np.ones(len(faces), bool)
        low, high = self.ages
        return np.asarray(np.isnan(faces.age) | ((faces.age >= low) & (faces.age < high + 1)))

    def weight(self, faces: LabelledFaces, seed: int) -> F32:
        """How much each training face counts in the fit, shape (n,); 0 for not at all.

        It is the weight of the labels (1 where they have none), 0 for what is thinned out, times the median
        face's frequency divided by the face's own, from 1 / :data:`BOUND` to :data:`BOUND`. The frequency is
        how many faces that are fitted on have the same age, give or take :data:`NEIGHBOURS` years, or the
        same source. Faces of unknown age are left as they are.
        """
        weight = np.where(np.isfinite(faces.weight), faces.weight, np.float32(1)).astype(np.float32)
        years = np.where(np.isfinite(faces.age), faces.age, -1).astype(np.int64)
        if self.per_age is not None:
            rng = np.random.default_rng(seed)
            for year in np.unique(years[years >= 0]):
                there = np.flatnonzero((years == year) & (weight > 0))
                weight[rng.permutation(there)[self.per_age :]] = 0
        if self.balance == "source" or (self.balance == "age" and (years >= 0).any()):
            names = faces.source if self.balance == "source" else years
            known = (weight > 0) & (names != -1 if self.balance == "age" else True)
            values, index = np.unique(names[known], return_inverse=True)
            counts = np.bincount(index)
            if self.balance == "age":
                near = np.abs(values[:, None] - values) <= NEIGHBOURS
                counts = near @ counts
            often = counts[index].astype(np.float64)
            weight[known] *= np.clip(np.median(often) / often, 1 / BOUND, BOUND).astype(np.float32)
        return weight


def parse_ages(text: str) -> tuple[int, int]:
    """``0-90`` as two ages, both included.

    Raises:
        UsageError: it is no such range.
    """
    found = re.fullmatch(r"([0-9]{1,3})-([0-9]{1,3})", text.strip())
    if not found or int(found[1]) > int(found[2]):
        raise UsageError(f"`ages` {text} is no range of ages: give the youngest and the oldest, as in 0-90")
    return int(found[1]), int(found[2])


def sampling_words(told: dict[str, Any], *, tables: bool = True) -> str:
    """What a manifest's ``sampling`` tells: what was left out, and each option's effect, with ``tables`` or
    without."""
    words = []
    if told["ages"]:
        low, high = told["ages"]
        outside = f"outside the ages {low} to {high}"
        words.append(
            f"{counted(told['outside'], f'face {outside} is', f'faces {outside} are')} left out, in the "
            "figures as well: MAE is not comparable with that of all ages"
        )
    if told["per_age"]:
        thinned = counted(told["thinned"], "face of crowded ages is", "faces of crowded ages are")
        words.append(f"{thinned} not fitted on, but in the figures")
    parts = ["\n".join(words)] if words else []
    names = ("without", "with")
    for option, effect in told["effects"].items():
        lines = [as_text(effect, names)] if tables else [f"  {line}" for line in verdicts(effect, names)]
        parts.append("\n".join([f"{option}, without and with it:", *lines]))
    return "\n\n".join(parts)
