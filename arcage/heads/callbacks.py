"""Watching a fit: where it is, and how the error on unseen faces falls from one round to the next."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DIGITS = 6
"""Significant ones, of an error in a file."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that a fit has just done."""

    attribute: str
    """``age`` or ``gender``."""
    stage: str
    """``kernel stage``, ``kernel stage by gender``, ``ridge regression``, ``boosting``, ``lower quantile``,
    ``upper quantile``, or the kind of the heads."""
    model: int
    """From 1: the fold without whose faces is fitted; the last one is fitted on all faces."""
    models: int
    round: int = 0
    """Boosting rounds that are done; 0 before the first."""
    rounds: int = 0
    """All of them; 0 where the stage has none."""
    loss: str = ""
    """What ``error`` is, in words."""
    error: float | None = None
    """Mean loss of the fold's own faces, which the model has not seen; None for the model of all faces."""

    @property
    def done(self) -> bool:
        """Whether this model of the stage is finished."""
        return self.round == self.rounds

    def __str__(self) -> str:
        which = f"fold {self.model} of {self.models - 1}" if self.model < self.models else "all faces"
        words = [f"{self.attribute}: {self.stage}", which]
        if self.rounds:
            words.append(f"round {self.round} of {self.rounds}")
        if self.error is not None:
            words.append(f"{self.loss} {self.error:.3f}")
        return ", ".join(words)


Watch = Callable[[Step], object]
"""Called from several threads at once."""


class Curves:
    """Remembers the errors of all rounds; a :data:`Watch` that passes on to others, one step at a time."""

    def __init__(self, *others: Watch) -> None:
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
        """Ready for JSON, for each boosted answer: ``attribute``, ``stage``, ``loss``, ``rounds`` (0 is
        before the first), ``mean`` over the folds and ``folds``, of which each has an error for every round.
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
                    "mean": [_short(sum(each) / len(each)) for each in zip(*errors, strict=True)],
                    "folds": [[_short(error) for error in fold] for fold in errors],
                }
            )
        return out


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
