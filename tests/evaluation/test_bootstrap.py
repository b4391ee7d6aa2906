"""Confidence intervals against a plain bootstrap, and against what is known of a mean."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from arcage.evaluation import bootstrap
from arcage.evaluation.bootstrap import FEWEST, RESAMPLES, interval, intervals
from arcage.evaluation.metrics import AGE_MEANS, GENDER_MEANS, evaluate, subgroups
from arcage.heads.model import Predictions
from arcage.types import Labels

RNG = np.random.default_rng(0)
N = 300
AGE = RNG.integers(1, 40, N).astype(np.float32)
GENDER = RNG.integers(0, 2, N).astype(np.float32)
GROUP = RNG.choice(["a", "b", ""], N)
GUESS = (AGE + RNG.normal(0, 5, N)).astype(np.float32)
PREDICTIONS = Predictions(GUESS, GUESS - 6, GUESS + 9, RNG.random(N).astype(np.float32))
PERSONS = RNG.integers(0, 60, N)


def plain(columns: np.ndarray, persons: np.ndarray, seed: int = 0) -> np.ndarray:
    """The definition, person by person and face by face."""
    rng = np.random.default_rng(seed)
    faces = [columns[persons == person] for person in np.unique(persons)]
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(faces), len(faces))
        means.append(np.concatenate([faces[person] for person in drawn]).mean(axis=0))
    return np.percentile(means, [2.5, 97.5], axis=0).T


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 20])
def test_as_a_plain_bootstrap(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(bootstrap, "_AT_ONCE", at_once)
    columns = RNG.normal(3, 2, (N, 2))
    ends = interval(columns, PERSONS, seed=5)
    assert ends is not None
    np.testing.assert_allclose(ends, plain(columns, PERSONS, seed=5), rtol=1e-10)
    alone = interval(columns, seed=5)
    assert alone is not None
    np.testing.assert_allclose(alone, plain(columns, np.arange(N), seed=5), rtol=1e-10)
    # Names of persons are only names.
    np.testing.assert_array_equal(ends, interval(columns, 7 * PERSONS + 1000, seed=5))
    assert not np.array_equal(ends, interval(columns, PERSONS, seed=6))


def test_a_mean_of_many() -> None:
    values = np.random.default_rng(1).normal(4, 3, (5000, 1))
    ends = interval(values)
    assert ends is not None
    half = 1.96 * 3 / np.sqrt(5000)
    assert ends[0] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.15 * half)
    # The same faces ten times over tell nothing new where it is known whose they are.
    tenfold = np.repeat(values, 10, axis=0)
    whole = interval(tenfold, np.repeat(np.arange(5000), 10))
    assert whole is not None
    np.testing.assert_allclose(whole, ends)
    taken_apart = interval(tenfold)
    assert taken_apart is not None
    assert np.ptp(taken_apart) == pytest.approx(np.ptp(ends) / np.sqrt(10), rel=0.15)


def test_too_few_persons() -> None:
    values = np.arange(FEWEST, dtype=float)[:, None]
    assert interval(values) is not None
    assert interval(values[1:]) is None
    assert interval(values[:0]) is None
    assert interval(np.repeat(values, 9, axis=0), np.repeat(np.arange(FEWEST), 9) // 2) is None


def test_the_places_are_those_of_the_report() -> None:
    age, gender = AGE.copy(), GENDER.copy()
    age[::7] = gender[::5] = np.nan
    labels = Labels(age, gender, GROUP, PERSONS)
    report = evaluate(PREDICTIONS, labels)
    ends = intervals(PREDICTIONS, labels)
    assert json.loads(json.dumps(ends, allow_nan=False)) == ends
    assert (ends["level"], ends["resamples"], ends["drawn"]) == (0.95, RESAMPLES, "persons")
    assert intervals(PREDICTIONS, Labels(age, gender))["drawn"] == "faces"
    for part in ("age_bands", "genders", "groups"):
        assert list(ends[part]) == list(report[part])
    rows = [(report["overall"], ends["overall"])]
    rows += [(report[p][name], ends[p][name]) for p in ("age_bands", "genders", "groups") for name in ends[p]]
    for metrics, both in rows:
        assert list(both) == [*AGE_MEANS, *GENDER_MEANS]
        for name, (low, high) in both.items():
            assert low <= metrics[name] <= high
    # Each set is drawn from by itself, and its faces without a label are not drawn.
    for name, mask in subgroups(labels)["age_bands"].items():
        error = (GUESS.astype(float) - age)[mask]
        known = np.isfinite(error)
        expected = plain(error[known, None], PERSONS[mask][known])[0]
        assert ends["age_bands"][name]["bias"] == pytest.approx(list(expected))


def test_without_answers_there_is_no_interval() -> None:
    nothing = np.full(N, np.nan, np.float32)
    ends = intervals(Predictions(nothing, nothing, nothing, PREDICTIONS.p_female), Labels(AGE, GENDER, GROUP))
    assert {ends["overall"][name] for name in AGE_MEANS} == {None}
    assert ends["overall"]["gender_accuracy"] is not None
    ends = intervals(PREDICTIONS, Labels.empty(N))
    assert set(ends["overall"].values()) == {None}
    assert ends["age_bands"] == ends["genders"] == ends["groups"] == {}
    few = intervals(PREDICTIONS, Labels(AGE, GENDER, np.where(np.arange(N) < FEWEST - 1, "few", "many")))
    assert set(few["groups"]["few"].values()) == {None}
    assert None not in few["groups"]["many"].values()


def test_many_faces_take_seconds() -> None:
    n = 20_000
    age = np.arange(n, dtype=np.float32) % 100
    predictions = Predictions(age + 1, age - 5, age + 5, np.full(n, 0.7, np.float32))
    start = time.process_time()
    intervals(predictions, Labels(age, np.ones(n, np.float32), person=np.arange(n) // 2))
    assert time.process_time() - start < 20
