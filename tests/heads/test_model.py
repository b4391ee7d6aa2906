"""Predictions of fitted heads."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import DIMENSION, faces

from arcage.errors import HeadsError
from arcage.heads.distribution import LEVELS
from arcage.heads.model import Heads, Predictions
from arcage.heads.store import save_heads


def test_half_precision_descriptors_answer_nearly_alike(fitted: Heads) -> None:
    x = faces(200, 3)[0]
    difference = np.abs(fitted.predict(x.astype(np.float16)).age - fitted.predict(x).age)
    assert np.median(difference) < 0.1


def test_faces_answer_alike_alone_and_together(fitted: Heads) -> None:
    x = faces(40, 4)[0]
    together = fitted.predict(x).age
    alone = np.concatenate([fitted.predict(x[i : i + 1]).age for i in range(len(x))])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-4)


def test_no_faces_give_no_answers(fitted: Heads) -> None:
    assert fitted.predict(np.empty((0, DIMENSION), np.float16)).age.shape == (0,)


def test_other_descriptors_are_refused(fitted: Heads) -> None:
    fitted.check("f" * 16)
    with pytest.raises(HeadsError, match="choose their `pack`"):
        fitted.check("0" * 16)
    with pytest.raises(HeadsError, match="another model pack"):
        fitted.predict(np.zeros((3, DIMENSION + 1), np.float16))


def test_predicting_imports_no_training_library(fitted: Heads, tmp_path: Path) -> None:
    save_heads(fitted, tmp_path, "card")
    script = f"""
        import sys
        from pathlib import Path
        import numpy as np
        from arcage.heads.store import load_heads
        load_heads(Path({str(tmp_path)!r})).predict(np.zeros((1, {DIMENSION}), np.float16))
        heavy = {{"sklearn", "lightgbm", "pandas", "scipy", "pyarrow"}} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_predictions_of_some_faces() -> None:
    age, p_female = np.array([1, 2, 3], np.float32), np.array([0.1, 0.5, 0.9], np.float32)
    predictions = Predictions(age, age - 1, age + 1, p_female)
    for rows in (np.array([True, False, True]), np.array([0, 2])):
        some = predictions.select(rows)
        assert len(some) == 2
        for before, after in (
            (age, some.age),
            (age - 1, some.age_low),
            (age + 1, some.age_high),
            (p_female, some.p_female),
        ):
            np.testing.assert_array_equal(after, before[[0, 2]])
    empty = Predictions.empty(3)
    assert len(empty) == 3
    assert empty.quantiles.shape == (3, len(LEVELS))
    for column in (empty.age, empty.age_low, empty.age_high, empty.p_female, empty.familiarity):
        assert column.dtype == np.float32
        assert np.isnan(column).all()


def test_intervals_and_probabilities_of_a_distribution() -> None:
    age = np.array([20, 40], np.float32)
    quantiles = (age[:, None] + 20 * (np.array(LEVELS) - 0.5)).astype(np.float32)
    unknown = np.full(2, np.nan, np.float32)
    p = Predictions(
        age, quantiles[:, 4], quantiles[:, -5], unknown, quantiles, np.array([0.2, 1], np.float32)
    )
    np.testing.assert_allclose(p.interval(), [age - 9, age + 9], rtol=1e-6)
    np.testing.assert_allclose(p.interval(0.5), [age - 5, age + 5], rtol=1e-6)
    np.testing.assert_allclose(p.quantile(0.75), age + 5, rtol=1e-6)
    # Up to 24.5: whoever is under 25 is labelled 24 or younger.
    np.testing.assert_allclose(p.p_under(25), [0.725, 0], atol=0.003)
    second = p.select(np.array([1]))
    np.testing.assert_allclose(second.interval(0.5), [[35], [45]], rtol=1e-6)
    assert second.familiarity == 1
    for level in (0, 1, 80, 0.999, np.nan):
        with pytest.raises(ValueError, match=r"level|quantile"):
            p.interval(level)


def test_heads_without_a_distribution_have_the_interval_of_90_percent() -> None:
    age = np.array([20, 40], np.float32)
    p = Predictions(age, age - 5, age + 5, age / 100)
    np.testing.assert_array_equal(p.interval(0.9), [age - 5, age + 5])
    assert np.isnan([*p.interval(0.5), p.quantile(0.5), p.p_under(18), p.familiarity]).all()
    assert np.isnan(p.select(np.array([0])).quantiles).all()


def test_reprs_are_short(fitted: Heads) -> None:
    assert repr(Predictions.empty(1200)) == "<Predictions for 1,200 faces>"
    named = replace(fitted, manifest={"pack": "compact\x1b"})
    assert repr(named) == "<Heads for age and gender, pack compact\\x1b>"
    assert repr(replace(named, age=None, manifest={})).startswith("<Heads for gender, model pack that")
