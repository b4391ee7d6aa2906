"""Callbacks by which a fit reports its progress."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DIGITS = 6
"""Significant digits of a loss in a file."""

Report = Callable[[str], None]
"""Receives progress messages."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that a fit has completed."""

    attribute: str
    """``age`` or ``gender``."""
    stage: str
    """``kernel stage``, ``kernel stage by gender``, ``ridge regression``, ``boosting``, ``lower quantile``,
    ``upper quantile``, or the kind of the heads."""
    model: int
    """The number of the fold that is left out, from 1; ``models`` for the model of all faces."""
    models: int
    round: int = 0
    """Number of completed boosting rounds."""
    rounds: int = 0
    """Total number of boosting rounds; 0 for a stage without any."""
    loss: str = ""
    """Name and unit of the loss in ``error``."""
    error: float | None = None
    """Mean loss on the faces of the fold that is left out; None for the model of all faces."""

    @property
    def done(self) -> bool:
        """Whether this model of the stage is complete."""
        return self.round == self.rounds

    def __str__(self) -> str:
        which = f"fold {self.model} of {self.models - 1}" if self.model < self.models else "all faces"
        words = [f"{self.attribute}: {self.stage}", which]
        if self.rounds:
            words.append(f"round {self.round} of {self.rounds}")
        if self.error is not None:
            words.append(f"{self.loss} {self.error:.3f}")
        return ", ".join(words)


Callback = Callable[[Step], object]
"""Receives each step of a fit. Several threads call it at the same time."""


class LossCurves:
    """A :data:`Callback` that records the losses of all boosting rounds.

    Passes each step on to other callbacks, one step at a time.
    """

    def __init__(self, *others: Callback) -> None:
        self._others = others
        self._lock = threading.Lock()
        self._errors: dict[tuple[str, str, str], dict[int, list[tuple[int, float]]]] = defaultdict(dict)

    def __call__(self, step: Step) -> None:
        with self._lock:
            if step.error is not None:
                key = step.attribute, step.stage, step.loss
                self._errors[key].setdefault(step.model, []).append((step.round, step.error))
            for other in self._others:
                other(step)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each boosted model, ready for JSON.

        Keys: ``attribute``, ``stage``, ``loss``, ``rounds`` (0 is before the first round), ``folds`` (the
            loss of each fold after each round) and ``mean`` (over the folds).
        """
        out = []
        for attribute, stage, loss in sorted(self._errors):
            folds = [points for _, points in sorted(self._errors[attribute, stage, loss].items())]
            errors = [[error for _, error in points] for points in folds]
            out.append(
                {
                    "attribute": attribute,
                    "stage": stage,
                    "loss": loss,
                    "rounds": [round_ for round_, _ in folds[0]],
                    "mean": [_short(sum(column) / len(column)) for column in zip(*errors, strict=True)],
                    "folds": [[_short(error) for error in fold] for fold in errors],
                }
            )
        return out


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
