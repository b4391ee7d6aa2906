"""The errors of age checks: how many minors are accepted, and how many adults are challenged.

The report follows the Face Analysis Technology Evaluation of NIST: Hanaoka, Ngan, Yang, Quinn, Hom and
Grother, Age Estimation and Verification, NIST IR 8525, 2024. Errors are given for each single year of age,
because the share of accepted minors depends on the ages in a data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from arcage.evaluation.bootstrap import FEWEST, LEVEL, RESAMPLES
from arcage.evaluation.cell_error import cell_error
from arcage.evaluation.metrics import ECE_BINS, FEW, calibration_bins, calibration_error, subgroups
from arcage.evaluation.shares import count_shares
from arcage.evaluation.threshold_search import ThresholdSearch, search_intervals
from arcage.heads.model import Predictions
from arcage.types import F64, Array, Labels

ADULT = 18
"""Age of majority, years."""
YOUNGEST_TEEN = 13
"""The main summary of minors begins at this age, years. Younger children are easy, and would hide errors."""
OLDEST_YEAR = 30
"""The last single year of age that is reported, as in NIST IR 8525."""
AGES = (18, 21, 25, 30)
"""Challenge ages, years: a face is accepted if its predicted age is at least this."""
PROBABILITIES = (0.01, 0.02, 0.05, 0.1)
"""A face is accepted if its probability of being under 18 is at most this."""
TARGET = 0.01
"""Share of minors that the thresholds under ``needed`` accept at most."""
FEWEST_MINORS = 100
"""Minimum number of minors for such a threshold: with fewer, one face is more than :data:`TARGET`."""
CERTAIN = 0.01
"""A face is uncertain at an age if its probability of being younger is between this and 1 minus this."""

TEENS, MINORS, ADULTS = f"{YOUNGEST_TEEN}-{ADULT - 1}", f"under {ADULT}", f"{ADULT} and older"
"""Names of the summaries over several years of age."""
KINDS = ("genders", "groups")
"""The kinds of subgroups that are reported."""
BY_PROBABILITY = f"p_under_{ADULT}"
"""Name of the rule by probability; that by predicted age is ``age``."""

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Faces:
    """The faces with a labelled and a predicted age."""

    age: F64
    predicted: F64
    persons: Array | None
    subgroups: dict[str, dict[str, Array]]
    """For each of :data:`KINDS` the rows by name."""
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """A decision rule: a face is accepted if its score is at least a threshold."""

    score: F64
    """Shape (n,): the predicted age, or minus a probability."""
    sign: int
    """1, or -1 if the score is minus what the threshold is shown for."""
    reported: tuple[float, ...]
    """The reported thresholds, with the sign with which they are shown."""
    grid: F64
    """Thresholds of the score, increasing, among which the one for :data:`TARGET` is chosen."""
    curve: F64
    """Thresholds of the score, increasing, of the points of the curve."""

    def accepted(self) -> Array:
        """Return which faces each reported threshold accepts, shape (n, thresholds), bool."""
        return np.asarray(self.score[:, None] >= self.sign * np.array(self.reported))


def age_assurance(
    predictions: Predictions, labels: Labels, images: Mapping[str, int], *, seed: int = 0
) -> Report | None:
    """Report the errors of age checks on n faces.

    Args:
        predictions, labels: of the n faces. For the intervals, whole persons are resampled if
            ``labels.person`` is known, and single faces otherwise.
        images: numbers of images: ``used``, ``no_face`` and ``unreadable``.

    Returns:
        None for fewer than :data:`~arcage.evaluation.metrics.FEW` minors of 13 to 17 years, or adults.
        Otherwise a report that can be written as JSON:

        - ``level``, ``resamples``, ``drawn``: as :func:`arcage.evaluation.bootstrap.intervals`
        - ``faces``: numbers of faces by :data:`TEENS`, :data:`MINORS` and :data:`ADULTS`
        - ``failure_to_process``: share of images without a detected face, or unreadable
        - ``mae``: mean absolute error, averaged over cells of gender and age instead of over faces: ``years``
          for each year from 18 to 30, ``decades`` for all ages; see
          :func:`arcage.evaluation.cell_error.cell_error`
        - ``rules``: for ``age`` and, if the heads have a distribution, ``p_under_18``, by threshold: the
          share of minors that are ``accepted`` and of adults that are ``challenged``, by year of age and in
          total and, under ``by``, by gender and group; and how far off the wrong answers are: ``too_old``
          for accepted minors, ``too_young`` for challenged faces of the threshold's age or older
        - ``needed``: for each rule the threshold that accepts at most 1 % of the minors, with the share of
          adults that it challenges; None for fewer than :data:`FEWEST_MINORS`
        - ``curves``: for each rule both shares at many thresholds
        - ``reliability``: of the probability of being younger, by age: expected calibration error (``ece``)
          over all faces and over the ``uncertain`` ones, and the share of younger faces in bins of the
          probability

        A share is None for fewer than :data:`~arcage.evaluation.bootstrap.FEWEST` faces; their number is
        always given. If no face or every face counts, a bootstrap has no variation, and the interval is the
        exact one of Clopper and Pearson (Biometrika, 1934).
    """
    known = np.isfinite(labels.age) & np.isfinite(predictions.age)
    predictions, labels = predictions.select(known), labels.select(known)
    age = labels.age.astype(np.float64)
    numbers = {name: int(mask.sum()) for name, mask in _summaries(age).items()}
    if min(numbers[TEENS], numbers[ADULTS]) < FEW:
        return None
    kinds = subgroups(labels)
    members = {kind: {name: _rows(some) for name, some in kinds[kind].items()} for kind in KINDS}
    faces = _Faces(age, predictions.age.astype(np.float64), labels.person, members, seed)
    under = {at: predictions.p_under(at).astype(np.float64) for at in AGES}
    under = {at: p for at, p in under.items() if np.isfinite(p).all()}
    rules = _rules(faces, under.get(ADULT))
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "drawn": "faces" if labels.person is None else "persons",
        "faces": numbers,
        "failure_to_process": _failures(images, seed),
        "mae": {
            "years": cell_error(faces.predicted, labels, ages=(ADULT, OLDEST_YEAR + 1), seed=seed),
            "decades": cell_error(faces.predicted, labels, width=10, seed=seed),
        },
        "rules": {name: _decisions(faces, rule) for name, rule in rules.items()},
        "needed": _needed(faces, rules),
        "curves": {name: _curve(faces, rule) for name, rule in rules.items()},
        "reliability": {str(at): _reliability(faces, p, at) for at, p in under.items()},
    }


def rule_text(rule: str, threshold: float | str) -> str:
    """Return a decision rule as text, such as ``age >= 25`` or ``p_under_18 <= 0.01``."""
    return f"{rule} {'<=' if rule == BY_PROBABILITY else '>='} {threshold}"


def _summaries(age: F64) -> dict[str, Array]:
    return {TEENS: _between(age, YOUNGEST_TEEN, ADULT), MINORS: age < ADULT, ADULTS: age >= ADULT}


def _between(age: F64, low: float, high: float) -> Array:
    return np.asarray((age >= low) & (age < high))


def _rows(members: Array) -> Array:
    """Return the rows of faces that are given as a boolean mask or as rows."""
    return np.flatnonzero(members) if members.dtype == bool else members


def _rules(faces: _Faces, minor: F64 | None) -> dict[str, _Rule]:
    """Return the rules by name.

    Args:
        minor: probabilities of being under 18, shape (n,), or None.
    """
    rules = {
        "age": _Rule(
            faces.predicted, 1, AGES, grid=np.arange(0, 1201) / 10, curve=np.arange(10, 61).astype(np.float64)
        )
    }
    if minor is not None:
        points = np.concatenate([[0], np.unique(np.round(np.geomspace(0.001, 1, 40), 3))])
        grid = np.concatenate([np.arange(100) / 10_000, np.arange(10, 1001) / 1000])
        rules[BY_PROBABILITY] = _Rule(-minor, -1, PROBABILITIES, grid=-grid[::-1], curve=-points[::-1])
    return rules


def _failures(images: Mapping[str, int], seed: int) -> Report:
    """Return the share of images that give no answer. Images that are left out for their labels do not
    count."""
    failed = {name: int(images[name]) for name in ("no_face", "unreadable")}
    failures = np.zeros(sum(failed.values()) + int(images["used"]))
    failures[: sum(failed.values())] = 1
    return {**count_shares(failures[:, None], seed=seed)[0], **failed}


def _count(faces: _Faces, columns: Array, rows: Array) -> list[Report]:
    """Return the shares of each column for some faces, given as a boolean mask or as rows."""
    persons = None if faces.persons is None else faces.persons[rows]
    return count_shares(columns[rows].astype(np.float64), persons, seed=faces.seed)


def _decisions(faces: _Faces, rule: _Rule) -> dict[str, Report]:
    """Return for each reported threshold who is accepted and who is challenged."""
    accepted, summaries = rule.accepted(), _summaries(faces.age)
    years = {year: _between(faces.age, year, year + 1) for year in range(OLDEST_YEAR + 1)}
    minors = {str(year): mask for year, mask in years.items() if year < ADULT}
    minors |= {TEENS: summaries[TEENS], MINORS: summaries[MINORS]}
    adults = {str(year): mask for year, mask in years.items() if year >= ADULT}
    adults |= {ADULTS: summaries[ADULTS]}
    cells = {
        "accepted": {name: _count(faces, accepted, mask) for name, mask in minors.items()},
        "challenged": {name: _count(faces, ~accepted, mask) for name, mask in adults.items()},
    }
    by = {
        kind: {
            name: {
                "accepted": _count(faces, accepted, rows[summaries[TEENS][rows]]),
                "challenged": _count(faces, ~accepted, rows[summaries[ADULTS][rows]]),
            }
            for name, rows in members.items()
        }
        for kind, members in faces.subgroups.items()
    }
    out = {}
    for i, threshold in enumerate(rule.reported):
        out[str(threshold)] = {
            part: {name: every[i] for name, every in rows.items()} for part, rows in cells.items()
        } | {
            "by": {
                kind: {name: {part: every[i] for part, every in row.items()} for name, row in rows.items()}
                for kind, rows in by.items()
            },
            **_wrong(faces, accepted[:, i], threshold if rule.sign > 0 else ADULT),
        }
    return out


def _wrong(faces: _Faces, accepted: Array, at: float) -> Report:
    """Return how far off the wrong answers of a threshold are, years.

    Args:
        accepted: shape (n,), bool.
        at: the age that the answer is about.
    """
    error = faces.predicted - faces.age
    old = accepted & (faces.age < ADULT)
    too_old = {
        "number": int(old.sum()),
        "median_error": float(np.median(error[old])) if old.any() else None,
        "largest_error": float(error[old].max()) if old.any() else None,
        "youngest": float(faces.age[old].min()) if old.any() else None,
    }
    young = ~accepted & (faces.age >= at)
    too_young = {
        **_count(faces, ~accepted[:, None], faces.age >= at)[0],
        "median_error": float(np.median(error[young])) if young.any() else None,
        "largest_error": float(error[young].min()) if young.any() else None,
        "oldest": float(faces.age[young].max()) if young.any() else None,
    }
    return {"too_old": too_old, "too_young": too_young}


def _needed(faces: _Faces, rules: Mapping[str, _Rule]) -> Report:
    """Return for each rule the threshold for :data:`TARGET` among all minors, among those of 13 to 17 years,
    and among those of each subgroup."""
    summaries = _summaries(faces.age)
    teens, minors, adults = (np.flatnonzero(summaries[name]) for name in (TEENS, MINORS, ADULTS))
    parts = {("all", TEENS): (teens, adults), ("all", MINORS): (minors, adults)}
    for kind, members in faces.subgroups.items():
        for name, rows in members.items():
            parts[kind, name] = rows[summaries[TEENS][rows]], rows[summaries[ADULTS][rows]]
    out: Report = {name: {kind: {} for kind in ("all", *faces.subgroups)} for name in rules}
    searches: dict[tuple[str, str, str], ThresholdSearch] = {}
    for rule_name, rule in rules.items():
        for (kind, name), (young, old) in parts.items():
            row: Report = {"minors": len(young), "adults": len(old)}
            row |= dict.fromkeys(
                ("threshold", "threshold_interval", "accepted", "challenged", "challenged_interval")
            )
            out[rule_name][kind][name] = row
            if row["minors"] < FEWEST_MINORS or row["adults"] < FEWEST:
                continue
            search = ThresholdSearch.make(TARGET, rule.grid, rule.score, young, old)
            at, challenged = (value[0] for value in search.solve(np.ones((1, len(faces.age)))))
            if at == len(rule.grid):
                continue  # Too many minors have the best score.
            row["threshold"], row["challenged"] = float(abs(rule.grid[at])), float(challenged)
            row["accepted"] = int(search.accepted_few[at])
            searches[rule_name, kind, name] = search
    ends = search_intervals(searches, len(faces.age), faces.persons, seed=faces.seed)
    for (rule_name, kind, name), (thresholds, challenged) in ends.items():
        row = out[rule_name][kind][name]
        row["threshold_interval"] = sorted(abs(threshold) for threshold in thresholds)
        row["challenged_interval"] = challenged
    return out


def _curve(faces: _Faces, rule: _Rule) -> list[Report]:
    summaries = _summaries(faces.age)
    shares = [
        (rule.score[summaries[name]][:, None] >= rule.curve).mean(axis=0).tolist() for name in (TEENS, ADULTS)
    ]
    return [
        {"threshold": abs(threshold), "accepted": teens, "challenged": 1 - adults}
        for threshold, teens, adults in zip(rule.curve.tolist(), *shares, strict=True)
    ]


def _reliability(faces: _Faces, p: F64, at: int) -> Report:
    """Return how well a probability of being younger than ``at`` agrees with the labels.

    Most faces are certain, and a calibration error over all faces is small for that reason alone.
    """
    younger = (faces.age < at).astype(np.float64)
    uncertain = (p > CERTAIN) & (p < 1 - CERTAIN)
    bins, points = calibration_bins(p), []
    for number in np.unique(bins).tolist():
        here = bins == number
        cell = _count(faces, younger[:, None], here)[0]
        points.append(
            {"from": number / ECE_BINS, "to": (number + 1) / ECE_BINS, "p": float(p[here].mean()), **cell}
        )
    return {
        "faces": len(p),
        "ece": calibration_error(p, younger),
        "uncertain": {
            "faces": int(uncertain.sum()),
            "ece": calibration_error(p[uncertain], younger[uncertain]) if uncertain.any() else None,
        },
        "bins": points,
    }
