"""One prediction from many frames."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from arcage.heads.distribution import LEVELS
from arcage.types import Face
from arcage.video import person as person_module
from arcage.video.person import Person


@pytest.mark.parametrize(
    ("values", "mean", "between"),
    [
        ([3.0], 3, 0),
        ([1.0, 2.0], 1.5, 1),
        ([1.0, 2.0, 3.0, 90.0], 2.5, 2),
        ([5.0, 1.0, 7.0, 5.0, 90.0, 5.0, 6.0, -50.0], 5.25, 5),
        ([*range(100)], 49.5, 50),
    ],
)
def test_the_interquartile_mean(values: list[float], mean: float, between: float) -> None:
    from scipy.stats import trim_mean

    if len(values) % 4 == 0:
        assert mean == trim_mean(values, 0.25)
    assert person_module._middle(Counter(values)) == (pytest.approx(mean), between)
    assert all(math.isnan(value) for value in person_module._middle(Counter()))


def one_of(*rows: tuple[float, float, float, float], each: float = 1, frames: int = 1) -> Person:
    """Return a person with many frames, ``each`` seconds apart."""
    made = Person()
    for n, row in enumerate(rows * frames):
        made.add(Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9), row, n * each)
    return made


def test_one_wrong_frame_has_no_effect() -> None:
    right = [(30.0, 20.0, 41.0, 0.9), (31.0, 22.0, 40.0, 0.8)] * 4
    age, low, high, p_female = one_of(*right, (90.0, 80.0, 99.0, 0.1)).estimate()
    assert 30.4 < age < 31
    assert 20.9 < low < 22
    assert 40 < high < 41
    assert 0.8 < p_female < 0.9


def test_the_familiarity_is_that_of_most_frames() -> None:
    made = one_of((30.0, 20.0, 50.0, 0.9))
    assert math.isnan(made.familiarity())
    for familiarity in (0.5, 0.5, 0.5, math.nan, 1e-6):
        made.add(made.face, (30.0, 20.0, 50.0, 0.9), 1, familiarity=familiarity)
    assert made.familiarity() == 0.5


def test_the_interval_narrows_with_the_spread_of_the_frames() -> None:
    # A still picture of any length gives the same estimate as a photo.
    still = one_of((30.0, 20.0, 50.0, 0.9), frames=500)
    assert still.estimate() == (30.0, 20.0, 50.0, 0.9)
    # Frames within one second do not narrow it either, even if they differ.
    glance = [(age, age - 10, age + 20, 0.9) for age in (28.0, 29.0, 31.0, 32.0)]
    age, low, high, _ = one_of(*glance, each=0.2).estimate()
    assert (age, low, high) == (30, pytest.approx(20), pytest.approx(50))
    # Quartiles 28 and 31: v = (3 / 1.349)^2 is reduced to a quarter by four seconds, of u = (30 / 3.29)^2.
    share = (3 / 1.349) ** 2 / (30 / 3.29) ** 2
    age, low, high, _ = one_of(*glance).estimate()
    assert high - low == pytest.approx(30 * math.sqrt(1 - share * 3 / 4))
    assert (high - age) / (age - low) == pytest.approx(2)
    # Contradictory frames: the bound holds, also for more frames.
    wild = [(age, age - 10, age + 20, 0.9) for age in (10.0, 20.0, 40.0, 50.0)]
    for frames in (1, 1000):
        _, low, high, _ = one_of(*wild, frames=frames).estimate()
        assert high - low >= 30 * math.sqrt(1 - person_module.MAX_REDUCTION) - 1e-9


def test_heads_without_age_predict_none_for_persons() -> None:
    nan = math.nan
    *age, p_female = one_of((nan, nan, nan, 0.7), (nan, nan, nan, 0.7)).estimate()
    assert all(math.isnan(value) for value in age)
    assert p_female == 0.7


def test_quantiles_of_the_frames_are_averaged_and_narrowed_like_the_interval() -> None:
    spread = 20 * np.subtract(LEVELS, 0.5)
    made = Person()
    here = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
    for n, age in enumerate([28.0, 29.0, 31.0, 32.0] * 4):
        made.add(here, (age, age - 9, age + 9, 0.9), n, list(age + spread))
    age, low, high, _ = made.estimate()
    quantiles = made.quantiles()
    assert (np.diff(quantiles) >= 0).all()
    assert high - low < 17
    assert quantiles[LEVELS.index(0.05)] == pytest.approx(low, abs=0.06)
    assert quantiles[LEVELS.index(0.95)] == pytest.approx(high, abs=0.06)
    assert quantiles[LEVELS.index(0.5)] == pytest.approx(age, abs=0.06)
    without = one_of((30.0, 20.0, 50.0, 0.9))
    assert np.isnan(without.quantiles()).all()
    assert len(without.quantiles()) == len(LEVELS)
