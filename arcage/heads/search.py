"""Choose the kind and settings of heads by cross-validation, within a time budget.

First each kind is tried once, the requested kind first. Then, until the time is up, one to three settings of
the best boosted trial are changed at random; the other kinds have no settings. All trials use the same
:data:`TRIAL_FOLDS` folds of the training faces, so that they differ in their settings only.

The score is the mean of two ratios to the first trial: of the mean absolute error of age, and of the number
    of wrong genders plus one. A score of 0.95 is 5 % less error. Age and gender share the kind and the kernel
    stage, so one choice is made for both. If scores are equal, the log loss of gender decides.

The score of the best of many trials is optimistic. The chosen settings are fitted again on the usual folds,
which are other splits of the same faces, and these out-of-fold predictions are reported. Only held-out faces
give an unbiased estimate.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from arcage.errors import ArcageError, HeadsError, UsageError
from arcage.files import reason
from arcage.heads.boosting import Boosting
from arcage.heads.callbacks import Report
from arcage.heads.fit import fit_heads
from arcage.heads.model import Predictions
from arcage.heads.settings import KINDS, Settings
from arcage.heads.task import check_labels
from arcage.types import F32, Labels

TRIAL_FOLDS = 3
"""Number of folds in a trial: enough to compare settings, and about a third of the time of ten."""
TRIALS = "trials.jsonl"
"""The file of all trials, in the folder of the heads."""
CHOICES: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("kernel", "shrinkage", (0.08, 0.15, 0.3, 0.5)),
    ("kernel", "context", (0.25, 0.5, 1.0)),
    ("kernel", "width", (0.15, 0.3, 0.6)),
    ("kernel", "ridge", (0.1, 0.3, 1.0)),
    ("kernel", "centers", (1000, 2000, 4000)),
    ("age", "rounds", (150, 300, 600)),
    ("age", "learning_rate", (0.015, 0.03, 0.06)),
    ("age", "leaves", (15, 31, 63)),
    ("gender", "rounds", (30, 60, 120)),
    ("gender", "learning_rate", (0.01, 0.02, 0.04)),
    ("gender", "leaves", (4, 7, 15)),
)
"""The settings that are varied: section, field, and values around the default."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings and their out-of-fold errors."""

    number: int
    settings: Settings
    seconds: float
    mae: float | None = None
    """Years; None without ages."""
    gender_errors: int | None = None
    """Number of faces; None without genders."""
    log_loss: float | None = None
    """Of ``p_female``, nats per face; None without genders."""
    score: float | None = None
    """Relative to the first successful trial, lower is better; None if the trial failed."""
    error: str = ""
    """Why the trial failed."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields for the file of trials."""
        return {**asdict(self), "settings": self.settings.as_json()}


class Search(NamedTuple):
    """The result of a search."""

    chosen: Trial
    trials: list[Trial]


def search(
    x: F32,
    labels: Labels,
    *,
    settings: Settings,
    seconds: float,
    file: Path,
    variants: Sequence[F32] = (),
    weight: F32 | None = None,
    report: Report = lambda _: None,
    # The ninth parameter: tests have a clock of their own.
    clock: Callable[[], float] = time.monotonic,
) -> Search:
    """Search for settings until the time is up.

    The first trial is always made. Others are made only if they are expected to end in time. The seed
    determines the proposals; the number of trials depends on the speed of the machine.

    Args:
        x, labels, variants, weight: training faces, as for :func:`arcage.heads.fit.fit_heads`.
        settings: the settings of the first trial.
        seconds: the time budget.
        file: a line is appended for each trial as soon as it is complete.
        report: called with a table row for each trial.
        clock: returns seconds; replaced in tests.

    Raises:
        UsageError: there are too few labelled faces, or no trial succeeded.
        HeadsError: the file cannot be written.
    """
    # Check with the folds of the fit that follows, which must not fail after all the trials.
    check_labels(labels, settings.folds)
    began, run = clock(), datetime.now(UTC).isoformat(timespec="seconds")
    trials: list[Trial] = []
    base = replace(settings, folds=min(TRIAL_FOLDS, settings.folds))
    parts = {
        "kernel",
        *(p for p, y in (("age", labels.age), ("gender", labels.gender)) if np.isfinite(y).any()),
    }
    report("trial   score     MAE   wrong  seconds  settings")
    for proposal in _proposals(base, trials, [choice for choice in CHOICES if choice[0] in parts]):
        if trials and clock() - began + _expected(trials, proposal) > seconds:
            break
        start = clock()
        trial = Trial(len(trials) + 1, proposal, 0)
        try:
            # Intervals do not influence the choice, and their quantiles would take much of the time.
            quick = replace(proposal, quantiles=Boosting(rounds=1))
            fitted = fit_heads(x, labels, fingerprint="", settings=quick, variants=variants, weight=weight)
            trial = _scored(trial, fitted.out_of_fold, labels, trials)
        except (ArcageError, MemoryError, np.linalg.LinAlgError) as error:
            trial = replace(trial, error=str(error) or type(error).__name__)
        trial = replace(trial, seconds=round(clock() - start, 3))
        trials.append(trial)
        _append(trial, file, run)
        report(_row(trial, base))
    chosen = best(trials)
    if chosen is None:
        raise UsageError(f"none of {len(trials)} trials could be fitted: {trials[0].error}")
    report(f"chosen: trial {chosen.number} of {len(trials)}")
    return Search(chosen, trials)


def best(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the best score; None if all failed."""
    scored = [(t.score, t.log_loss or 0, t.number, t) for t in trials if t.score is not None]
    return min(scored)[-1] if scored else None


def _proposals(base: Settings, trials: list[Trial], choices: Sequence[Any]) -> Iterator[Settings]:
    """Yield settings to try, each once. The caller appends to ``trials`` in between."""
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
    """Return the expected duration of a trial, seconds: the maximum so far of its kind, or of all kinds."""
    like = [t.seconds for t in trials if t.settings.kind == proposal.kind]
    return max(like or [t.seconds for t in trials])


def _scored(trial: Trial, predictions: Predictions, labels: Labels, trials: Sequence[Trial]) -> Trial:
    """Return the trial with its errors, and its score relative to the first successful trial."""
    age, gender = labels.age, labels.gender
    ratios = []
    first = next((t for t in trials if t.score is not None), None)
    known = np.isfinite(age)
    if known.any():
        mae = float(np.abs(predictions.age[known].astype(np.float64) - age[known]).mean())
        trial = replace(trial, mae=mae)
        ratios.append(mae / max((first or trial).mae or 0, 1e-9))
    known = np.isfinite(gender)
    if known.any():
        p, female = predictions.p_female[known].astype(np.float64), gender[known] == 1
        p_label = np.clip(np.where(female, p, 1 - p), 1e-7, 1)
        wrong = int(((p >= 0.5) != female).sum())
        trial = replace(trial, gender_errors=wrong, log_loss=float(-np.log(p_label).mean()))
        # Plus one, so that the first trial may be without error.
        ratios.append((wrong + 1) / (((first or trial).gender_errors or 0) + 1))
    if not np.isfinite([trial.mae or 0, trial.log_loss or 0]).all():
        raise HeadsError("its predictions are not finite")
    return replace(trial, score=float(np.mean(ratios)))


def _append(trial: Trial, file: Path, run: str) -> None:
    """Append a line and close the file, so that an interruption does not lose it."""
    line = json.dumps({"search": run, **trial.as_json()}, allow_nan=False)
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
