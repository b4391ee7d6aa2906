"""The heads as scikit-learn estimators."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faces import faces, fit_quickly
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from arcage import AgeHead, GenderHead
from arcage.errors import ForeignFileError, HeadsError
from arcage.heads.fit import fit_heads
from arcage.heads.settings import KINDS, Settings
from arcage.heads.store import load_heads
from arcage.types import Labels


@pytest.mark.parametrize("head", [AgeHead, GenderHead])
@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_finds_no_fault(head: type, kind: str) -> None:
    # scikit-learn marks its own cross-fitted and boosted estimators in the same way.
    reason = "repeated faces get into other folds, and the bounds of trees count rows"
    equivalence = "check_sample_weight_equivalence_on_dense_data"
    found = check_estimator(
        head(kind=kind, folds=3), expected_failed_checks={equivalence: reason}, on_skip=None
    )
    assert len(found) > 50
    # What the checks need and is not there: other array libraries, pandas.
    may_skip = {
        "check_array_api_input",
        "check_sample_weights_pandas_series",
        *(f"check_{k}_data_not_an_array" for k in ("regressor", "classifier")),
    }
    failed = {one["check_name"] for one in found if one["status"] not in ("passed", "skipped")}
    # Constant predictions of few rows are equivalent.
    assert failed <= {equivalence}
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


def test_a_weight_of_0_leaves_a_face_out() -> None:
    x, age, gender = faces(200, 0)
    new = faces(30, 1)[0]
    kept = np.arange(200) % 3 > 0
    weight = kept.astype(float)
    for head, y in ((AgeHead("linear", folds=4), age), (GenderHead("linear", folds=4), gender)):
        zero = head.fit(x, y, weight).heads_.predict(new)
        without = head.fit(x[kept], y[kept]).heads_.predict(new)
        for name in ("age", "age_low", "age_high", "p_female", "familiarity"):
            np.testing.assert_array_equal(getattr(zero, name), getattr(without, name))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_ratios_of_weights_matter(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_quickly(monkeypatch)
    x, age, _ = faces(200, 0)
    head = AgeHead(kind, folds=3)
    expected = head.fit(x, age).predict(x)
    np.testing.assert_allclose(head.fit(x, age, np.full(200, 2.0)).predict(x), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_counts_a_face_so_many_times(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of descriptors that tell nothing, the prediction is the weighted mean (25), or is on its way from there
    to the weighted median (20)."""
    fit_quickly(monkeypatch)
    x = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    age = np.tile([20.0, 40.0], 300)
    weight = np.where(age == 20, 3.0, 1.0)
    repeated = np.repeat(np.arange(600), weight.astype(int))
    head = AgeHead(kind, folds=3)
    heavier = head.fit(x, age, weight).predict(x).mean()
    assert heavier == pytest.approx(25, abs=0.5) if kind == "linear" else 19.9 < heavier < 25.5
    if kind == "linear":  # The leaves of trees have a minimum number of rows, whatever their weight.
        again = head.fit(x[repeated], age[repeated]).predict(x).mean()
        assert again == pytest.approx(heavier, abs=0.2)
    assert head.fit(x, age).predict(x).mean() > heavier + 3


def test_weights_make_a_gender_more_probable() -> None:
    x = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    gender = np.tile([0, 1], 300)
    head = GenderHead("linear", folds=3).fit(x, gender, np.where(gender == 1, 9.0, 1.0))
    assert head.heads_.gender is not None
    assert head.heads_.gender.stack(x)[:, 0].mean() == pytest.approx(0.8, abs=0.05)  # 0.9 - 0.1


def test_weights_in_a_search_and_a_pipeline() -> None:
    x, age, _ = faces(150, 0)
    weight = np.ones(150)
    search = GridSearchCV(AgeHead("linear", folds=3), {"folds": [2, 3]}, cv=2)
    search.fit(x, age, sample_weight=weight)
    chain = make_pipeline(StandardScaler(), AgeHead("linear", folds=3))
    chain.fit(x, age, agehead__sample_weight=weight)
    assert chain.score(x, age, sample_weight=weight) > 0


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ([-1.0] + [1.0] * 59, "[Nn]egative"),
        ([1.0] * 59, "sample_weight"),
        ([1.0] + [0.0] * 59, "1 face; at least 2"),
        ([np.nan] + [1.0] * 59, "NaN"),
        ([1e9] + [1.0] * 59, "weights go from 1 to 1e\\+09"),
    ],
)
def test_weights_that_are_refused(weight: list[float], words: str) -> None:
    x, age, _ = faces(60, 0)
    with pytest.raises(ValueError, match=words):
        AgeHead("linear", folds=3).fit(x, age, weight)


def test_saved_heads_are_those_of_the_commands(tmp_path: Path) -> None:
    x, age, gender = faces(200, 0)
    years = AgeHead("linear", folds=4, random_state=7).fit(x, age)
    either = GenderHead("linear", folds=5).fit(x, gender)
    for first, second in ((years, either), (either, years)):
        first.save(tmp_path / "heads", "f" * 16, second, pack="compact")
        heads = load_heads(tmp_path / "heads")
        heads.check("f" * 16)
        predicted = heads.predict(x)
        np.testing.assert_array_equal(predicted.age, years.predict(x))
        np.testing.assert_array_equal(predicted.p_female, either.predict_proba(x)[:, 1])
    assert "AgeHead and GenderHead" in (tmp_path / "heads" / "model-card.md").read_text()
    assert heads.manifest["pack"] == "compact"
    assert heads.manifest["training"]["ages"] == [age.min(), age.max()]
    loaded = AgeHead.load(tmp_path / "heads", fingerprint="f" * 16)
    assert loaded.get_params() == years.get_params()
    np.testing.assert_array_equal(loaded.predict_interval(x), years.predict_interval(x))
    other = GenderHead.load(tmp_path / "heads")
    np.testing.assert_array_equal(other.predict(x), either.predict(x))
    assert clone(other).fit(x, gender).score(x, gender) > 0.8
    loaded.save(tmp_path / "again", "f" * 16)
    np.testing.assert_array_equal(AgeHead.load(tmp_path / "again").predict(x), years.predict(x))


def test_the_bundled_heads_are_estimators() -> None:
    bundled = load_heads()
    x = np.zeros((2, bundled.dimension), np.float32)
    np.testing.assert_array_equal(AgeHead.load().predict(x), bundled.predict(x).age)
    np.testing.assert_array_equal(GenderHead.load().predict_proba(x)[:, 1], bundled.predict(x).p_female)
    with pytest.raises(ValueError, match="features"):
        AgeHead.load().predict(x[:, :5])


def test_heads_that_are_not_saved_or_loaded(tmp_path: Path) -> None:
    x, age, gender = faces(60, 0)
    years = AgeHead("linear", folds=3).fit(x, age)
    with pytest.raises(NotFittedError):
        AgeHead().save(tmp_path / "a", "f")
    with pytest.raises(NotFittedError):
        years.save(tmp_path / "a", "f", GenderHead())
    with pytest.raises(ValueError, match="same attribute"):
        years.save(tmp_path / "a", "f", years)
    with pytest.raises(ValueError, match="not \\['f', 'm'\\]"):
        GenderHead("linear", folds=3).fit(x, np.where(gender == 1, "m", "f")).save(tmp_path / "a", "f")
    with pytest.raises(ValueError, match="24 and of 5 columns"):
        years.save(tmp_path / "a", "f", GenderHead("linear", folds=3).fit(x[:, :5], gender))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(ForeignFileError):
        years.save(tmp_path / "mine", "f")
    assert not (tmp_path / "a").exists()
    years.save(tmp_path / "heads", "f" * 16)
    with pytest.raises(HeadsError, match="predict no gender"):
        GenderHead.load(tmp_path / "heads")
    with pytest.raises(HeadsError, match="do not fit these descriptors"):
        AgeHead.load(tmp_path / "heads", fingerprint="0" * 16)
    with pytest.raises(HeadsError, match="no folder"):
        AgeHead.load(tmp_path / "b")


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
    with pytest.raises(ValueError, match="data type <U2: give ages as numbers"):
        AgeHead().fit(np.zeros((4, 2)), np.array(["20", "30", "40", "50"]))
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
