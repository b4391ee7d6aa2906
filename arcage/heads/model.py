"""Fitted heads: descriptors in; age with its interval, and the probability of female, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from arcage.errors import HeadsError
from arcage.heads.parts import Kernel, Linear, Trees
from arcage.types import F32, Array

YOUNGEST, OLDEST = 0.0, 120.0
"""Answers stay within these, in years."""
BATCH = 4096
"""Faces at once: memory stays flat however many are asked for."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers for n faces; each array has shape (n,), float32. NaN where the heads lack the attribute."""

    age: F32
    """Years."""
    age_low: F32
    age_high: F32
    """The ends of the 90 % interval, years."""
    p_female: F32
    """0 to 1, calibrated."""


@dataclass(frozen=True, slots=True)
class Stacked:
    """An optional kernel stage, whose outputs and some columns of the descriptor are the features of
    the last stage; the last stage's outputs are added to the kernel stage's first."""

    kernel: Kernel | None
    columns: Array
    """Shape (k,), int64: the descriptor's columns among the features."""
    last: tuple[Linear | Trees, ...]
    """One answer each: what is asked for first, then the lower and upper quantile, where fitted."""

    def __call__(self, x: F32) -> F32:
        """Shape (n, dimension) -> shape (n, answers)."""
        if self.kernel is None:
            return np.concatenate([part(x) for part in self.last], axis=1)
        first = self.kernel(x)
        features = np.concatenate([first, x[:, self.columns]], axis=1)
        answers: F32 = first[:, :1] + np.concatenate([part(features) for part in self.last], axis=1)
        return answers


@dataclass(frozen=True, slots=True)
class AgeModel:
    """Age with a conformal interval.

    Conformalised quantile regression, calibrated for each band of the true age: see
    :func:`arcage.heads.calibrate.conformal`. Heads without quantiles use the age itself for both.
    """

    stack: Stacked
    ages: F32
    low: F32
    high: F32
    """Shape (points,), years, increasing: an interval begins at the age at which the curve ``low`` reaches
    the lower quantile, and ends where ``high`` reaches the upper one."""

    def __call__(self, x: F32) -> tuple[F32, F32, F32]:
        return self.interval(self.stack(x))

    def interval(self, answers: F32) -> tuple[F32, F32, F32]:
        """Age, lower and upper end from the stack's answers, shape (n, 1) or (n, 3)."""
        age = np.clip(answers[:, 0], YOUNGEST, OLDEST)
        low = np.interp(answers[:, -2 if answers.shape[1] == 3 else 0], self.low, self.ages)
        high = np.interp(answers[:, -1], self.high, self.ages)
        # Quantiles are fitted apart from the age and may cross it.
        low, high = np.minimum(low, age), np.maximum(high, age)
        ends = np.clip(np.stack([low, high]), YOUNGEST, OLDEST).astype(np.float32)
        return age, ends[0], ends[1]


@dataclass(frozen=True, slots=True)
class GenderModel:
    """The probability of female: a score through a calibrated logistic curve (Platt, 1999)."""

    stack: Stacked
    slope: float
    offset: float

    def __call__(self, x: F32) -> F32:
        return self.probability(self.stack(x)[:, 0])

    def probability(self, score: F32) -> F32:
        """Shape (n,) -> shape (n,), 0 to 1."""
        z = np.clip(self.slope * score + self.offset, -30, 30)
        result: F32 = (1 / (1 + np.exp(-z))).astype(np.float32)
        return result


@dataclass(frozen=True, slots=True)
class Heads:
    """Age and gender heads for the descriptors of one pipeline."""

    fingerprint: str
    """Of the pipeline whose descriptors they were fitted on."""
    dimension: int
    age: AgeModel | None
    gender: GenderModel | None
    manifest: dict[str, Any]
    """What they were fitted on, with what, and how well they did; see the model card."""

    def check(self, fingerprint: str) -> None:
        """Refuse descriptors of another pipeline.

        Raises:
            HeadsError: the fingerprints differ.
        """
        if fingerprint != self.fingerprint:
            raise HeadsError(
                f"these heads were fitted on descriptors of the pipeline {self.fingerprint}, not "
                f"{fingerprint}; choose the pack that they were fitted with (--pack), or fit heads on "
                "this one: arcage fit --cache DIR --labels ... --out HEADS"
            )

    def predict(self, descriptors: Array) -> Predictions:
        """Answers for any number of faces.

        Args:
            descriptors: shape (n, dimension), float16 or float32.

        Raises:
            HeadsError: the descriptors have another dimension.
        """
        if descriptors.ndim != 2 or descriptors.shape[1] != self.dimension:
            raise HeadsError(
                f"descriptors of shape {descriptors.shape} for heads of (n, {self.dimension}): "
                "they come from another model pack"
            )
        out = np.full((4, len(descriptors)), np.nan, np.float32)
        for start in range(0, len(descriptors), BATCH):
            x = np.asarray(descriptors[start : start + BATCH], np.float32)
            here = slice(start, start + len(x))
            if self.age is not None:
                out[0, here], out[1, here], out[2, here] = self.age(x)
            if self.gender is not None:
                out[3, here] = self.gender(x)
        return Predictions(*out)
