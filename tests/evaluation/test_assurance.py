"""Age checks on planted distributions, where the right answer is known, and by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from arcage.evaluation.assurance import (
    ADULTS,
    AGES,
    BY_PROBABILITY,
    FEWEST_MINORS,
    MINORS,
    PROBABILITIES,
    TEENS,
    age_assurance,
    rule_text,
)
from arcage.evaluation.bootstrap import FEWEST
from arcage.evaluation.metrics import FEW
from arcage.types import Labels

IMAGES = {"labelled": 120, "used": 90, "no_face": 6, "unreadable": 4, "contradictory": 20}
SPREAD = 4.0
"""Standard deviation of the planted predictions, years."""
OLDEST = 60
EACH = 300
"""Faces of each year of age."""


def normal(z: np.ndarray) -> np.ndarray:
    """The distribution function of the standard normal distribution."""
    return np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)))(z)


def posterior(predicted: np.ndarray, at: int) -> np.ndarray:
    """The probability that a face of the planted faces is younger than ``at``, by Bayes' rule."""
    years = np.arange(OLDEST)
    likelihood = np.exp(-0.5 * ((predicted[:, None] - years) / SPREAD) ** 2)
    return (likelihood[:, years < at].sum(axis=1) / likelihood.sum(axis=1)).astype(np.float32)


def planted() -> tuple[np.ndarray, Labels]:
    rng = np.random.default_rng(0)
    age = np.repeat(np.arange(OLDEST), EACH).astype(np.float32)
    predicted = (age + rng.normal(0, SPREAD, len(age))).astype(np.float32)
    gender = (np.arange(len(age)) % 2).astype(np.float32)
    return predicted, Labels(age, gender, np.where(age % 3 == 0, "a", "b"))


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    predicted, labels = planted()
    under = {at: posterior(predicted, at) for at in AGES}
    found = age_assurance(predicted, labels, IMAGES, p_under=under)
    assert found is not None
    return found


def accepted_share(age: np.ndarray | float, threshold: float) -> np.ndarray:
    return 1 - normal((threshold - np.asarray(age)) / SPREAD)


def test_the_share_of_each_year_is_the_planted_one(report: dict[str, Any]) -> None:
    inside = total = 0
    for at in AGES:
        rows = report["rules"]["age"][str(at)]
        assert [*rows["accepted"]] == [*map(str, range(18)), TEENS, MINORS]
        assert [*rows["challenged"]] == [*map(str, range(18, 31)), ADULTS]
        for name, cell in {**rows["accepted"], **rows["challenged"]}.items():
            years = {
                TEENS: np.arange(13, 18),
                MINORS: np.arange(18),
                ADULTS: np.arange(18, OLDEST),
            }.get(name, np.array([int(name) if name.isdigit() else 0]))
            share = float(accepted_share(years, at).mean())
            if name in rows["challenged"]:
                share = 1 - share
            assert cell["faces"] == EACH * len(years)
            assert cell["share"] == cell["number"] / cell["faces"]
            # Four standard deviations.
            assert cell["share"] == pytest.approx(share, abs=4 * math.sqrt(share / cell["faces"]) + 1e-3)
            inside += cell["interval"][0] <= share <= cell["interval"][1]
            total += 1
    assert inside >= 0.9 * total


def test_the_threshold_for_one_percent(report: dict[str, Any]) -> None:
    needed = report["needed"]
    for name, years in ((TEENS, np.arange(13, 18)), (MINORS, np.arange(18))):
        ages = np.arange(15, 40, 0.01)
        shares = np.array([accepted_share(years, at).mean() for at in ages])
        exact = ages[np.argmax(shares <= 0.01)]
        row = needed["age"]["all"][name]
        assert row["threshold"] == pytest.approx(exact, abs=1)
        assert row["threshold_interval"][0] - 0.1 <= exact <= row["threshold_interval"][1] + 0.1
        assert row["accepted"] <= 0.01 * row["minors"]
        adults = 1 - accepted_share(np.arange(18, OLDEST), row["threshold"]).mean()
        assert row["challenged"] == pytest.approx(adults, abs=0.02)
        assert row["challenged_interval"][0] < row["challenged"] < row["challenged_interval"][1]
        # The probability is a function of the prediction, so both rules have the same best choice.
        by_probability = needed[BY_PROBABILITY]["all"][name]
        assert by_probability["challenged"] == pytest.approx(row["challenged"], abs=0.03)
    assert needed["age"]["all"][TEENS]["threshold"] > needed["age"]["all"][MINORS]["threshold"]
    for kind, names in (("genders", ["male", "female"]), ("groups", ["a", "b"])):
        assert [*needed["age"][kind]] == names
    assert needed["age"]["genders"]["male"]["minors"] == 5 * EACH / 2


def test_probabilities_that_are_true_are_calibrated(report: dict[str, Any]) -> None:
    assert [*report["reliability"]] == [*map(str, AGES)]
    for row in report["reliability"].values():
        assert row["faces"] == OLDEST * EACH
        assert row["ece"] < 0.01
        assert row["uncertain"]["ece"] < 0.02
        assert 0.1 < row["uncertain"]["faces"] / row["faces"] < 0.6
        assert sum(point["faces"] for point in row["bins"]) == row["faces"]
        for point in row["bins"]:
            assert point["from"] <= point["p"] <= point["to"]
            assert point["share"] == pytest.approx(point["p"], abs=4 * math.sqrt(0.25 / point["faces"]))


def test_probabilities_that_are_false_are_not() -> None:
    predicted, labels = planted()
    some = np.arange(0, len(predicted), 7)
    predicted, labels = predicted[some], labels.select(some)
    overconfident = (predicted < 18).astype(np.float32)
    shifted = posterior(predicted + 4, 18)
    for p in (overconfident, shifted):
        report = age_assurance(predicted, labels, IMAGES, p_under={18: p})
        assert report is not None
        assert report["reliability"]["18"]["ece"] > 0.03
    assert report["reliability"]["18"]["uncertain"]["ece"] > 0.1


def test_a_probability_accepts_those_it_is_low_for(report: dict[str, Any]) -> None:
    predicted, labels = planted()
    p = posterior(predicted, 18)
    for at in PROBABILITIES:
        rows = report["rules"][BY_PROBABILITY][str(at)]
        teens = (labels.age >= 13) & (labels.age < 18)
        assert rows["accepted"][TEENS]["number"] == (p[teens] <= at).sum()
        assert rows["challenged"][ADULTS]["number"] == (p[labels.age >= 18] > at).sum()
        # Minors are p at most of those accepted, not p of the minors.
        assert labels.age[p <= at].min() < 18
        assert (labels.age[p <= at] < 18).mean() <= at


def test_the_curves_go_from_all_to_none(report: dict[str, Any]) -> None:
    for rule, points in report["curves"].items():
        accepted, challenged = ([point[name] for point in points] for name in ("accepted", "challenged"))
        assert accepted == sorted(accepted, reverse=True)
        assert challenged == sorted(challenged)
        at = {point["threshold"]: point for point in points}
        shown = 25.0 if rule == "age" else 1.0
        if rule == "age":
            row = report["rules"]["age"]["25"]
            assert at[shown]["accepted"] == pytest.approx(row["accepted"][TEENS]["share"])
            assert at[shown]["challenged"] == pytest.approx(row["challenged"][ADULTS]["share"])
        else:
            assert (at[shown]["accepted"], at[shown]["challenged"]) == (1, 0)


def test_the_report_can_be_written_as_json(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["faces"] == {TEENS: 5 * EACH, MINORS: 18 * EACH, ADULTS: (OLDEST - 18) * EACH}
    assert report["drawn"] == "faces"
    assert report["mae"]["years"]["cells_used"] == 26
    expected = SPREAD * math.sqrt(2 / math.pi)
    assert report["mae"]["years"]["mae"] == pytest.approx(expected, abs=0.15)
    assert report["mae"]["decades"]["cells_used"] == 12


def few(
    teens: int = FEW, adults: int = FEW, teen: float = 16.0, person: np.ndarray | None = None
) -> tuple[np.ndarray, Labels]:
    """Return teens with predictions of 10, 11, ... years, and adults of 40 years."""
    age = np.concatenate([np.full(teens, teen), np.full(adults, 40)]).astype(np.float32)
    predicted = np.concatenate([10 + np.arange(teens), np.full(adults, 41)]).astype(np.float32)
    return predicted, Labels(age, np.full(len(age), np.nan, np.float32), person=person)


def test_by_hand() -> None:
    predicted, labels = few()
    report = age_assurance(predicted, labels, IMAGES)
    assert report is not None
    assert [*report["rules"]] == ["age"]
    assert report["reliability"] == {}
    rows = report["rules"]["age"]["25"]
    # 25, 26, ... 39 of 10, 11, ... 39.
    cell = rows["accepted"]["16"]
    assert (cell["faces"], cell["number"], cell["share"]) == (30, 15, 0.5)
    assert rows["accepted"][TEENS] == rows["accepted"][MINORS] == cell
    assert rows["accepted"]["12"] == {"faces": 0, "number": 0, "share": None, "interval": None}
    assert rows["too_old"] == {
        "number": 15,
        "median_error": 32 - 16,
        "largest_error": 39 - 16,
        "youngest": 16,
    }
    young = rows["too_young"]
    assert (young["faces"], young["number"], young["share"], young["median_error"]) == (30, 0, 0, None)
    assert rows["by"] == {"genders": {}, "groups": {}}
    assert report["needed"]["age"]["all"][TEENS]["threshold"] is None
    below = report["rules"]["age"]["30"]
    assert below["too_young"]["largest_error"] is None
    labels.age[-1], predicted[-1] = 31, 29
    report = age_assurance(predicted, labels, IMAGES)
    assert report is not None
    young = report["rules"]["age"]["30"]["too_young"]
    assert (young["number"], young["largest_error"], young["oldest"]) == (1, -2, 31)


def test_nothing_for_too_few_minors_or_adults() -> None:
    for faces in (few(teens=FEW - 1), few(adults=FEW - 1), few(teen=12.9)):
        assert age_assurance(*faces, IMAGES) is None
    assert age_assurance(np.empty(0, np.float32), Labels.empty(0), IMAGES) is None


def test_faces_without_a_label_or_a_prediction_do_not_count() -> None:
    predicted, labels = few(teens=FEW + 2)
    predicted[0], labels.age[1] = np.nan, np.nan
    report = age_assurance(predicted, labels, IMAGES)
    assert report is not None
    assert report["faces"][TEENS] == FEW


def test_persons_are_resampled() -> None:
    # Three photos of each of ten persons are ten independent observations.
    predicted, labels = few(person=np.concatenate([np.arange(FEW) // 3, 100 + np.arange(FEW)]))
    predicted[:FEW] = 5
    report = age_assurance(predicted, labels, IMAGES)
    assert report is not None
    assert report["drawn"] == "persons"
    low, high = report["rules"]["age"]["18"]["accepted"][TEENS]["interval"]
    assert low == 0
    assert (1 - high) ** 10 == pytest.approx(0.025)


def test_few_faces_have_no_share() -> None:
    predicted, labels = few(teens=FEW + FEWEST - 1)
    labels.age[: FEWEST - 1] = 14
    report = age_assurance(predicted, labels, IMAGES)
    assert report is not None
    cell = report["rules"]["age"]["18"]["accepted"]["14"]
    assert (cell["faces"], cell["number"], cell["share"]) == (FEWEST - 1, 1, None)
    assert cell["interval"] is None


def test_failure_to_process() -> None:
    report = age_assurance(*few(), IMAGES)
    assert report is not None
    row = report["failure_to_process"]
    assert (row["faces"], row["number"], row["no_face"], row["unreadable"]) == (100, 10, 6, 4)
    assert row["share"] == 0.1
    assert row["interval"][0] < 0.1 < row["interval"][1]


def test_no_threshold_if_the_minors_are_too_few_or_cannot_be_told() -> None:
    for teens, has in ((FEWEST_MINORS - 1, False), (FEWEST_MINORS, True)):
        predicted, labels = few(teens=teens)
        report = age_assurance(predicted, labels, IMAGES, p_under={18: np.zeros(len(predicted), np.float32)})
        assert report is not None
        # One of a hundred is accepted from the highest but one, 10 + 98 years, exclusively.
        assert report["needed"]["age"]["all"][TEENS]["threshold"] == (108.1 if has else None)
        assert report["needed"][BY_PROBABILITY]["all"][TEENS]["threshold"] is None


def test_heads_without_a_distribution() -> None:
    predicted, labels = few()
    unknown = np.full(len(predicted), np.nan, np.float32)
    report = age_assurance(predicted, labels, IMAGES, p_under=dict.fromkeys(AGES, unknown))
    assert report == age_assurance(predicted, labels, IMAGES)


def test_rules_in_words() -> None:
    assert rule_text("age", 25) == "age >= 25"
    assert rule_text(BY_PROBABILITY, 0.01) == "p_under_18 <= 0.01"
