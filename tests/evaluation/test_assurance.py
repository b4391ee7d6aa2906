"""Age checks on planted distributions, where the right answer is known, and by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from age_checks import EACH, OLDEST, SPREAD, normal, planted, posterior, predictions_of

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
from arcage.heads.distribution import LEVELS
from arcage.heads.model import Predictions
from arcage.types import Labels

IMAGES = {"labelled": 120, "used": 90, "no_face": 6, "unreadable": 4, "contradictory": 20}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    found = age_assurance(*planted(), IMAGES)
    assert found is not None
    return found


def accepted_share(years: np.ndarray, threshold: float) -> float:
    """Return the share of the planted faces of whole years that a threshold accepts."""
    ages = years[:, None] + np.linspace(-0.5, 0.5, 21)
    return float((1 - normal((threshold - ages) / SPREAD)).mean())


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
            share = accepted_share(years, at)
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
        ages = np.arange(20, 35, 0.05)
        shares = np.array([accepted_share(years, at) for at in ages])
        exact = ages[np.argmax(shares <= 0.01)]
        row = needed["age"]["all"][name]
        assert row["threshold"] == pytest.approx(exact, abs=1)
        assert row["threshold_interval"][0] - 0.1 <= exact <= row["threshold_interval"][1] + 0.1
        assert row["accepted"] <= 0.01 * row["minors"]
        adults = 1 - accepted_share(np.arange(18, OLDEST), row["threshold"])
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
    predictions, labels = planted()
    some = np.arange(0, len(labels), 7)
    age, labels = predictions.age[some], labels.select(some)
    overconfident = np.repeat(age[:, None], len(LEVELS), axis=1)
    shifted = posterior(age) + 4
    for quantiles in (overconfident, shifted):
        report = age_assurance(predictions_of(age, quantiles), labels, IMAGES)
        assert report is not None
        assert report["reliability"]["18"]["ece"] > 0.03
    assert report["reliability"]["18"]["uncertain"]["ece"] > 0.1


def test_a_probability_accepts_those_it_is_low_for(report: dict[str, Any]) -> None:
    predictions, labels = planted()
    p = predictions.p_under(18)
    teens = (labels.age >= 13) & (labels.age < 18)
    for at in PROBABILITIES:
        rows = report["rules"][BY_PROBABILITY][str(at)]
        assert rows["accepted"][TEENS]["number"] == (p[teens] <= at).sum()
        assert rows["challenged"][ADULTS]["number"] == (p[labels.age >= 18] > at).sum()
        # Minors are at most this share of those accepted, not this share of the minors.
        assert 0 < (labels.age[p <= at] < 18).mean() <= at


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
) -> tuple[Predictions, Labels]:
    """Return teens with predictions of 10, 11, ... years, and adults of 40 years."""
    age = np.concatenate([np.full(teens, teen), np.full(adults, 40)]).astype(np.float32)
    predicted = np.concatenate([10 + np.arange(teens), np.full(adults, 41)]).astype(np.float32)
    return predictions_of(predicted), Labels(age, np.full(len(age), np.nan, np.float32), person=person)


def test_by_hand() -> None:
    predictions, labels = few()
    report = age_assurance(predictions, labels, IMAGES)
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
    labels.age[-1], predictions.age[-1] = 31, 29
    report = age_assurance(predictions, labels, IMAGES)
    assert report is not None
    young = report["rules"]["age"]["30"]["too_young"]
    assert (young["number"], young["largest_error"], young["oldest"]) == (1, -2, 31)


def test_nothing_for_too_few_minors_or_adults() -> None:
    for faces in (few(teens=FEW - 1), few(adults=FEW - 1), few(teen=12.9)):
        assert age_assurance(*faces, IMAGES) is None
    assert age_assurance(Predictions.empty(0), Labels.empty(0), IMAGES) is None


def test_faces_without_a_label_or_a_prediction_do_not_count() -> None:
    predictions, labels = few(teens=FEW + 2)
    predictions.age[0], labels.age[1] = np.nan, np.nan
    report = age_assurance(predictions, labels, IMAGES)
    assert report is not None
    assert report["faces"][TEENS] == FEW


def test_persons_are_resampled() -> None:
    # Three photos of each of ten persons are ten independent observations.
    predictions, labels = few(person=np.concatenate([np.arange(FEW) // 3, 100 + np.arange(FEW)]))
    predictions.age[:FEW] = 5
    report = age_assurance(predictions, labels, IMAGES)
    assert report is not None
    assert report["drawn"] == "persons"
    low, high = report["rules"]["age"]["18"]["accepted"][TEENS]["interval"]
    assert low == 0
    assert (1 - high) ** 10 == pytest.approx(0.025)


def test_few_faces_have_no_share() -> None:
    predictions, labels = few(teens=FEW + FEWEST - 1)
    labels.age[: FEWEST - 1] = 14
    report = age_assurance(predictions, labels, IMAGES)
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
        predictions, labels = few(teens=teens)
        certain = np.full((len(labels), len(LEVELS)), 50, np.float32)
        report = age_assurance(predictions_of(predictions.age, certain), labels, IMAGES)
        assert report is not None
        # One of a hundred may be accepted: the one above 10 + 98 years.
        assert report["needed"]["age"]["all"][TEENS]["threshold"] == (108.1 if has else None)
        # All faces have the same probability: no threshold accepts an adult.
        row = report["needed"][BY_PROBABILITY]["all"][TEENS]
        assert row["challenged"] == (1 if has else None)


def test_rules_in_words() -> None:
    assert rule_text("age", 25) == "age >= 25"
    assert rule_text(BY_PROBABILITY, 0.01) == "p_under_18 <= 0.01"
