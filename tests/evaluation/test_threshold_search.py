"""The threshold for a share: against a plain search, and its interval against a plain bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from arcage.evaluation.bootstrap import FEWEST, RESAMPLES
from arcage.evaluation.threshold_search import ThresholdSearch, search_intervals

GRID = np.arange(0, 1001) / 10


def scattered() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scores, whether few of the faces are to be accepted, and the persons of 1,500 faces."""
    rng = np.random.default_rng(5)
    age, person = rng.integers(13, 40, 1500), rng.integers(0, 300, 1500)
    return age + rng.normal(0, 5, 1500), age < 18, person


def plain(score: np.ndarray, young: np.ndarray, target: float) -> tuple[float, float]:
    at = next(at for at in GRID if (score[young] >= at).mean() <= target)
    return float(at), float((score[~young] < at).mean())


def make(score: np.ndarray, young: np.ndarray, target: float = 0.01) -> ThresholdSearch:
    return ThresholdSearch.make(target, GRID, score, np.flatnonzero(young), np.flatnonzero(~young))


@pytest.mark.parametrize("target", [0.0, 0.01, 0.2])
def test_the_threshold_is_the_lowest(target: float) -> None:
    score, young, _ = scattered()
    search = make(score, young, target)
    at, missed = search.solve(np.ones((1, len(score))))
    assert (GRID[at[0]], missed[0]) == pytest.approx(plain(score, young, target))
    assert search.accepted_few[at[0]] <= target * young.sum() < search.accepted_few[at[0] - 1]
    # Faces that are drawn twice count twice, and others not at all.
    times = np.random.default_rng(0).integers(0, 3, (5, len(score))).astype(np.float64)
    found = np.stack(search.solve(times), axis=1)
    for row, (index, share) in zip(times.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(len(score)), row)
        assert (GRID[int(index)], share) == pytest.approx(plain(score[drawn], young[drawn], target))


def test_equal_scores_and_no_threshold() -> None:
    score = np.array([20.0, 20, 20, 30, 100, 100])
    young = np.array([True, True, True, False, False, False])
    at, missed = make(score, young).solve(np.ones((1, 6)))
    assert (GRID[at[0]], missed[0]) == (20.1, 0)
    at, missed = make(np.full(6, 200.0), young).solve(np.ones((1, 6)))
    assert (at[0], missed[0]) == (len(GRID), 1)


@pytest.mark.parametrize("by_person", [False, True])
def test_the_intervals_are_those_of_a_plain_bootstrap(by_person: bool) -> None:
    score, young, person = scattered()
    person = person if by_person else np.arange(len(score))
    searches = {"one": make(score, young), "other": make(score, young, 0.2)}
    found = search_intervals(searches, len(score), person if by_person else None)
    members = [np.flatnonzero(person == p) for p in np.unique(person)]
    rng = np.random.default_rng(7)
    samples = [
        np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        for _ in range(RESAMPLES // 4)
    ]
    for name, target in (("one", 0.01), ("other", 0.2)):
        values = [plain(score[drawn], young[drawn], target) for drawn in samples]
        for ends, column in zip(found[name], zip(*values, strict=True), strict=True):
            low, high = np.percentile(column, [2.5, 97.5])
            assert ends == pytest.approx([low, high], abs=0.25 * (high - low))


def test_no_interval_for_few_persons() -> None:
    score, young, person = scattered()
    searches = {"one": make(score, young)}
    assert search_intervals(searches, len(score), person % (FEWEST - 1)) == {}
    assert search_intervals({}, len(score), None) == {}
