"""Fitted heads: age with its interval, and the probability of female, from descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from arcage.errors import HeadsError
from arcage.heads.distribution import (
    HIGH,
    LEVELS,
    LOW,
    OLDEST,
    YOUNGEST,
    Distribution,
    probability_below,
    quantile,
)
from arcage.heads.familiarity import Familiarity
from arcage.heads.layers import Kernel, Linear, Trees
from arcage.text import counted, visible
from arcage.types import F32, Array

BATCH = 4096
"""Number of faces in one step of a prediction; bounds its memory."""
HALF_YEAR = 0.5
"""How far :meth:`Predictions.p_under` lowers its threshold, years: labels are completed years."""
INTERVAL = 0.9
"""Level of the interval in ``age_low`` and ``age_high``."""


def _no_quantiles() -> F32:
    return np.empty((0, len(LEVELS)), np.float32)


def _no_familiarity() -> F32:
    return np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions for n faces, as arrays of shape (n,), float32; NaN where the heads lack the attribute."""

    age: F32
    """Years, 0 to 120."""
    age_low: F32
    age_high: F32
    """Bounds of the 90 % interval, years."""
    p_female: F32
    """Calibrated probability of female, 0 to 1."""
    quantiles: F32 = field(default_factory=_no_quantiles)
    """Shape (n, len(LEVELS)): the predictive distribution, as the ages at the probabilities
    :data:`~arcage.heads.distribution.LEVELS`, years, non-decreasing. NaN for heads without a distribution,
    such as those of older versions; so are these defaults."""
    familiarity: F32 = field(default_factory=_no_familiarity)
    """Shape (n,), 0 to 1: the share of the training faces that are farther from the average of them; see
    :mod:`arcage.heads.familiarity`. NaN for heads without this measure."""

    def __post_init__(self) -> None:
        for name, shape in (("quantiles", (len(self), len(LEVELS))), ("familiarity", (len(self),))):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(shape, np.nan, np.float32))

    def __len__(self) -> int:
        return len(self.age)

    def __repr__(self) -> str:
        return f"<Predictions for {counted(len(self), 'face')}>"

    def select(self, rows: Array) -> Predictions:
        """Return the predictions for some faces, given as a boolean mask or as indices."""
        return Predictions(*(getattr(self, column.name)[rows] for column in fields(self)))

    def without(self, rows: Array) -> Predictions:
        """Return the predictions with everything but the familiarity set to NaN for some faces.

        Args:
            rows: shape (n,), bool.
        """
        hidden = np.where(rows, np.float32(np.nan), np.float32(0))
        return Predictions(
            self.age + hidden,
            self.age_low + hidden,
            self.age_high + hidden,
            self.p_female + hidden,
            self.quantiles + hidden[:, None],
            self.familiarity,
        )

    def quantile(self, q: float) -> F32:
        """Return the age below which each face is with the probability ``q``, shape (n,), years.

        NaN for heads without a distribution.

        Raises:
            ValueError: ``q`` is outside the range of :data:`~arcage.heads.distribution.LEVELS`.
        """
        return quantile(self.quantiles, q)

    def interval(self, level: float = INTERVAL) -> tuple[F32, F32]:
        """Return the bounds of the central interval that contains the age with the probability ``level``.

        Heads without a distribution have the 90 % interval only, and NaN for other levels.

        Args:
            level: above 0, at most :data:`~arcage.heads.distribution.HIGHEST_LEVEL`; 0.8 for 80 %.

        Returns:
            The lower and the upper bound, each of shape (n,), years.

        Raises:
            ValueError: the level is outside this range.
        """
        if not 0 < level < 1:
            raise ValueError(f"the level of an interval is a probability, not {level}")
        if level == INTERVAL:
            return self.age_low, self.age_high
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def p_under(self, age: float) -> F32:
        """Return the probability that each face is younger than ``age`` years, shape (n,), 0 to 1.

        Labels are completed years: a face of 17 years and 11 months is labelled 17. So those under 18 are
        labelled 17 or younger, which ends halfway between 17 and 18 on the scale of the predictions.

        NaN for heads without a distribution.
        """
        return probability_below(self.quantiles, age - HALF_YEAR)

    @classmethod
    def empty(cls, count: int) -> Predictions:
        """Return the predictions of heads that lack both attributes: NaN for ``count`` faces."""
        return cls(*np.full((4, count), np.nan, np.float32))


@dataclass(frozen=True, slots=True)
class Stacked:
    """A stack of an optional kernel stage and a last stage.

    The features of the last stage are the outputs of the kernel stage and some columns of the descriptor. Its
    outputs are added to the prediction of the kernel stage.
    """

    kernels: tuple[Kernel, ...]
    """The kernel stage; the first output of each kernel is its prediction. The centers of all kernels are the
    same faces."""
    columns: Array
    """Shape (k,), int64: the descriptor columns among the features."""
    last: tuple[Linear | Trees, ...]
    """One model per output: the prediction; and if fitted, its lower and upper quantile."""

    def __call__(self, x: F32) -> F32:
        """Predict from descriptors, shape (n, dimension) -> shape (n, predictions)."""
        if not self.kernels:
            return np.concatenate([model(x) for model in self.last], axis=1)
        return self._predict(x, np.concatenate([kernel(x) for kernel in self.kernels], axis=1))

    def forward(self, x: F32) -> StackOutputs:
        """Predict from descriptors, and return the intermediate outputs as well.

        Raises:
            ValueError: the stack has no kernel stage.
        """
        if not self.kernels:
            raise ValueError("the stack has no kernel stage")
        axes = [kernel.project(x) for kernel in self.kernels]
        outputs = self.kernel_outputs(axes)
        return StackOutputs(self._predict(x, outputs), outputs, np.concatenate(axes, axis=1))

    def kernel_outputs(self, axes: Sequence[F32]) -> F32:
        """Return the outputs of the kernel stage, shape (n, outputs), given the axes of each kernel."""
        return np.concatenate(
            [kernel.from_axes(own) for kernel, own in zip(self.kernels, axes, strict=True)], axis=1
        )

    def start(self, outputs: F32) -> F32:
        """Return the prediction of the kernel stage, shape (n,): the mean over its kernels."""
        first = np.cumsum([0, *(len(kernel.bias) for kernel in self.kernels[:-1])])
        return np.asarray(outputs[:, first].mean(axis=1), np.float32)

    def _predict(self, x: F32, outputs: F32) -> F32:
        features = np.concatenate([outputs, x[:, self.columns]], axis=1)
        last = np.concatenate([model(features) for model in self.last], axis=1)
        predictions: F32 = self.start(outputs)[:, None] + last
        return predictions


@dataclass(frozen=True, slots=True, eq=False)
class StackOutputs:
    """The outputs of a stack for n faces."""

    predictions: F32
    """Shape (n, predictions)."""
    outputs: F32
    """Shape (n, outputs): of the kernel stage."""
    axes: F32
    """Shape (n, axes): the coordinates in which the kernel stage compares faces."""

    def source_features(self) -> F32:
        """Return the features that distinguish sources of faces, shape (n, outputs + axes)."""
        return np.concatenate([self.outputs, self.axes], axis=1)

    def features(self) -> F32:
        """Return the features of the correction, shape (n, outputs + predictions)."""
        return np.concatenate([self.outputs, self.predictions], axis=1)

    def select(self, rows: Array) -> StackOutputs:
        """Return the outputs for some faces."""
        return StackOutputs(self.predictions[rows], self.outputs[rows], self.axes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """The adaptation of a head to a new source of faces.

    A linear correction of the predictions, weighted by the probability that the face is from the new source.
    """

    gate: Linear
    """From :meth:`StackOutputs.source_features` to the log-odds of the new source."""
    lowest: F32
    highest: F32
    """Shape (outputs + predictions,): range of :meth:`StackOutputs.features` over the new faces; features are
    clipped to it, so that the correction does not extrapolate."""
    change: Linear
    """The correction, from the clipped features to what is added to the predictions."""
    calibration: Calibration | None = None
    """Of the new source, for ages."""

    def weight(self, stack: StackOutputs) -> F32:
        """Return the probability of the new source, shape (n,), 0 to 1."""
        return _logistic(self.gate(stack.source_features())[:, 0])

    def shift(self, stack: StackOutputs, weight: F32) -> F32:
        """Return what is added to the predictions, shape (n, 1)."""
        return weight[:, None] * self.change(np.clip(stack.features(), self.lowest, self.highest))


class Ages(NamedTuple):
    """Predicted ages with their 90 % intervals, each of shape (n,), years, and with their distribution."""

    age: F32
    low: F32
    high: F32
    quantiles: F32
    """Shape (n, len(LEVELS)); NaN for heads without a distribution."""


@dataclass(frozen=True, slots=True)
class AgeModel:
    """Age with a calibrated distribution, or with an interval in heads of older versions."""

    stack: Stacked
    calibration: Calibration
    adapted: Adaptation | None = None
    shift: Linear | None = None
    """What is added to the predictions of heads that are calibrated for a source: a line from the predicted
    age, shape (n, 1) -> (n, 1). Adapted heads have none."""

    def __call__(self, x: F32) -> Ages:
        """Predict from descriptors, shape (n, dimension)."""
        if self.adapted is None or self.adapted.calibration is None:
            return ages(self.calibration, self.shifted(self.stack(x)))
        outputs = self.stack.forward(x)
        weight = self.adapted.weight(outputs)
        predictions = outputs.predictions + self.adapted.shift(outputs, weight)
        return self.blended(predictions, weight, self.adapted.calibration)

    def shifted(self, outputs: F32) -> F32:
        """Return the predictions for outputs of the stack."""
        return outputs if self.shift is None else outputs + self.shift(outputs[:, :1])

    def blended(self, predictions: F32, weight: F32, other: Calibration) -> Ages:
        """Return ages with intervals and quantiles between those of the head's own calibration and another.

        Args:
            predictions: as for :func:`ages`.
            weight: shape (n,), 0 to 1: of the other calibration.
        """
        a, b = ages(self.calibration, predictions), ages(other, predictions)
        low, high = (
            np.asarray(own + weight * (new - own), np.float32)
            for own, new in ((a.low, b.low), (a.high, b.high))
        )
        quantiles = np.asarray(a.quantiles + weight[:, None] * (b.quantiles - a.quantiles), np.float32)
        return Ages(a.age, np.minimum(low, a.age), np.maximum(high, a.age), quantiles)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The conformal interval of heads of older versions, calibrated for each band of the true age.

    Heads without quantiles use the predicted age in their place. See
    :func:`arcage.heads.calibrate.conformal`.
    """

    ages: F32
    low: F32
    high: F32
    """The conformal curves, each of shape (points,), years, increasing. The interval begins at the age where
    ``low`` equals the predicted lower quantile, and ends where ``high`` equals the predicted upper
    quantile."""

    def __call__(self, predictions: F32) -> tuple[F32, F32]:
        """Return the lower and the upper bound, each of shape (n,), for predictions as in :func:`ages`."""
        lower = np.interp(predictions[:, -2 if predictions.shape[1] == 3 else 0], self.low, self.ages)
        upper = np.interp(predictions[:, -1], self.high, self.ages)
        return lower.astype(np.float32), upper.astype(np.float32)


Calibration: TypeAlias = Distribution | Curves


def ages(calibration: Calibration, predictions: F32) -> Ages:
    """Return ages with intervals and quantiles from a stack's predictions.

    Args:
        predictions: shape (n, 1) or (n, 3): age, and if fitted its lower and upper quantile.
    """
    age = np.clip(predictions[:, 0], YOUNGEST, OLDEST)
    age[~np.isfinite(predictions).all(axis=1)] = np.nan  # Not 120, which is the limit.
    if isinstance(calibration, Distribution):
        quantiles = calibration(predictions)
        return Ages(age, quantiles[:, LOW], quantiles[:, HIGH], quantiles)
    lower, upper = calibration(predictions)
    # Quantiles are fitted independently of the age and may cross it.
    ends = np.clip(np.stack([np.minimum(lower, age), np.maximum(upper, age)]), YOUNGEST, OLDEST)
    return Ages(age, ends[0], ends[1], np.full((len(age), len(LEVELS)), np.nan, np.float32))


@dataclass(frozen=True, slots=True)
class GenderModel:
    """The probability of female, calibrated by logistic regression on a score (Platt, 1999)."""

    stack: Stacked
    slope: float
    offset: float
    adapted: Adaptation | None = None
    """Its correction is added to the log-odds."""

    def __call__(self, x: F32) -> F32:
        """Predict from descriptors, shape (n, dimension) -> shape (n,), 0 to 1."""
        if self.adapted is None:
            return self.probability(self.stack(x)[:, 0])
        outputs = self.stack.forward(x)
        shift = self.adapted.shift(outputs, self.adapted.weight(outputs))
        return self.probability(outputs.predictions[:, 0], shift[:, 0])

    def probability(self, score: F32, shift: F32 | float = 0.0) -> F32:
        """Return the probability of female for scores of shape (n,); ``shift`` is added to the log-odds."""
        return _logistic(self.slope * score + self.offset + shift)


def _logistic(odds: Array) -> F32:
    result: F32 = (1 / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)
    result[~np.isfinite(odds)] = np.nan
    return result


@dataclass(frozen=True, slots=True)
class Heads:
    """Age and gender heads for the descriptors of one pipeline."""

    fingerprint: str
    """Of the pipeline whose descriptors the heads were fitted on."""
    dimension: int
    age: AgeModel | None
    gender: GenderModel | None
    manifest: dict[str, Any]
    """Training data, settings, versions and metrics; the model card shows the same."""
    folder: Path | None = None
    """The folder or packed file that the heads were loaded from."""
    familiarity: Familiarity | None = None
    """None for heads of older versions."""

    def __repr__(self) -> str:
        kinds = [name for name in ("age", "gender") if getattr(self, name) is not None]
        return f"<Heads for {' and '.join(kinds) or 'nothing'}, {visible(self.pipeline_name)}>"

    @property
    def adapted(self) -> bool:
        """Whether a head was adapted to a new source of faces."""
        return any(head is not None and head.adapted is not None for head in (self.age, self.gender))

    @property
    def _where(self) -> str:
        """The folder of the heads, for messages: `` in heads/``; empty without one."""
        return "" if self.folder is None else f" in {self.folder}"

    @property
    def pipeline_name(self) -> str:
        """The pipeline whose descriptors the heads take, as in ``pack compact``."""
        pack = self.manifest.get("pack")
        return f"pack {pack}" if pack else "model pack that the heads do not record"

    def check(self, fingerprint: str, pack: str = "") -> None:
        """Check whether the heads fit descriptors of a pipeline.

        Args:
            fingerprint: of the pipeline.
            pack: the name of its model pack, for the message.

        Raises:
            HeadsError: the fingerprints differ.
        """
        if fingerprint == self.fingerprint:
            return
        own = self.manifest.get("pack")
        if own and own == pack:
            raise HeadsError(
                f"these heads were fitted with another version of the pack {pack}, or of arcage: extract "
                "their training images again with `arcage extract`, and fit them again with `arcage fit`"
            )
        whose = f"were fitted with the model pack {own}" if own else "do not record their model pack"
        if not pack:
            raise HeadsError(
                f"these heads {whose}, and do not fit these descriptors; choose their `pack`, or fit "
                "others with `arcage fit`"
            )
        choose = f"choose it with `pack` {own}" if own else "choose the `pack` that they were fitted with"
        raise HeadsError(
            f"these heads {whose}, {'not with' if own else 'which is not'} {pack}; {choose}, or fit heads "
            f"for {pack}: `arcage extract` labelled photos and `arcage fit`, both with `pack` {pack}, and "
            "choose what they write with `heads`"
        )

    def check_distribution(self, purpose: str) -> None:
        """Check whether the heads have a predictive distribution of the age.

        Args:
            purpose: what needs it, for the message.

        Raises:
            HeadsError: they have none.
        """
        if self.age is not None and isinstance(self.age.calibration, Distribution):
            return
        needs = f"{purpose} needs a distribution of the age"
        if self.age is None:
            raise HeadsError(f"{needs}, and the heads{self._where} predict no age")
        raise HeadsError(
            f"{needs}. The heads{self._where} were fitted by an older version of arcage and have the 90 % "
            "interval only: fit them again with `arcage fit`"
        )

    def check_familiarity(self, purpose: str) -> None:
        """Check whether the heads have a measure of familiarity.

        Args:
            purpose: what needs it, for the message.

        Raises:
            HeadsError: they have none.
        """
        if self.familiarity is None:
            raise HeadsError(
                f"{purpose} needs a measure of familiarity. The heads{self._where} were fitted by an older "
                "version of arcage and have none: fit them again with `arcage fit`"
            )

    def predict(self, descriptors: Array) -> Predictions:
        """Predict the age and gender of n faces.

        Args:
            descriptors: shape (n, dimension), float16 or float32.

        Raises:
            HeadsError: the dimension differs from that of the heads; or they give no number for a face,
                because they or the descriptors are damaged.
        """
        if descriptors.ndim != 2 or descriptors.shape[1] != self.dimension:
            raise HeadsError(
                f"descriptors of shape {descriptors.shape} for heads of (n, {self.dimension}): "
                "they come from another model pack"
            )
        out = Predictions.empty(len(descriptors))
        for start in range(0, len(descriptors), BATCH):
            x = np.asarray(descriptors[start : start + BATCH], np.float32)
            here = slice(start, start + len(x))
            with np.errstate(over="ignore", invalid="ignore"):
                if self.age is not None:
                    out.age[here], out.age_low[here], out.age_high[here], out.quantiles[here] = self.age(x)
                if self.gender is not None:
                    out.p_female[here] = self.gender(x)
                if self.familiarity is not None:
                    out.familiarity[here] = self.familiarity(x)
        self._check_finite(out)
        return out

    def _check_finite(self, out: Predictions) -> None:
        """Raise HeadsError if a prediction is NaN. Huge numbers in damaged heads or descriptors overflow."""
        answers: list[Array] = []
        answers += [out.age, out.age_low, out.age_high] if self.age is not None else []
        answers += [out.p_female] if self.gender is not None else []
        answers += [out.familiarity] if self.familiarity is not None else []
        wrong = np.zeros(len(out), bool)
        for answer in answers:
            wrong |= np.isnan(answer)
        if wrong.any():
            raise HeadsError(
                f"the heads{self._where} give no answer for {np.count_nonzero(wrong):,} of {len(out):,} "
                "faces: they or the descriptors are damaged; fit the heads again, or extract into another "
                "cache"
            )
