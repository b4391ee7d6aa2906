"""Errors averaged over cells: by hand, and against a plain bootstrap."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arcage.evaluation.bootstrap import FEWEST, RESAMPLES
from arcage.evaluation.cell_error import cell_error
from arcage.types import Labels

RNG = np.random.default_rng(0)


def faces_of(*cells: tuple[float, float, int, float]) -> tuple[np.ndarray, Labels]:
    """Return predictions and labels of cells of (gender, age, number of faces, error)."""
    gender, age, error = (
        np.concatenate([np.full(number, values[i], np.float32) for *values, number in reordered(cells)])
        for i in range(3)
    )
    return (age + error).astype(np.float64), Labels(age, gender)


def reordered(cells: tuple[tuple[float, float, int, float], ...]) -> list[tuple[float, float, float, int]]:
    return [(gender, age, error, number) for gender, age, number, error in cells]


def test_each_cell_counts_the_same() -> None:
    predicted, labels = faces_of((0, 20, 1000, 1), (1, 20, 10, -5), (1, 21, 10, 6), (0, 21, 9, 90))
    assert np.abs(predicted - labels.age).mean() < 2
    report = cell_error(predicted, labels, ages=(20, 22))
    assert report["mae"] == pytest.approx(4)
    assert report["interval"] == pytest.approx([4, 4])
    assert report["cells_used"] == 3
    rows = [(c["gender"], c["age"], c["faces"], c["mae"], c["bias"]) for c in report["cells"]]
    assert rows == [
        ("male", "20", 1000, 1, 1),
        ("male", "21", FEWEST - 1, None, None),
        ("female", "20", 10, 5, -5),
        ("female", "21", 10, 6, 6),
    ]
    assert report["cells"][1]["interval"] is None
    assert report["cells"][2]["interval"] == [5, 5]
    json.dumps(report, allow_nan=False)


def test_decades_and_labels_without_gender() -> None:
    predicted, labels = faces_of((np.nan, 9.5, 10, 1), (np.nan, 10, 20, 2), (np.nan, 29, 40, 6))
    report = cell_error(predicted, labels, width=10)
    rows = [(c["gender"], c["age"], c["faces"], c["mae"]) for c in report["cells"]]
    assert rows == [("", "0-9", 10, 1), ("", "10-19", 20, 2), ("", "20-29", 40, 6)]
    assert report["mae"] == pytest.approx(3)


def test_without_faces_in_a_cell() -> None:
    predicted, labels = faces_of((0, 50, 20, 1))
    report = cell_error(predicted, labels, ages=(18, 20))
    assert (report["mae"], report["interval"], report["cells_used"]) == (None, None, 0)
    assert [c["faces"] for c in report["cells"]] == [0, 0, 0, 0]


def test_the_interval_is_that_of_a_plain_bootstrap_of_persons() -> None:
    n, people = 400, 60
    person = RNG.integers(0, people, n)
    age = RNG.integers(20, 23, n).astype(np.float32)
    labels = Labels(age, (person % 2).astype(np.float32), person=person)
    error = RNG.normal(0, 3, people)[person] + RNG.normal(0, 1, n)
    report = cell_error(age + error, labels, ages=(20, 23))
    rng = np.random.default_rng(1)
    rows = [np.flatnonzero(person == p) for p in np.unique(person)]
    means = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        cell = 10 * labels.gender[drawn] + age[drawn]
        means.append(np.mean([np.abs(error[drawn][cell == c]).mean() for c in np.unique(cell)]))
    low, high = np.percentile(means, [2.5, 97.5])
    assert report["interval"] == pytest.approx([low, high], abs=0.1 * (high - low))
    # Persons that look alike to the heads vary together: single faces would give a narrower interval.
    alone = cell_error(age + error, Labels(age, labels.gender), ages=(20, 23))["interval"]
    assert alone[1] - alone[0] < 0.8 * (high - low)


def test_too_few_persons() -> None:
    predicted, labels = faces_of((0, 20, 30, 1), (1, 20, 30, 2))
    few = Labels(labels.age, labels.gender, person=np.arange(60) % (FEWEST - 1))
    report = cell_error(predicted, few, ages=(20, 21))
    assert report["mae"] == pytest.approx(1.5)
    assert report["interval"] is None
