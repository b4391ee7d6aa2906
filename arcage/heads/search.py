"""Choosing a head and its settings by cross-validation, within a time budget.

First each kind of head once, the kind that was asked for before the others. Then, until the time is
spent, the best boosted head so far with one to three settings changed (the other kinds have no settings to
change). Every trial answers the training faces out of fold, on the same :data:`FOLDS_TRIED` splits, so that
trials differ by nothing but their settings.

The score is a ratio of errors: the mean absolute error of age, and the number of wrong genders plus one,
each divided by the first trial's, and the mean of the two where there are both. 1 is as good as the first
trial, 0.95 has 5 % less error. Age and gender share the kind and the kernel stage, so one choice is made for
both. Of equal scores the one with the lower log loss of gender is better.

The best of many trials on the same splits is also the luckiest of them: its score is slightly optimistic.
So the chosen settings are fitted anew with the usual folds, which are other splits, and the report tells of
these answers; but they are of the same faces. Only held-out faces owe nothing to the search.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from arcage.errors import ArcageError, HeadsError, UsageError
from arcage.files import reason
from arcage.heads.boosting import Boosting
from arcage.heads.fit import KINDS, Progress, Settings, check_labels, fit_heads
from arcage.heads.model import Predictions
from arcage.types import F32, Array

FOLDS_TRIED = 3
"""Enough to tell settings apart, and about a third of the work of ten."""
TRIALS = "trials.jsonl"
"""The file of all trials, beside the heads."""
CHOICES: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("kernel", "shrinkage", (0.08, 0.15, 0.3, 0.5)),
    ("kernel", "context", (0.25, 0.5, 1.0)),
    ("kernel", "width", (0.15, 0.3, 0.6)),
    ("kernel", "ridge", (0.1, 0.3, 1.0)),
    ("kernel", "landmarks", (1000, 2000, 4000)),
    ("age", "rounds", (150, 300, 600)),
    ("age", "learning_rate", (0.015, 0.03, 0.06)),
    ("age", "leaves", (15, 31, 63)),
    ("gender", "rounds", (30, 60, 120)),
    ("gender", "learning_rate", (0.01, 0.02, 0.04)),
    ("gender", "leaves", (4, 7, 15)),
)
"""What is varied: the part of the settings, its field, and values around the default."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings, and how well they answered faces that they had not seen."""

    number: int
    settings: Settings
    seconds: float
    mae: float | None = None
    """Years; None without ages."""
    gender_errors: int | None = None
    """Faces; None without genders."""
    log_loss: float | None = None
    """Of ``p_female``, nats a face; None without genders."""
    score: float | None = None
    """Of the errors to those of the first trial; None where the trial failed."""
    error: str = ""
    """Why it failed."""


def search(
    x: F32,
    age: F32,
    gender: F32,
    *,
    settings: Settings,
    seconds: float,
    file: Path,
    groups: Array | None = None,
    variants: Sequence[F32] = (),
    weight: F32 | None = None,
    progress: Progress = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Trial, list[Trial]]:
    """The best trial, and all of them; their settings have the folds that they were tried with.

    The first trial is always made. Another is begun when the longest so far of its kind, or of all where its
    kind is new, would fit into the rest of the time. The seed decides what is proposed; how many proposals
    are tried depends on the machine.

    Args:
        x, age, gender, groups, variants, weight: training faces, as for :func:`arcage.heads.fit.fit_heads`.
        settings: where the search starts.
        seconds: the budget.
        file: where every trial becomes a line as soon as it is made, below those of earlier searches.
        progress: told each trial, as a row of a table.

    Raises:
        UsageError: there are too few labelled faces, or no trial succeeded.
        HeadsError: the file cannot be written.
    """
    # By the folds of the fit that follows: it must not refuse the faces after all the trials.
    check_labels(age, gender, groups, settings.folds)
    began, run = clock(), datetime.now(UTC).isoformat(timespec="seconds")
    trials: list[Trial] = []
    base = replace(settings, folds=min(FOLDS_TRIED, settings.folds))
    parts = {"kernel", *(p for p, y in (("age", age), ("gender", gender)) if np.isfinite(y).any())}
    progress("trial   score     MAE   wrong  seconds  settings")
    for proposal in _proposals(base, trials, [choice for choice in CHOICES if choice[0] in parts]):
        if trials and clock() - began + _expected(trials, proposal) > seconds:
            break
        start = clock()
        trial = Trial(len(trials) + 1, proposal, 0)
        try:
            # Quantiles make intervals, by which nothing is chosen here, and take much of the time.
            quick = replace(proposal, quantiles=Boosting(rounds=1))
            _, seen = fit_heads(
                x,
                age,
                gender,
                fingerprint="",
                settings=quick,
                groups=groups,
                variants=variants,
                weight=weight,
            )
            trial = _scored(trial, seen, age, gender, trials)
        except (ArcageError, MemoryError, np.linalg.LinAlgError) as error:
            trial = replace(trial, error=str(error) or type(error).__name__)
        trial = replace(trial, seconds=round(clock() - start, 3))
        trials.append(trial)
        _keep(trial, file, run)
        progress(_row(trial, base))
    chosen = best(trials)
    if chosen is None:
        raise UsageError(f"none of {len(trials)} trials could be fitted: {trials[0].error}")
    progress(f"chosen: trial {chosen.number} of {len(trials)}")
    return chosen, trials


def best(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the best score; None where all failed."""
    scored = [(t.score, t.log_loss or 0, t.number, t) for t in trials if t.score is not None]
    return min(scored)[-1] if scored else None


def _proposals(base: Settings, trials: list[Trial], choices: Sequence[Any]) -> Iterator[Settings]:
    """Settings to try, none twice; ``trials`` grows meanwhile."""
    yield base
    yield from (replace(base, kind=kind) for kind in KINDS if kind != base.kind)
    rng = np.random.default_rng(base.seed)
    while anchor := best([trial for trial in trials if trial.settings.kind == "boosted"]):
        tried = {trial.settings for trial in trials}
        for _ in range(1000):
            changed = anchor.settings
            for i in rng.choice(len(choices), size=rng.integers(1, 4), replace=False):
                part, name, values = choices[i]
                value = values[rng.integers(len(values))]
                changed = replace(changed, **{part: replace(getattr(changed, part), **{name: value})})
            if changed not in tried:
                break
        else:
            return
        yield changed


def _expected(trials: Sequence[Trial], proposal: Settings) -> float:
    """Seconds that a trial will take at the most, as far as can be known."""
    like = [t.seconds for t in trials if t.settings.kind == proposal.kind]
    return max(like or [t.seconds for t in trials])


def _scored(trial: Trial, seen: Predictions, age: F32, gender: F32, trials: Sequence[Trial]) -> Trial:
    """The trial with its figures, compared with the first that succeeded."""
    ratios = []
    first = next((t for t in trials if t.score is not None), None)
    known = np.isfinite(age)
    if known.any():
        mae = float(np.abs(seen.age[known].astype(np.float64) - age[known]).mean())
        trial = replace(trial, mae=mae)
        ratios.append(mae / max((first or trial).mae or 0, 1e-9))
    known = np.isfinite(gender)
    if known.any():
        p, female = seen.p_female[known].astype(np.float64), gender[known] == 1
        right = np.clip(np.where(female, p, 1 - p), 1e-7, 1)
        wrong = int(((p >= 0.5) != female).sum())
        trial = replace(trial, gender_errors=wrong, log_loss=float(-np.log(right).mean()))
        # One more, so that a first trial without any error can be compared with.
        ratios.append((wrong + 1) / (((first or trial).gender_errors or 0) + 1))
    if not np.isfinite([trial.mae or 0, trial.log_loss or 0]).all():
        raise HeadsError("its answers are not numbers")
    return replace(trial, score=float(np.mean(ratios)))


def _keep(trial: Trial, file: Path, run: str) -> None:
    """Append a line and close the file: what comes later cannot take it away."""
    line = json.dumps({"search": run, **asdict(trial)}, allow_nan=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(line + "\n")
    except OSError as error:
        raise HeadsError(f"cannot write {file}: {reason(error)}; choose another `out`") from error


def _row(trial: Trial, base: Settings) -> str:
    def cell(value: float | None, style: str) -> str:
        return "-" if value is None else format(value, style)

    changes: list[str] = [trial.settings.kind]
    for part, name, _ in CHOICES:
        value = getattr(getattr(trial.settings, part), name)
        if value != getattr(getattr(base, part), name):
            changes.append(f"{part}.{name}={value:g}")
    return (
        f"{trial.number:5}  {cell(trial.score, '.3f'):>6}  {cell(trial.mae, '.2f'):>6}  "
        f"{cell(trial.gender_errors, ','):>6}  {trial.seconds:7.0f}  {' '.join(changes)}"
        f"{': failed: ' + trial.error if trial.error else ''}"
    )
