"""Ages are left out, frequent ages thinned and rare faces weighted, among the training faces only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import FAST
from projects import AGE, GENDER, SHARE, X, fit, labelled, made_up

from arcage.data.labelled import LabelledFaces
from arcage.data.sampling import BOUND, Sampling, parse_ages
from arcage.errors import UsageError
from arcage.heads.fit import fit_heads
from arcage.heads.store import ARRAYS, CARD, MANIFEST
from arcage.report.evaluation_page import _sampling
from arcage.report.sampling import sampling_text
from arcage.types import Labels

BAND = (20, 60)


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> LabelledFaces:
    return labelled(made_up(tmp_path_factory.mktemp("made up") / "cache"))


def of_ages(everyone: LabelledFaces, ages: list[float], **changed: Any) -> LabelledFaces:
    return replace(
        everyone.select(np.arange(len(everyone)) < len(ages)), age=np.array(ages, np.float32), **changed
    )


def test_a_range_of_ages() -> None:
    assert parse_ages("0-90") == (0, 90)
    assert parse_ages(" 20-20 ") == (20, 20)
    for text in ("90-0", "20", "-5-10", "a-b", "20-", ""):
        with pytest.raises(UsageError, match="as in 0-90"):
            parse_ages(text)


def test_ages_inside_by_hand(everyone: LabelledFaces) -> None:
    some = of_ages(everyone, [19.9, 20, 60.9, 61, np.nan])
    assert Sampling(ages=BAND).inside(some).tolist() == [False, True, True, False, True]
    assert Sampling().inside(some).all()


def test_thinning_by_hand(everyone: LabelledFaces) -> None:
    weights = np.array([1, 1, 0, 2, 1, np.nan, 1, np.nan], np.float32)
    some = of_ages(everyone, [30, 30.5, 30, 30, 30, 40, np.nan, np.nan], weight=weights)
    weight = Sampling(per_age=2).weight(some, seed=0)
    # One of the five faces of 30 years has no weight and does not count towards the two.
    assert (weight[:5] > 0).sum() == 2
    assert weight[2] == 0
    assert weight[5:].tolist() == [1, 1, 1]
    assert weight.tolist() == Sampling(per_age=2).weight(some, seed=0).tolist()
    draws = {tuple(Sampling(per_age=2).weight(some, seed=seed).tolist()) for seed in range(9)}
    assert len(draws) > 1


def test_balancing_ages_by_hand(everyone: LabelledFaces) -> None:
    ages = [20.0] * 10 + [21.0] * 10 + [50.0] * 5 + [90.0] + [np.nan]
    table = np.full(len(ages), np.nan, np.float32)
    table[20] = 0.5
    weight = Sampling(balance="age").weight(of_ages(everyone, ages, weight=table), seed=0)
    assert weight[:20].tolist() == [1] * 20  # the typical age, counted with its neighbours
    assert weight[20] == pytest.approx(0.5 * 4)  # the table's weight times 20 / 5
    assert weight[21:25].tolist() == [4] * 4
    assert weight[25] == BOUND  # not 20
    assert weight[26] == 1


def test_balancing_sources_by_hand(everyone: LabelledFaces) -> None:
    source = np.array(["a"] * 6 + ["b"] * 2 + ["c"])
    some = of_ages(everyone, [30.0] * 9, source=source, weight=np.full(9, np.nan, np.float32))
    weight = Sampling(balance="source").weight(some, seed=0)
    assert weight.tolist() == [1] * 6 + [3] * 2 + [4]
    with pytest.raises(UsageError, match="needs several `labels`"):
        Sampling(balance="source").check(everyone)


def test_nothing_changes_by_default(everyone: LabelledFaces) -> None:
    assert Sampling().weight(everyone, seed=0).tolist() == [1] * 400
    assert not Sampling().options


def test_labels_without_ages_are_refused(everyone: LabelledFaces) -> None:
    nothing = replace(everyone, age=np.full(400, np.nan, np.float32))
    for sampling in (Sampling(ages=BAND), Sampling(per_age=5), Sampling(balance="age")):
        with pytest.raises(UsageError, match="no face has an age"):
            sampling.check(nothing)


def test_faces_without_weight_are_predicted_and_not_fitted_on() -> None:
    """Wrong labels of faces without weight do not change any prediction."""
    excluded = np.arange(400) % 4 == 0
    weight = np.where(excluded, 0, 1).astype(np.float32)
    answers = []
    for labels in (AGE, np.where(excluded, 110 - AGE, AGE).astype(np.float32)):
        heads, seen = fit_heads(X, Labels(labels, GENDER), fingerprint="f", settings=FAST, weight=weight)
        answers.append((seen.age, heads.predict(X).age))
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(answers[0][0]).all()


def test_the_effect_of_each_option_is_reported(everyone: LabelledFaces, tmp_path: Path) -> None:
    sampling = Sampling(ages=BAND, per_age=3, balance="age")
    fitted = fit(everyone, tmp_path / "all", holdout=SHARE, sampling=sampling)
    manifest = json.loads((tmp_path / "all" / MANIFEST).read_text("utf-8"))["sampling"]
    assert (manifest["ages"], manifest["per_age"], manifest["balance"]) == ([20, 60], 3, "age")
    inside = (AGE >= 20) & (AGE < 61)
    assert manifest["outside"] == (~inside).sum()
    assert list(manifest["effects"]) == ["--ages 20-60", "--per-age 3", "--balance age"]
    assert fitted.held_out is not None
    for effect in manifest["effects"].values():
        # Both are evaluated on the same held-out faces; b are the heads that were written.
        assert effect["overall"]["mae"]["faces"] == fitted.held_out["overall"]["n_age"]
        assert effect["overall"]["mae"]["b"] == pytest.approx(fitted.held_out["overall"]["mae"])
        assert effect["overall"]["mae"]["a"] != effect["overall"]["mae"]["b"]
        assert "20-29" in effect["age_bands"]
        assert list(effect["genders"]) == ["male", "female"]
    assert "0-9" not in fitted.held_out["age_bands"]
    card = (tmp_path / "all" / CARD).read_text("utf-8")
    assert f"{(~inside).sum():,} faces outside the ages 20 to 60 are left out" in card
    assert "MAE is not comparable with that of all ages" in card
    assert "--balance age, without and with it:\n" in card
    training = fitted.heads.manifest["training"]
    assert training["faces"] + manifest["thinned"] + training["held_out"] == inside.sum()
    assert "with - without" in sampling_text(manifest)
    assert "with - without" not in sampling_text(manifest, tables=False)
    assert "Selection of the training faces" in _sampling(manifest)
    assert _sampling(None) == ""


def test_without_the_option_the_other_heads_are_those_of_a_fit_without_it(
    everyone: LabelledFaces, tmp_path: Path
) -> None:
    """By cross-fitting: the comparison uses the metrics of a separate fit on the same faces."""
    plain = fit(everyone, tmp_path / "plain")
    balanced = fit(everyone, tmp_path / "balanced", sampling=Sampling(balance="age"))
    effect = balanced.heads.manifest["sampling"]["effects"]["--balance age"]
    assert effect["overall"]["mae"]["a"] == pytest.approx(plain.out_of_fold["overall"]["mae"])
    assert effect["overall"]["mae"]["b"] == pytest.approx(balanced.out_of_fold["overall"]["mae"])
    assert "sampling" not in plain.heads.manifest
    trimmed = fit(everyone, tmp_path / "trimmed", sampling=Sampling(ages=BAND))
    effect = trimmed.heads.manifest["sampling"]["effects"]["--ages 20-60"]
    bands = [plain.out_of_fold["age_bands"][band] for band in ("20-29", "30-39", "40-49", "50-59")]
    by_hand = sum(row["mae"] * row["n_age"] for row in bands) / sum(row["n_age"] for row in bands)
    assert effect["overall"]["mae"]["a"] == pytest.approx(by_hand, rel=0.05)


def test_held_out_faces_stay_the_same(everyone: LabelledFaces, tmp_path: Path) -> None:
    """They are neither thinned nor weighted, and not fitted on."""
    fitted = fit(everyone, tmp_path / "a", holdout=SHARE, sampling=Sampling(per_age=2, balance="age"))
    assert fitted.held_out is not None
    excluded = everyone.held_out(SHARE)
    assert fitted.held_out["overall"]["n_age"] == excluded.sum()
    absurd = replace(everyone, age=np.where(excluded, 120 - everyone.age, everyone.age).astype(np.float32))
    fit(absurd, tmp_path / "b", holdout=SHARE, sampling=Sampling(per_age=2, balance="age"))
    assert (tmp_path / "a" / ARRAYS).read_bytes() == (tmp_path / "b" / ARRAYS).read_bytes()


def test_no_face_of_these_ages(everyone: LabelledFaces, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="widen `ages`"):
        fit(everyone, tmp_path, sampling=Sampling(ages=(118, 120)))
