"""Fitted heads: descriptors in; age with its interval, and the probability of female, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arcage.errors import HeadsError
from arcage.heads.layers import Kernel, Linear, Trees
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
    the last stage; the last stage's outputs are added to the kernel stage's answer."""

    kernels: tuple[Kernel, ...]
    """Of the kernel stage, all on the same landmarks' faces; each has its answer in its first column."""
    columns: Array
    """Shape (k,), int64: the descriptor's columns among the features."""
    last: tuple[Linear | Trees, ...]
    """One answer each: what is asked for first, then the lower and upper quantile, where fitted."""

    def __call__(self, x: F32) -> F32:
        """Shape (n, dimension) -> shape (n, answers)."""
        if not self.kernels:
            return np.concatenate([part(x) for part in self.last], axis=1)
        return self._answers(x, np.concatenate([kernel(x) for kernel in self.kernels], axis=1))

    def look(self, x: F32) -> Seen:
        """The answers, and what they were made of; for stacks with a kernel stage."""
        if not self.kernels:
            raise ValueError("without a kernel stage there is nothing but the answers")
        axes = [kernel.project(x) for kernel in self.kernels]
        outputs = self.of_projected(axes)
        return Seen(self._answers(x, outputs), outputs, np.concatenate(axes, axis=1))

    def of_projected(self, axes: Sequence[F32]) -> F32:
        """The kernel stage's outputs, shape (n, outputs), from the axes of each of its kernels."""
        return np.concatenate(
            [kernel.of_projected(own) for kernel, own in zip(self.kernels, axes, strict=True)], axis=1
        )

    def start(self, outputs: F32) -> F32:
        """The kernel stage's answer, shape (n,): the mean of its kernels'."""
        firsts = np.cumsum([0, *(len(kernel.bias) for kernel in self.kernels[:-1])])
        return np.asarray(outputs[:, firsts].mean(axis=1), np.float32)

    def _answers(self, x: F32, outputs: F32) -> F32:
        features = np.concatenate([outputs, x[:, self.columns]], axis=1)
        last = np.concatenate([part(features) for part in self.last], axis=1)
        answers: F32 = self.start(outputs)[:, None] + last
        return answers


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a stack sees in n faces."""

    answers: F32
    """Shape (n, answers)."""
    outputs: F32
    """Shape (n, outputs): the kernel stage's."""
    axes: F32
    """Shape (n, axes): on which the kernel stage compares faces."""

    def source(self) -> F32:
        """What tells one source of faces from another, shape (n, outputs + axes)."""
        return np.concatenate([self.outputs, self.axes], axis=1)

    def said(self) -> F32:
        """What was made of the faces, shape (n, outputs + answers)."""
        return np.concatenate([self.outputs, self.answers], axis=1)

    def of(self, rows: Array) -> Seen:
        return Seen(self.answers[rows], self.outputs[rows], self.axes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What heads that were fitted on one source of faces have learnt from a few faces of another: a change
    of their answer, for the faces that look like those of the new source."""

    gate: Linear
    """From :meth:`Seen.source` to the log-odds of the new source."""
    lowest: F32
    highest: F32
    """Shape (outputs + answers,): what the new faces' :meth:`Seen.said` reached; nothing is extrapolated."""
    change: Linear
    """From :meth:`Seen.said`, kept within these, to what is added to the answers."""
    curves: F32
    """Shape (3, points): the intervals' curves for the new source, as :class:`AgeModel` has them for the
    old one; shape (3, 0) for gender."""

    def weight(self, seen: Seen) -> F32:
        """How much a face looks like the new source, shape (n,), 0 to 1."""
        return _logistic(self.gate(seen.source())[:, 0])

    def shift(self, seen: Seen, weight: F32) -> F32:
        """What is added to the answers, shape (n, 1)."""
        return weight[:, None] * self.change(np.clip(seen.said(), self.lowest, self.highest))


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
    adapted: Adaptation | None = None

    def __call__(self, x: F32) -> tuple[F32, F32, F32]:
        if self.adapted is None:
            return self.interval(self.stack(x))
        seen = self.stack.look(x)
        weight = self.adapted.weight(seen)
        answers = seen.answers + self.adapted.shift(seen, weight)
        return self.blended(answers, weight, self.adapted.curves)

    def interval(self, answers: F32) -> tuple[F32, F32, F32]:
        """Age, lower and upper end from the stack's answers, shape (n, 1) or (n, 3)."""
        return _interval(answers, self.ages, self.low, self.high)

    def blended(self, answers: F32, weight: F32, curves: F32) -> tuple[F32, F32, F32]:
        """As :meth:`interval`, with each end between those by the own and by other ``curves``, shape
        (3, points); ``weight``, shape (n,), is that of the others."""
        age, *own = self.interval(answers)
        _, *other = _interval(answers, *curves)
        low, high = (np.asarray(a + weight * (b - a), np.float32) for a, b in zip(own, other, strict=True))
        return age, np.minimum(low, age), np.maximum(high, age)


def _interval(answers: F32, ages: F32, low: F32, high: F32) -> tuple[F32, F32, F32]:
    age = np.clip(answers[:, 0], YOUNGEST, OLDEST)
    lower = np.interp(answers[:, -2 if answers.shape[1] == 3 else 0], low, ages)
    upper = np.interp(answers[:, -1], high, ages)
    # Quantiles are fitted apart from the age and may cross it.
    lower, upper = np.minimum(lower, age), np.maximum(upper, age)
    ends = np.clip(np.stack([lower, upper]), YOUNGEST, OLDEST).astype(np.float32)
    return age, ends[0], ends[1]


@dataclass(frozen=True, slots=True)
class GenderModel:
    """The probability of female: a score through a calibrated logistic curve (Platt, 1999)."""

    stack: Stacked
    slope: float
    offset: float
    adapted: Adaptation | None = None
    """Its change is one of the log-odds."""

    def __call__(self, x: F32) -> F32:
        if self.adapted is None:
            return self.probability(self.stack(x)[:, 0])
        seen = self.stack.look(x)
        shift = self.adapted.shift(seen, self.adapted.weight(seen))
        return self.probability(seen.answers[:, 0], shift[:, 0])

    def probability(self, score: F32, shift: F32 | float = 0.0) -> F32:
        """Shape (n,) -> shape (n,), 0 to 1; ``shift`` is added to the log-odds."""
        return _logistic(self.slope * score + self.offset + shift)


def _logistic(odds: Array) -> F32:
    result: F32 = (1 / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)
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
    folder: Path | None = None
    """Their folder on disk."""

    @property
    def adapted(self) -> bool:
        """Whether they were adapted to another source of faces than they were fitted on."""
        return any(head is not None and head.adapted is not None for head in (self.age, self.gender))

    @property
    def pipeline_name(self) -> str:
        """The pipeline whose descriptors the heads take, as in ``pack compact``."""
        pack = self.manifest.get("pack")
        return f"pack {pack}" if pack else f"pipeline {self.fingerprint}"

    def check(self, fingerprint: str, pack: str = "") -> None:
        """Refuse descriptors of another pipeline.

        Args:
            pack: the name of its model pack, for the message.

        Raises:
            HeadsError: the fingerprints differ.
        """
        if fingerprint == self.fingerprint:
            return
        own = self.manifest.get("pack")
        fit = "or fit heads on this one with `arcage fit`"
        if not own or not pack or own == pack:
            raise HeadsError(
                f"these heads were fitted on descriptors of the pipeline {self.fingerprint}, not "
                f"{fingerprint}{f' (another version of the pack {pack})' if own == pack else ''}; choose the "
                f"pack that they were fitted with (`pack`), {fit}"
            )
        raise HeadsError(
            f"these heads were fitted with the model pack {own}, not with {pack}; choose it with "
            f"`pack` {own}, {fit}"
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
