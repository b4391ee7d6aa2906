"""Select and weight the labelled faces of a fit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from arcage.data.labelled import LabelledFaces
from arcage.errors import UsageError
from arcage.types import F32, Array

Balance = Literal["age", "source"]
BALANCES: tuple[Balance, ...] = get_args(Balance)
NEIGHBOURS = 2
"""Years below and above an age whose faces are counted with it, because labels are rounded and guessed."""
BOUND = 4.0
"""Maximum factor between the weight of rare or frequent faces and that of a typical one."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Options to select and weight training faces, all off by default. Held-out faces are never thinned or
    weighted."""

    ages: tuple[int, int] | None = None
    """Minimum and maximum, years, both included. Other faces are left out of the fit and of all metrics."""
    per_age: int | None = None
    """Maximum number of training faces for each year of age."""
    balance: Balance | None = None
    """Property whose rare values are given more weight."""

    @property
    def options(self) -> dict[str, Sampling]:
        """The options that are set, as given on the command line, each with the sampling without it."""
        out = {}
        if self.ages is not None:
            out["--ages {}-{}".format(*self.ages)] = replace(self, ages=None)
        if self.per_age is not None:
            out[f"--per-age {self.per_age}"] = replace(self, per_age=None)
        if self.balance is not None:
            out[f"--balance {self.balance}"] = replace(self, balance=None)
        return out

    def check(self, faces: LabelledFaces) -> None:
        """Raise UsageError if the labels lack what the options need."""
        if (self.ages or self.per_age or self.balance == "age") and not np.isfinite(faces.age).any():
            raise UsageError("no face has an age: leave out `ages`, `per_age` and `balance` age")
        if self.balance == "source" and len(np.unique(faces.source)) < 2:
            raise UsageError("`balance` source needs several `labels`: there is only one")

    def inside(self, faces: LabelledFaces) -> Array:
        """Return which faces are within :attr:`ages`, shape (n,), bool. Faces of unknown age are."""
        if self.ages is None:
            return np.ones(len(faces), bool)
        low, high = self.ages
        return np.asarray(np.isnan(faces.age) | ((faces.age >= low) & (faces.age < high + 1)))

    def weight(self, faces: LabelledFaces, seed: int) -> F32:
        """Return the weights of the training faces, shape (n,), float32; 0 for faces that are not fitted on.

        The weight of a face is that of its label (default 1), or 0 if it is thinned out. With :attr:`balance`
        it is multiplied by the median frequency divided by the frequency of the face, clipped to the range
        from 1 / :data:`BOUND` to :data:`BOUND`. The frequency is the number of training faces of the same
        source, or of the same age within :data:`NEIGHBOURS` years. Faces of unknown age are not balanced.

        Args:
            faces: the training faces.
            seed: of the random choice of faces for :attr:`per_age`.
        """
        weight = np.where(np.isfinite(faces.weight), faces.weight, np.float32(1)).astype(np.float32)
        years = np.where(np.isfinite(faces.age), faces.age, -1).astype(np.int64)
        if self.per_age is not None:
            rng = np.random.default_rng(seed)
            for year in np.unique(years[years >= 0]):
                rows = np.flatnonzero((years == year) & (weight > 0))
                weight[rng.permutation(rows)[self.per_age :]] = 0
        if self.balance == "source" or (self.balance == "age" and (years >= 0).any()):
            names = faces.source if self.balance == "source" else years
            known = (weight > 0) & (names != -1 if self.balance == "age" else True)
            values, index = np.unique(names[known], return_inverse=True)
            counts = np.bincount(index)
            if self.balance == "age":
                is_near = np.abs(values[:, None] - values) <= NEIGHBOURS
                counts = is_near @ counts
            frequency = counts[index].astype(np.float64)
            weight[known] *= np.clip(np.median(frequency) / frequency, 1 / BOUND, BOUND).astype(np.float32)
        return weight


def parse_ages(text: str) -> tuple[int, int]:
    """Parse ``0-90`` into a minimum and a maximum, years, both included.

    Raises:
        UsageError: the text is not such a range.
    """
    found = re.fullmatch(r"([0-9]{1,3})-([0-9]{1,3})", text.strip())
    if not found or int(found[1]) > int(found[2]):
        raise UsageError(f"`ages` {text} is not a range: give the minimum and the maximum, as in 0-90")
    return int(found[1]), int(found[2])
