"""Heads calibrated for a source: planted errors of a source are found and removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import elsewhere, faces, with_labels

from arcage.errors import HeadsError, UsageError
from arcage.heads.adapt import adapt_heads
from arcage.heads.model import Curves, Heads, Predictions
from arcage.heads.recalibrate import expected_coverage, recalibrate_heads
from arcage.heads.store import load_heads, save_heads
from arcage.types import Labels

COUNT = 300


def source(n: int, seed: int, heads: Heads) -> tuple[np.ndarray, Labels]:
    """Faces whose ages are 12 years and 15 % above what the heads predict for them, with half of the errors
    that the heads make; and whose genders are right less often."""
    x = faces(n, seed)[0]
    p = heads.predict(x)
    rng = np.random.default_rng(seed)
    low, high = p.interval(0.5)
    age = 12 + 1.15 * p.age + (high - low) / 1.349 / 2 * rng.normal(size=n)
    odds = np.log(p.p_female / (1 - p.p_female)) / 3 + 0.5
    gender = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    return x, Labels(age.astype(np.float32), gender)


def coverage(p: Predictions, age: np.ndarray, level: float) -> float:
    low, high = p.interval(level)
    return float(((low <= age) & (age <= high)).mean())


def log_loss(p: Predictions, gender: np.ndarray) -> float:
    return float(-np.log(np.where(gender == 1, p.p_female, 1 - p.p_female)).mean())


@pytest.fixture(scope="module")
def calibrated(fitted: Heads) -> tuple[Heads, Predictions]:
    result = recalibrate_heads(fitted, *source(COUNT, 11, fitted))
    return result.heads, result.out_of_fold


def test_a_planted_error_of_a_source_is_removed(fitted: Heads, calibrated: tuple[Heads, Predictions]) -> None:
    heads, _ = calibrated
    x, labels = source(2000, 12, fitted)
    before, after = fitted.predict(x), heads.predict(x)
    assert coverage(before, labels.age, 0.9) < 0.4
    for level in (0.5, 0.8, 0.9, 0.95):
        assert abs(coverage(after, labels.age, level) - level) < 0.06
    assert np.abs(after.age - labels.age).mean() < 0.35 * np.abs(before.age - labels.age).mean()
    # The errors are half of those that the heads know, so intervals are narrower than before.
    assert (after.age_high - after.age_low).mean() < 0.8 * (before.age_high - before.age_low).mean()
    assert (np.diff(after.quantiles, axis=1) >= 0).all()
    assert ((after.age_low <= after.age) & (after.age <= after.age_high)).all()
    assert log_loss(after, labels.gender) < 0.97 * log_loss(before, labels.gender)
    assert (after.familiarity == before.familiarity).all()


def test_predictions_out_of_fold_are_as_good_as_those_for_new_faces(
    fitted: Heads, calibrated: tuple[Heads, Predictions]
) -> None:
    heads, out_of_fold = calibrated
    labels = source(COUNT, 11, fitted)[1]
    x, new = source(2000, 12, fitted)
    after = heads.predict(x)
    assert abs(coverage(out_of_fold, labels.age, 0.9) - coverage(after, new.age, 0.9)) < 0.06
    assert log_loss(out_of_fold, labels.gender) == pytest.approx(log_loss(after, new.gender), rel=0.1)


def test_heads_that_are_right_stay_nearly_the_same(fitted: Heads) -> None:
    heads = recalibrate_heads(fitted, *with_labels(faces(COUNT, 21))).heads
    x, age, _ = faces(1500, 22)
    before, after = fitted.predict(x), heads.predict(x)
    assert np.abs(after.age - before.age).mean() < 1
    assert np.abs(after.age - age).mean() < 1.03 * np.abs(before.age - age).mean()
    assert abs(coverage(after, age, 0.9) - 0.9) < 0.05
    assert np.abs(after.p_female - before.p_female).mean() < 0.03


def test_attributes_without_labels_stay_the_same(fitted: Heads) -> None:
    x, labels = source(COUNT, 11, fitted)
    before = fitted.predict(x)
    result = recalibrate_heads(fitted, x, labels.without(["gender"]))
    assert result.heads.gender == fitted.gender
    np.testing.assert_array_equal(result.out_of_fold.p_female, before.p_female)
    result = recalibrate_heads(fitted, x, labels.without(["age"]))
    assert result.heads.age == fitted.age
    np.testing.assert_array_equal(result.out_of_fold.quantiles, before.quantiles)


def test_persons_stay_together(fitted: Heads) -> None:
    """Ages that have nothing to do with the faces: another photo of the person would tell them."""
    x = np.repeat(faces(100, 5)[0], 3, axis=0)
    person = np.repeat(np.arange(100), 3)
    labels = Labels(
        np.repeat(np.linspace(1, 80, 100), 3).astype(np.float32), np.full(300, np.nan, np.float32)
    )
    predictions = recalibrate_heads(fitted, x, replace(labels, person=person)).out_of_fold
    assert np.isfinite(predictions.quantiles).all()
    assert abs(coverage(predictions, labels.age, 0.9) - 0.9) < 0.07


def test_calibrated_heads_are_kept(calibrated: tuple[Heads, Predictions], tmp_path: Path) -> None:
    heads = calibrated[0]
    save_heads(heads, tmp_path, "card")
    loaded, x = load_heads(tmp_path), faces(100, 6)[0]
    for field in ("age", "quantiles", "p_female"):
        now, then = (getattr(one.predict(x), field) for one in (loaded, heads))
        np.testing.assert_allclose(now, then, rtol=1e-5, atol=1e-3)
    for again in (recalibrate_heads, adapt_heads):
        with pytest.raises(UsageError, match="calibrated for a source already"):
            again(loaded, *with_labels(faces(100, 6)))


def test_what_cannot_be_calibrated(fitted: Heads) -> None:
    adapted = adapt_heads(fitted, *with_labels(elsewhere(200, 3))).heads
    with pytest.raises(UsageError, match="start again from those"):
        recalibrate_heads(adapted, *with_labels(faces(100, 6)))
    with pytest.raises(UsageError, match="at least 50"):
        recalibrate_heads(fitted, *with_labels(faces(49, 6)))
    assert fitted.age is not None
    curves = Curves(*np.zeros((3, 2), np.float32))
    old = replace(fitted, age=replace(fitted.age, calibration=curves))
    with pytest.raises(HeadsError, match="a calibration needs a distribution"):
        recalibrate_heads(old, *with_labels(faces(100, 6)))


def test_the_coverage_that_is_promised() -> None:
    low, high = expected_coverage(200, 0.9)
    # 200 uniform scores make 201 gaps, of which an interval has about 181.
    rng = np.random.default_rng(0)
    scores = np.sort(rng.random((4000, 200)), axis=1)
    inside = scores[:, -11] - scores[:, 9]
    found = np.quantile(inside, [0.025, 0.975])
    np.testing.assert_allclose([low, high], found, atol=0.012)
    assert low < 0.9 < high
    wider = expected_coverage(50, 0.9)
    assert wider[0] < low < high < wider[1]
