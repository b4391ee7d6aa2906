"""Shares and their intervals: by hand, against a plain bootstrap, and at the ends."""

from __future__ import annotations

import numpy as np
import pytest

from arcage.evaluation.bootstrap import FEWEST, interval
from arcage.evaluation.shares import count_shares


def column(number: int, faces: int) -> np.ndarray:
    return (np.arange(faces) < number).astype(np.float64)


def test_by_hand() -> None:
    columns = np.stack([column(3, 20), column(20, 20)], axis=1)
    first, second = count_shares(columns)
    assert (first["faces"], first["number"], first["share"]) == (20, 3, 0.15)
    assert (second["faces"], second["number"], second["share"]) == (20, 20, 1)
    assert first["interval"][0] < 0.15 < first["interval"][1]


def test_the_interval_is_that_of_the_bootstrap_of_faces() -> None:
    columns = np.stack([column(number, 400) for number in (5, 100, 200, 399)], axis=1)
    plain = interval(columns)
    assert plain is not None
    for row, ends in zip(count_shares(columns), plain.tolist(), strict=True):
        assert row["interval"] == pytest.approx(ends, abs=0.006)


def test_persons_are_drawn_with_all_of_their_faces() -> None:
    once = np.stack([column(100, 400)], axis=1)
    tenfold, person = np.repeat(once, 10, axis=0), np.repeat(np.arange(400), 10)
    low, high = count_shares(tenfold, person)[0]["interval"]
    assert [low, high] == pytest.approx(count_shares(once)[0]["interval"], abs=0.006)
    narrow = count_shares(tenfold)[0]["interval"]
    assert narrow[1] - narrow[0] < 0.5 * (high - low)


@pytest.mark.parametrize("n", [FEWEST, 30, 300])
def test_none_and_all_have_the_exact_interval(n: int) -> None:
    none, every = count_shares(np.stack([np.zeros(n), np.ones(n)], axis=1))
    assert none["interval"][0] == 0
    assert every["interval"][1] == 1
    # The share at which n faces all agree with a probability of 2.5 %.
    assert (1 - none["interval"][1]) ** n == pytest.approx(0.025)
    assert every["interval"][0] ** n == pytest.approx(0.025)
    # Persons count, not their faces.
    row = count_shares(np.zeros((3 * n, 1)), np.repeat(np.arange(n), 3))[0]
    assert row["interval"] == pytest.approx(none["interval"])


def test_few_faces_have_a_number_only() -> None:
    row = count_shares(column(2, FEWEST - 1)[:, None])[0]
    assert row == {"faces": FEWEST - 1, "number": 2, "share": None, "interval": None}
    assert count_shares(np.empty((0, 1)))[0] == {"faces": 0, "number": 0, "share": None, "interval": None}
    row = count_shares(column(2, 40)[:, None], np.arange(40) % (FEWEST - 1))[0]
    assert (row["share"], row["interval"]) == (0.05, None)


@pytest.mark.parametrize("number", [1, 6, 30])
def test_the_intervals_contain_the_true_share(number: int) -> None:
    share, n, rng = number / 60, 60, np.random.default_rng(number)
    inside = 0
    for seed in range(200):
        low, high = count_shares((rng.random((n, 1)) < share).astype(np.float64), seed=seed)[0]["interval"]
        inside += low <= share <= high
    assert inside >= 0.88 * 200
