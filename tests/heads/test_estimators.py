"""The heads as scikit-learn estimators."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from faces import faces
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from arcage import AgeHead, GenderHead
from arcage.heads.fit import fit_heads
from arcage.heads.settings import KINDS, Settings
from arcage.types import Labels


@pytest.mark.parametrize("head", [AgeHead, GenderHead])
@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_finds_no_fault(head: type, kind: str) -> None:
    found = check_estimator(head(kind=kind, folds=3), on_skip=None)
    assert len(found) > 40
    # What the checks need and is not there: other array libraries, pandas.
    may_skip = {
        "check_array_api_input",
        *(f"check_{k}_data_not_an_array" for k in ("regressor", "classifier")),
    }
    assert not [one for one in found if one["status"] not in ("passed", "skipped")]
    assert {one["check_name"] for one in found if one["status"] == "skipped"} <= may_skip


def test_the_same_answers_as_the_heads() -> None:
    x, age, gender = faces(300, 0)
    new = faces(50, 1)[0]
    heads = fit_heads(
        x, Labels(age, gender), fingerprint="f", settings=Settings(kind="linear", folds=5, seed=3)
    )[0]
    expected = heads.predict(new)
    years = AgeHead("linear", folds=5, random_state=3).fit(x, age)
    np.testing.assert_array_equal(years.predict(new), expected.age)
    np.testing.assert_array_equal(
        years.predict_interval(new), np.stack([expected.age_low, expected.age_high], axis=1)
    )
    words = np.where(gender == 1, "m", "f")  # sorted, the second one is asked for
    either = GenderHead("linear", folds=5, random_state=3).fit(x, words)
    np.testing.assert_array_equal(either.predict_proba(new)[:, 1], expected.p_female)
    np.testing.assert_array_equal(either.predict(new), np.where(expected.p_female >= 0.5, "m", "f"))
    assert list(either.classes_) == ["f", "m"]


def test_in_a_search_and_in_a_pipeline() -> None:
    x, age, gender = faces(400, 0)
    search = GridSearchCV(
        AgeHead(folds=3), {"kind": ["linear", "lightgbm"]}, cv=3, scoring="neg_mean_absolute_error"
    ).fit(x, age)
    guess = np.abs(age - np.median(age)).mean()
    assert -search.best_score_ < 0.8 * guess
    low, high = search.best_estimator_.predict_interval(x).T
    assert 0.8 < ((low <= age) & (age <= high)).mean() <= 1
    chain = make_pipeline(StandardScaler(), GenderHead("linear", folds=3))
    assert cross_val_score(chain, x, gender, cv=3).mean() > 0.8


def test_parameters_are_kept_as_given_and_judged_when_fitting() -> None:
    state = np.random.RandomState(0)
    head = AgeHead(kind="no such", folds=1, random_state=state)
    assert head.get_params() == {"kind": "no such", "folds": 1, "random_state": state}
    assert clone(head).kind == "no such"
    x, age, gender = faces(60, 0)
    with pytest.raises(ValueError, match="'no such' is none of boosted, linear, lightgbm"):
        head.fit(x, age)
    with pytest.raises(ValueError, match="folds=1 is not"):
        AgeHead(folds=1).fit(x, age)
    with pytest.raises(ValueError, match="age -1: give years"):
        AgeHead().fit(x, age - age.min() - 1)
    with pytest.raises(ValueError, match="one class only"):
        GenderHead().fit(x, gender * 0)
    with pytest.raises(ValueError, match="Only binary classification"):
        GenderHead().fit(x, np.arange(60) % 3)
    with pytest.raises(NotFittedError):
        GenderHead().predict(x)


def test_they_are_imported_when_asked_for() -> None:
    code = "import sys, arcage; before = 'sklearn' in sys.modules; arcage.AgeHead; assert not before"
    subprocess.run([sys.executable, "-c", code], check=True)
