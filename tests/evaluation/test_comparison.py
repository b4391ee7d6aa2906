"""Two heads on the same faces: which one is better, and when the difference is not significant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from projects import SHARE, Run

from arcage.evaluation.bootstrap import interval
from arcage.evaluation.comparison import COMPARED, as_text, compare
from arcage.heads.model import Predictions
from arcage.types import Labels

RNG = np.random.default_rng(0)
N = 400
AGE = RNG.integers(1, 40, N).astype(np.float32)
GENDER = RNG.integers(0, 2, N).astype(np.float32)
GROUP = RNG.choice(["a", "b", ""], N)
NOISE = RNG.normal(0, 5, N)
PERSONS = np.arange(N) // 2


def predictions(error: np.ndarray, right: np.ndarray | float = 1.0, half: float = 8) -> Predictions:
    age = (AGE + error).astype(np.float32)
    p_female = np.where(np.asarray(right) > 0, GENDER, 1 - GENDER).astype(np.float32)
    return Predictions(age, age - half, age + half, p_female)


def test_a_small_lead_that_the_pairing_shows() -> None:
    """Both err by years; that one errs a tenth less everywhere is certain, and by how much."""
    report = compare(predictions(NOISE), predictions(0.9 * NOISE), Labels(AGE, GENDER, GROUP))
    mae = report["overall"]["mae"]
    lead = 0.1 * np.abs(NOISE).mean()
    assert mae["better"] == "B"
    assert mae["difference"] == pytest.approx(-lead, rel=1e-4)
    assert mae["low"] < -lead < mae["high"] < 0
    assert mae["b"] - mae["a"] == pytest.approx(mae["difference"])
    # Without the pairing the intervals overlap.
    apart = [interval(np.abs(k * NOISE)[:, None]) for k in (1, 0.9)]
    assert apart[1][0, 1] > apart[0][0, 0]
    turned = compare(predictions(0.9 * NOISE), predictions(NOISE), Labels(AGE, GENDER, GROUP))["overall"][
        "mae"
    ]
    assert turned["better"] == "A"
    assert (turned["low"], turned["high"]) == pytest.approx((-mae["high"], -mae["low"]))
    assert {row["mae"]["better"] for row in report["groups"].values()} == {"B"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_more_right_is_better_and_wider_is_neither() -> None:
    wrong = np.where(np.arange(N) % 4 == 0, -1, 1)
    report = compare(predictions(NOISE, wrong), predictions(NOISE, 1, half=20), Labels(AGE, GENDER))
    overall = report["overall"]
    assert overall["gender_accuracy"]["better"] == "B"
    assert overall["gender_accuracy"]["difference"] == pytest.approx(0.25)
    assert overall["mae"]["better"] is None
    assert overall["mae"]["low"] == overall["mae"]["high"] == 0
    assert overall["width"]["low"] == pytest.approx(24, abs=1e-4)
    assert overall["coverage"]["low"] > 0
    assert overall["width"]["better"] is overall["coverage"]["better"] is None


def test_a_difference_that_is_not_significant() -> None:
    other = np.random.default_rng(1).permutation(NOISE)
    report = compare(predictions(NOISE), predictions(other), Labels(AGE, GENDER, GROUP))
    assert report["overall"]["mae"]["low"] < 0 < report["overall"]["mae"]["high"]
    assert "age: no significant difference (MAE " in as_text(report)
    few = compare(
        predictions(NOISE),
        predictions(0 * NOISE),
        Labels(AGE, GENDER, np.where(np.arange(N) < 5, "few", "many")),
    )
    assert few["groups"]["few"]["mae"]["low"] is None
    assert few["groups"]["few"]["mae"]["better"] is None
    assert few["groups"]["few"]["mae"]["difference"] < 0
    assert few["groups"]["many"]["mae"]["better"] == "B"


def test_whole_persons_are_drawn() -> None:
    b = 0.95 * NOISE + RNG.normal(size=N)
    by_face = compare(predictions(NOISE), predictions(b), Labels(AGE, GENDER))
    by_person = compare(predictions(NOISE), predictions(b), Labels(AGE, GENDER, person=PERSONS))
    assert (by_face["drawn"], by_person["drawn"]) == ("faces", "persons")
    difference = np.abs(predictions(b).age - AGE.astype(float)) - np.abs(
        predictions(NOISE).age - AGE.astype(float)
    )
    expected = interval(difference[:, None], PERSONS)
    assert expected is not None
    mae = by_person["overall"]["mae"]
    assert [mae["low"], mae["high"]] == pytest.approx(expected[0].tolist())
    assert by_face["overall"]["mae"]["difference"] == mae["difference"]


def test_only_faces_that_both_answer_count() -> None:
    lacking = Predictions(*[np.full(N, np.nan, np.float32)] * 3, predictions(NOISE).p_female)
    age = AGE.copy()
    age[::5] = np.nan
    report = compare(lacking, predictions(NOISE), Labels(age, GENDER))
    assert report["overall"]["mae"] is None
    assert report["overall"]["gender_accuracy"]["faces"] == N
    text = as_text(report)
    assert "MAE" not in text
    assert "gender: no significant difference" in text
    nothing = compare(lacking, predictions(NOISE), Labels(AGE, np.full(N, np.nan, np.float32)))
    assert all(nothing["overall"][name] is None for name in COMPARED)
    assert as_text(nothing).startswith("nothing to compare")
    whole = compare(predictions(NOISE), predictions(0.5 * NOISE), Labels(age, GENDER))
    assert whole["overall"]["mae"]["faces"] == np.isfinite(age).sum()


# The command


def test_the_command(ready: Path, run: Run) -> None:
    made = run(
        "fit", "--cache", "cache", "--labels", "utkface", "--kind", "lightgbm", "--out", "other", "--quiet",
        "--holdout", SHARE,
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    arguments = ("compare", "heads", "other", "--cache", "cache", "--labels", "utkface")
    done = run(*arguments, "--holdout", SHARE)
    assert done.exit_code == 0, done.stderr
    assert "fitted on" not in done.stderr
    assert done.stdout.splitlines()[0].startswith("age: ")
    assert "better" in done.stdout
    assert "years" in done.stdout
    printed = run(*arguments, "--holdout", SHARE, "--format", "json", "--quiet")
    assert not printed.stderr
    report: dict[str, Any] = json.loads(printed.stdout)
    assert report["heads"] == {"A": "heads", "B": "other"}
    assert report["warnings"] == {}
    # The same figures as evaluate gives for each.
    for letter, name in (("a", "heads"), ("b", "other")):
        alone = json.loads(
            run(
                "evaluate", "--heads", name, "--cache", "cache", "--labels", "utkface", "--holdout", SHARE,
                "--json", "--quiet",
            ).stdout
        )  # fmt: skip
        for figure in COMPARED:
            assert report["overall"][figure][letter] == pytest.approx(alone["overall"][figure])
            assert report["overall"][figure]["faces"] in (
                alone["overall"]["n_age"],
                alone["overall"]["n_gender"],
            )


def test_the_command_warns_of_faces_that_a_head_knows(ready: Path, run: Run) -> None:
    done = run("compare", "heads", "heads", "--cache", "cache", "--labels", "utkface")
    assert done.exit_code == 0
    fitted = json.loads(Path("heads", "manifest.json").read_text("utf-8"))["training"]["faces"]
    assert 100 < fitted < 140
    assert (
        f"A: the heads were fitted on {fitted} of these 160 faces: the metrics are too optimistic"
        in done.stderr
    )
    assert "B may have been fitted on these faces" in done.stdout
    assert "age: no significant difference" in done.stdout
    for wrong in (("heads", "nowhere"), ("nowhere", "heads")):
        failed = run("compare", *wrong, "--cache", "cache", "--labels", "utkface")
        assert failed.exit_code == 2
        assert "no such file or folder: nowhere" in failed.stderr
    # The bundled heads are for another pipeline than the made-up one.
    failed = run("compare", "bundled", "heads", "--cache", "cache", "--labels", "utkface")
    assert failed.exit_code == 3
    assert "another version of the pack compact" in failed.stderr
