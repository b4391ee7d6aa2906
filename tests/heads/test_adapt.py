"""Heads that learn a new source of faces: what they gain, and that they forget nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import elsewhere, faces, with_labels

from arcage._version import DISTRIBUTION_SCHEMA
from arcage.errors import HeadsError, UsageError
from arcage.heads.adapt import AdaptedHeads, adapt_heads
from arcage.heads.fit import fit_heads
from arcage.heads.model import Heads, Predictions
from arcage.heads.settings import Settings
from arcage.heads.store import (
    ARRAYS,
    MANIFEST,
    load_heads,
    save_heads,
)
from arcage.types import Labels


def error(predictions: Predictions, age: np.ndarray) -> float:
    return float(np.abs(predictions.age - age).mean())


def covered(predictions: Predictions, age: np.ndarray) -> float:
    return float(((predictions.age_low <= age) & (age <= predictions.age_high)).mean())


@pytest.fixture(scope="module")
def base(fitted: Heads) -> Heads:
    return fitted


@pytest.fixture(scope="module")
def with_report(base: Heads) -> AdaptedHeads:
    return adapt_heads(base, *with_labels(elsewhere(400, 3)))


@pytest.fixture(scope="module")
def adapted(with_report: AdaptedHeads) -> tuple[Heads, Predictions]:
    return with_report.heads, with_report.out_of_fold


def age_only(made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, Labels]:
    """Made-up faces whose gender is unknown, for tests of ages: to adapt the head of gender takes as long."""
    x, age, _ = made
    return x, Labels(age, np.full(len(age), np.nan, np.float32))


def test_the_new_source_gains_and_the_old_one_loses_nothing(
    base: Heads, adapted: tuple[Heads, Predictions]
) -> None:
    heads, out_of_fold = adapted
    x, age, gender = elsewhere(2000, 4)
    before, after = base.predict(x), heads.predict(x)
    assert error(after, age) < 0.85 * error(before, age)
    # What is promised of the new source from its own faces holds for others of it.
    assert error(out_of_fold, elsewhere(400, 3)[1]) == pytest.approx(error(after, age), rel=0.1)
    assert 0.85 < covered(after, age) < 0.95
    assert abs(covered(after, age) - 0.9) < abs(covered(before, age) - 0.9)
    assert (after.age_low <= after.age).all()
    assert (after.age <= after.age_high).all()

    def loss(predictions: Predictions) -> float:
        return float(-np.log(np.where(gender == 1, predictions.p_female, 1 - predictions.p_female)).mean())

    assert loss(after) < loss(before)
    x, age, gender = faces(2000, 5)
    before, after = base.predict(x), heads.predict(x)
    assert error(after, age) < 1.03 * error(before, age)
    assert abs(covered(after, age) - covered(before, age)) < 0.02
    assert (
        abs(((after.p_female >= 0.5) == gender).mean() - ((before.p_female >= 0.5) == gender).mean()) < 0.01
    )


def test_a_few_wrong_labels_do_not_decide(base: Heads, adapted: tuple[Heads, Predictions]) -> None:
    x, age, gender = elsewhere(400, 3)
    wrong = np.where(np.arange(400) % 10 == 0, np.float32(90), age)
    spoiled = adapt_heads(base, *age_only((x, wrong, gender)))[0]
    x, age, gender = elsewhere(2000, 4)
    clean = error(adapted[0].predict(x), age)
    assert error(spoiled.predict(x), age) < clean + 0.15 * (error(base.predict(x), age) - clean)


def test_what_cannot_be_learnt_is_left_alone(base: Heads) -> None:
    """Ages that have nothing to do with the faces: whoever saw the face it answers would look better."""
    x, age, gender = elsewhere(400, 3)
    wild = np.random.default_rng(0).permutation(age)
    _, out_of_fold, _ = adapt_heads(base, *age_only((x, wild, gender)))
    assert error(out_of_fold, wild) > 0.95 * np.abs(wild - np.median(wild)).mean()
    # Where the heads are right already, nothing is made worse.
    own = faces(400, 8)
    heads, out_of_fold, _ = adapt_heads(base, *age_only(own))
    assert error(out_of_fold, own[1]) < 1.03 * error(base.predict(own[0]), own[1])
    x, age, _ = faces(2000, 5)
    assert error(heads.predict(x), age) < 1.03 * error(base.predict(x), age)


def test_an_attribute_without_labels_is_left_alone(base: Heads) -> None:
    x, age, gender = elsewhere(200, 3)
    unknown = np.full(200, np.nan, np.float32)
    heads, out_of_fold, report = adapt_heads(base, x, Labels(age, unknown))
    assert heads.gender is base.gender
    assert np.isnan(out_of_fold.p_female).all()
    assert list(report) == ["age"]
    heads, out_of_fold, report = adapt_heads(base, x, Labels(unknown, gender))
    assert heads.age is base.age
    assert np.isnan(out_of_fold.age).all()
    assert list(report) == ["gender"]
    lacking = replace(base, gender=None)
    assert adapt_heads(lacking, x, Labels(age, gender))[0].gender is None


def test_it_tells_how(with_report: AdaptedHeads) -> None:
    report = {name: one.as_json() for name, one in with_report.attributes.items()}
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    for one in report.values():
        assert (one["faces"], one["landmarks"]) == (400, 200)
        assert one["old"] < 0.2
    assert report["gender"]["new"] > 0.8
    # Held back.
    assert report["age"]["new"] > 0.6
    assert 0 < report["age"]["moved"] < 2


@pytest.mark.parametrize("years", [0.01, 0.5, 3])
def test_forgetting_as_asked(base: Heads, years: float) -> None:
    adapted = adapt_heads(base, *age_only(elsewhere(400, 3)), forget=years).attributes
    assert adapted["age"].moved == pytest.approx(years)


def test_the_new_source_alone(base: Heads) -> None:
    gate_open, _, report = adapt_heads(base, *age_only(elsewhere(400, 3)), forget=100)
    assert report["age"].new > 0.999
    assert report["age"].old > 0.999
    old = faces(2000, 5)
    assert error(gate_open.predict(old[0]), old[1]) > 1.5 * error(base.predict(old[0]), old[1])


def test_what_is_forgotten_is_bounded(base: Heads) -> None:
    """Middle ages, which look like their neighbours: whoever learns that all are in them errs on these."""

    def some(n: int, seed: int, narrow: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, age, gender = faces(n, seed)
        inside = ((age > 40) & (age < 50)) == narrow
        return x[inside], age[inside], gender[inside]

    mine, others, rest = some(4000, 3, True), some(4000, 4, True), some(2000, 5, False)
    assert len(mine[0]) > 300
    free, _, free_told = adapt_heads(base, *with_labels(mine), forget=50)
    bound, _, report = adapt_heads(base, *with_labels(mine))
    assert free_told["age"].moved > 1
    assert report["age"].moved == pytest.approx(0.25, abs=0.01)
    before, freely, bounded = (error(h.predict(rest[0]), rest[1]) for h in (base, free, bound))
    assert before < bounded < before + 0.25 < freely
    before, freely, bounded = (error(h.predict(others[0]), others[1]) for h in (base, free, bound))
    assert freely < bounded < before
    np.testing.assert_array_equal(free.predict(rest[0]).p_female, bound.predict(rest[0]).p_female)


def test_adapted_heads_are_kept(base: Heads, adapted: tuple[Heads, Predictions], tmp_path: Path) -> None:
    heads = adapted[0]
    save_heads(heads, tmp_path / "new", "card")
    save_heads(base, tmp_path / "old", "card")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(
        p.name for p in (tmp_path / "old").iterdir()
    )
    for folder in ("old", "new"):
        assert json.loads((tmp_path / folder / MANIFEST).read_text())["schema"] == DISTRIBUTION_SCHEMA
    loaded = load_heads(tmp_path / "new")
    x = np.concatenate([elsewhere(100, 6)[0], faces(100, 6)[0]])
    for field in ("age", "age_low", "age_high", "p_female", "quantiles"):
        now, then = (getattr(one.predict(x), field) for one in (loaded, heads))
        np.testing.assert_allclose(now, then, rtol=1e-5, atol=1e-4)
    assert loaded.adapted
    assert not load_heads(tmp_path / "old").adapted


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("age.new.gate.linear.weights", np.zeros((3, 1))),
        ("age.new.change.linear.weights", np.zeros((3, 1))),
        ("age.new.change.linear.weights", None),
        ("age.new.lowest", np.zeros(2)),
        ("age.new.highest", None),
        ("age.new.scores", np.zeros((3, 0))),
        ("age.new.scores", np.zeros(4)),
        ("age.new.scores", None),
        ("age.new.centers", None),
        ("gender.new.curves", np.zeros((3, 4))),
        ("gender.new.curves", np.zeros(4)),
        ("gender.new.gate.linear.mean", np.zeros(1)),
    ],
)
def test_damaged_adaptations_are_refused(
    adapted: tuple[Heads, Predictions], tmp_path: Path, key: str, value: np.ndarray | None
) -> None:
    import hashlib

    save_heads(adapted[0], tmp_path, "card")
    arrays = dict(np.load(tmp_path / ARRAYS))
    del arrays[key]
    if value is not None:
        arrays[key] = value
    np.savez(tmp_path / ARRAYS, **arrays)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["arrays"]["sha256"] = hashlib.sha256((tmp_path / ARRAYS).read_bytes()).hexdigest()
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(HeadsError, match="are damaged"):
        load_heads(tmp_path)


def test_what_cannot_be_adapted(base: Heads, adapted: tuple[Heads, Predictions]) -> None:
    new = with_labels(elsewhere(200, 3))
    with pytest.raises(UsageError, match="for a source already: start again from those"):
        adapt_heads(adapted[0], *new)
    linear = fit_heads(*with_labels(faces(200, 0)), fingerprint="f", settings=Settings(kind="linear"))[0]
    with pytest.raises(UsageError, match="only boosted heads can be adapted"):
        adapt_heads(linear, *new)
    with pytest.raises(UsageError, match="only 40 faces have a label for age"):
        adapt_heads(base, *with_labels(elsewhere(40, 3)))
    with pytest.raises(UsageError, match="fewer than 10 persons"):
        adapt_heads(base, new[0], replace(new[1], person=np.arange(200) % 9))


def test_persons_stay_on_one_side(base: Heads) -> None:
    """Copies of a face answer for each other unless they are known to be one person."""
    x, age, gender = elsewhere(60, 3)
    age = np.random.default_rng(0).permutation(age)
    who = np.repeat(np.arange(60), 8)
    many, labels = age_only((x[who], age[who], gender[who]))
    apart = adapt_heads(base, many, labels).out_of_fold
    together = adapt_heads(base, many, replace(labels, person=who)).out_of_fold
    assert error(apart, labels.age) < 0.95 * error(together, labels.age)
