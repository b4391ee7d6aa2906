"""Figures against numbers worked out by hand."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from arcage.evaluation.metrics import (
    FEW,
    as_table,
    compute_metrics,
    evaluate,
    per_face_metrics,
    worst_subgroups,
)
from arcage.heads.model import Predictions
from arcage.types import Labels

NAN = float("nan")
NAMES = ["n_age", "mae", "median", "bias", "cs5", "coverage", "width", "n_gender", "gender_accuracy", "ece"]


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def predictions(*rows: tuple[float, float, float, float]) -> Predictions:
    """From age, age_low, age_high, p_female for each face."""
    return Predictions(*np.array(rows, np.float32).reshape(-1, 4).T)


#                       age low high p    label: age gender
PREDICTIONS = predictions(
    (10.0, 8.0, 12.0, 0.9),  # 12 female: off by -2, on the upper end
    (25.0, 20.0, 30.0, 0.2),  # 20 male: off by +5, on the lower end
    (31.0, 30.0, 40.0, 0.6),  # 41 male: off by -10, above
    (44.0, 30.0, 50.0, 0.5),  # 43 female: off by +1; one half is female
)
AGE = floats(12, 20, 41, 43)
GENDER = floats(1, 0, 0, 1)
GROUP = np.array(["b", "a", "", "b"])
LABELS = Labels(AGE, GENDER)


def test_metrics_by_hand() -> None:
    out = compute_metrics(PREDICTIONS, LABELS)
    assert list(out) == NAMES
    expected = {
        "n_age": 4,
        "mae": (2 + 5 + 10 + 1) / 4,
        "median": 3.5,
        "bias": (-2 + 5 - 10 + 1) / 4,
        "cs5": 0.75,  # an error of exactly five years counts
        "coverage": 0.75,  # and so do both ends of the interval
        "width": (4 + 10 + 10 + 20) / 4,
        "n_gender": 4,
        "gender_accuracy": 0.75,
        # Each probability has a bin of its own.
        "ece": (0.1 + 0.2 + 0.6 + 0.5) / 4,
    }
    assert out == pytest.approx(expected)
    for name in ("n_age", "n_gender"):
        assert type(out[name]) is int
    assert all(type(value) in (int, float) for value in out.values()), "NumPy's numbers are no JSON"


def test_the_error_of_calibration() -> None:
    def ece(p: list[float], female: list[float]) -> float | int | None:
        rows = [(NAN, NAN, NAN, value) for value in p]
        return compute_metrics(predictions(*rows), Labels(np.full(len(p), NAN, np.float32), floats(*female)))[
            "ece"
        ]

    # Ten faces of one bin (0.8 to 0.8667), eight of them female; in another two of ten.
    assert ece([0.82] * 10, [1] * 8 + [0] * 2) == pytest.approx(0.02, abs=1e-6)
    assert ece([0.82] * 10 + [0.2] * 10, ([1] * 8 + [0] * 2) + ([1] * 2 + [0] * 8)) == pytest.approx(0.01)
    assert ece([0, 1], [0, 1]) == 0
    assert ece([0, 1], [1, 0]) == 1
    # Errors within a bin cancel, those of two bins do not.
    assert ece([0.51, 0.51], [0, 1]) == pytest.approx(0.01)
    assert ece([0.4, 0.6], [0, 1]) == pytest.approx(0.4)


def test_without_labels_or_without_the_attribute() -> None:
    nothing = np.full(4, NAN, np.float32)
    out = compute_metrics(PREDICTIONS, Labels(nothing, nothing))
    assert out == {**dict.fromkeys(NAMES), "n_age": 0, "n_gender": 0}
    out = compute_metrics(PREDICTIONS, Labels(floats(12, NAN, 41, NAN), floats(NAN, NAN, NAN, 0)))
    assert (out["n_age"], out["mae"], out["n_gender"], out["gender_accuracy"]) == (2, 6, 1, 0)
    no_age = Predictions(nothing, nothing, nothing, PREDICTIONS.p_female)
    out = compute_metrics(no_age, LABELS)
    assert (out["n_age"], out["mae"], out["coverage"], out["n_gender"]) == (0, None, None, 4)
    no_gender = Predictions(PREDICTIONS.age, PREDICTIONS.age_low, PREDICTIONS.age_high, nothing)
    out = compute_metrics(no_gender, LABELS)
    assert (out["n_age"], out["n_gender"], out["gender_accuracy"], out["ece"]) == (4, 0, None, None)


def test_the_parts_of_a_report() -> None:
    report = evaluate(PREDICTIONS, Labels(AGE, GENDER, GROUP))
    assert list(report) == ["overall", "age_bands", "genders", "groups", "sources"]
    assert report["overall"] == compute_metrics(PREDICTIONS, LABELS)
    bands = {name: row["n_age"] for name, row in report["age_bands"].items()}
    assert bands == {"10-19": 1, "20-29": 1, "40-49": 2, "10 and older": 4}
    assert report["age_bands"]["40-49"]["mae"] == 5.5
    assert report["genders"]["male"]["mae"] == 7.5
    assert report["genders"]["female"]["gender_accuracy"] == 1
    assert report["genders"]["male"]["gender_accuracy"] == 0.5
    # Among females alone, 60 % sure can never be right 60 % of the time.
    assert report["genders"]["female"]["ece"] is None
    assert list(report["groups"]) == ["a", "b"]
    assert report["groups"]["b"] == compute_metrics(
        predictions((10, 8, 12, 0.9), (44, 30, 50, 0.5)), Labels(floats(12, 43), floats(1, 1))
    )
    assert evaluate(PREDICTIONS, LABELS)["groups"] == {}
    assert evaluate(PREDICTIONS, Labels(AGE, GENDER, np.full(4, "")))["groups"] == {}


def test_the_ends_of_age_bands() -> None:
    ages = floats(0, 9, 9.5, 10, 19.9, 99, 100, 120)
    rows = predictions(*[(a, a, a, 0.5) for a in ages])
    bands = evaluate(rows, Labels(ages, np.full(8, NAN, np.float32)))["age_bands"]
    assert {name: row["n_age"] for name, row in bands.items()} == {
        "0-9": 3,
        "10-19": 2,
        "90-99": 1,
        "100-109": 1,
        "120-129": 1,
        "10 and older": 5,
    }
    children = evaluate(predictions((1, 0, 2, 0.5)), Labels(floats(3), floats(1)))["age_bands"]
    assert list(children) == ["0-9"]
    # Ages unknown, genders known: no bands, and no warning about them.
    unknown = evaluate(PREDICTIONS, Labels(np.full(4, NAN, np.float32), GENDER))
    assert unknown["age_bands"] == {}
    assert unknown["genders"]["male"]["n_gender"] == 2
    # The gender of faces whose age is known is reported by band as well.
    assert evaluate(PREDICTIONS, LABELS)["age_bands"]["10 and older"]["n_gender"] == 4


def test_no_faces() -> None:
    report = evaluate(predictions(), Labels(floats(), floats(), np.array([], np.str_)))
    assert report["overall"]["n_age"] == report["overall"]["n_gender"] == 0
    assert report["age_bands"] == report["genders"] == report["groups"] == {}
    assert as_table(report).splitlines()[1].split() == ["all", "0", *"------", "0", "-", "-"]


def test_a_report_is_json() -> None:
    age, gender = AGE.copy(), GENDER.copy()
    age[1] = gender[2] = NAN
    for report in (
        evaluate(PREDICTIONS, Labels(AGE, GENDER, GROUP)),
        evaluate(PREDICTIONS, Labels(age, gender, GROUP)),
        evaluate(PREDICTIONS, replace(Labels.empty(4), group=GROUP)),
        evaluate(predictions((NAN, NAN, NAN, NAN)), Labels(floats(30), floats(1))),
    ):
        assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_metrics_are_means_of_values() -> None:
    age = AGE.copy()
    age[1] = NAN
    columns = per_face_metrics(PREDICTIONS, Labels(age, GENDER))
    assert all(value.shape == (4,) and value.dtype == np.float64 for value in columns.values())
    for name, value in columns.items():
        assert np.isnan(value[1]) == (name != "gender_accuracy")
        assert np.nanmean(value) == compute_metrics(PREDICTIONS, Labels(age, GENDER))[name]


def test_the_worst_sets_are_named() -> None:
    n = 2 * FEW + 1
    age = np.repeat(floats(5, 25, 35), [FEW, FEW, 1])
    gender = np.where(np.arange(n) % 2 == 0, 1, 0).astype(np.float32)
    off = np.repeat(floats(1, 3, 50), [FEW, FEW, 1])
    p = np.where((np.arange(n) < 5) & (gender == 1), 0.1, np.where(gender == 1, 0.9, 0.1)).astype(np.float32)
    group = np.repeat(["a", "b", "c"], [FEW, FEW, 1])
    report = evaluate(Predictions(age + off, age, age, p), Labels(age, gender, group))
    # One face with a far larger error is no group, and who is older than ten is no band.
    assert worst_subgroups(report) == {
        "mae": {"age_bands": "20-29", "genders": "female", "groups": "b"},
        "gender_accuracy": {"age_bands": "0-9", "genders": "female", "groups": "a"},
    }
    # A single subgroup is not called the worst.
    alone = evaluate(
        Predictions(age + off, age, age, p), Labels(age, np.full(n, NAN, np.float32), np.full(n, "a"))
    )
    assert worst_subgroups(alone) == {"mae": {"age_bands": "20-29"}, "gender_accuracy": {}}
    assert worst_subgroups(evaluate(predictions(), Labels(floats(), floats()))) == {
        "mae": {},
        "gender_accuracy": {},
    }


def test_as_a_table() -> None:
    lines = as_table(evaluate(PREDICTIONS, Labels(AGE, GENDER, GROUP))).splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == [
        *("with age", "MAE", "median", "bias", "CS@5", "coverage", "width", "with gender", "gender", "ECE")
    ]
    assert re.split(r"\s{2,}", lines[1]) == [
        *("all", "4", "4.50", "3.50", "-1.50", "75.0 %", "75.0 %", "11.0", "4", "75.0 %", "35.0 %")
    ]
    names = [line[:12].strip() for line in lines[2:]]
    assert names == ["10-19", "20-29", "40-49", "10 and older", "male", "female", "a", "b"]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"
    male = next(line for line in lines if line.startswith("male"))
    assert re.split(r"\s{2,}", male)[-3:] == ["2", "50.0 %", "-"]
    thousand = evaluate(
        predictions(*[(30, 20, 40, 0.5)] * 1234), Labels(floats(*[30] * 1234), floats(*[1] * 1234))
    )
    assert "1,234" in as_table(thousand)


def test_many_faces_of_many_groups_take_no_time() -> None:
    n = 100_000
    rng = np.random.default_rng(0)
    age = rng.integers(0, 100, n).astype(np.float32)
    predictions = Predictions(age + 1, age - 5, age + 5, rng.random(n).astype(np.float32))
    group = rng.integers(0, 5_000, n).astype(np.str_)
    start = time.process_time()
    report = evaluate(predictions, Labels(age, rng.integers(0, 2, n).astype(np.float32), group))
    assert time.process_time() - start < 8
    assert len(report["groups"]) == 5_000
    assert sum(row["n_age"] for row in report["groups"].values()) == n
    assert report["overall"]["mae"] == pytest.approx(1)
