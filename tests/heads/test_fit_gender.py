"""The gender head: wrong labels, and the classes of its axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faces import FAST, faces

from arcage.heads import fit_gender as module
from arcage.heads.boosting import Boosting
from arcage.heads.fit_gender import fit_gender
from arcage.heads.kernel import KernelSettings
from arcage.heads.settings import Settings
from arcage.heads.task import Task, make_task
from arcage.types import Labels

N = 600
X, AGE, GENDER = faces(N, 0)
FLIPPED = np.arange(N) % 10 == 0
BOOSTED = replace(FAST, kernel=KernelSettings(centers=80), gender=Boosting(rounds=5, leaves=7), folds=3)


def task(age: np.ndarray, gender: np.ndarray, settings: Settings = BOOSTED, variants: int = 0) -> Task:
    return make_task(
        "gender",
        X,
        Labels(age, gender),
        np.arange(N),
        variants=[X + 0.01] * variants,
        weight=np.ones(N, np.float32),
        settings=settings,
        callback=None,
    )


def argument(monkeypatch: pytest.MonkeyPatch, name: str, index: int) -> list[Any]:
    """Return a list of what a function is called with."""
    calls: list[Any] = []
    original = getattr(module, name)

    def listening(*arguments: Any) -> Any:
        calls.append(arguments[index])
        return original(*arguments)

    monkeypatch.setattr(module, name, listening)
    return calls


def test_labels_that_the_face_contradicts_are_not_boosted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = argument(monkeypatch, "fit_boosted", 4)
    told = np.where(FLIPPED, 1 - GENDER, GENDER)
    fitted = fit_gender(task(AGE, told, variants=1))
    (trusted,) = calls
    assert trusted.shape == (2 * N,)
    np.testing.assert_array_equal(trusted[N:], trusted[:N])
    assert trusted[:N][FLIPPED].mean() < 0.5
    assert trusted[:N][~FLIPPED].mean() > 0.9
    assert fitted.out_of_fold.shape == (N,)
    p = fitted.model.probability(fitted.out_of_fold)
    assert ((p > 0.5) == (GENDER == 1))[FLIPPED].mean() > 0.8
    # The calibration counts the wrong labels: a tenth of them is wrong, so the head is rarely surer.
    sure = np.abs(p - 0.5) > 0.3
    assert np.maximum(p, 1 - p)[sure].mean() == pytest.approx(((p > 0.5) == told)[sure].mean(), abs=0.03)
    assert np.maximum(p, 1 - p)[sure].mean() < 0.95


@pytest.mark.parametrize("settings", [BOOSTED, Settings(kind="linear", folds=3)], ids=["boosted", "linear"])
def test_the_probability_is_calibrated_out_of_fold(settings: Settings) -> None:
    mostly_men = np.where(np.arange(N) % 3 == 0, GENDER, 0).astype(np.float32)
    fitted = fit_gender(task(AGE, mostly_men, settings))
    model = fitted.model
    assert model.slope > 0
    assert model.probability(fitted.out_of_fold).mean() == pytest.approx(mostly_men.mean(), abs=1e-3)
    np.testing.assert_array_equal(model(X), model.probability(model.stack(X)[:, 0]))


def test_axes_separate_the_genders_within_bands_of_age(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = argument(monkeypatch, "kernel_sums", 1)
    age = np.resize(np.array([1, 7, 17, 35, 80, np.nan], np.float32), N)
    # Too few for a band of their own: they join the one above.
    age[-6:] = 60
    fit_gender(task(age, GENDER))
    (classes,) = calls
    band = np.select([age == 1, age == 7, age == 17, age == 35, age >= 60], [0, 2, 4, 6, 9], 10)
    np.testing.assert_array_equal(classes, 2 * band + GENDER)
