"""The steps of a fit, and the errors of its rounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from faces import FAST, faces, with_labels

from arcage.heads.callbacks import LossCurves, Step
from arcage.heads.fit import fit_heads
from arcage.heads.settings import Settings
from arcage.heads.store import ARRAYS, save_heads
from arcage.types import Labels

LOSS = "mean absolute error (years)"


def boosting(model: int, round_: int, error: float | None, rounds: int = 2) -> Step:
    return Step("age", "boosting", model, 3, round_, rounds, LOSS, error)


def test_a_step_in_words() -> None:
    assert str(boosting(2, 1, 4.5)) == f"age: boosting, fold 2 of 2, round 1 of 2, {LOSS} 4.500"
    assert str(boosting(3, 1, None)) == "age: boosting, all faces, round 1 of 2"
    assert str(Step("gender", "kernel stage", 1, 3)) == "gender: kernel stage, fold 1 of 2"


@pytest.mark.parametrize("settings", [FAST, Settings(kind="lightgbm", folds=3)], ids=["boosted", "lightgbm"])
def test_watching_changes_no_byte_of_the_heads(settings: Settings, tmp_path: Path) -> None:
    steps: list[Step] = []
    curves = LossCurves(steps.append)
    for name, watch in (("alone", None), ("watched", curves)):
        heads, _ = fit_heads(
            *with_labels(faces(400, 0)), fingerprint="f" * 16, settings=settings, callback=watch
        )
        save_heads(heads, tmp_path / name, "")
    assert (tmp_path / "alone" / ARRAYS).read_bytes() == (tmp_path / "watched" / ARRAYS).read_bytes()
    boosted = [step for step in steps if step.rounds]
    assert {step.model for step in boosted} == set(range(1, settings.folds + 2))
    assert all((step.error is None) == (step.model == step.models) for step in boosted)


def test_the_curves_are_of_faces_that_a_fold_has_not_seen() -> None:
    curves = LossCurves()
    x, age, gender = faces(400, 0)
    _, out_of_fold = fit_heads(x, Labels(age, gender), fingerprint="f" * 16, settings=FAST, callback=curves)
    rows = {(row["attribute"], row["stage"]): row for row in curves.rows()}
    assert set(rows) == {
        ("age", "boosting"),
        ("age", "lower quantile"),
        ("age", "upper quantile"),
        ("gender", "boosting"),
    }
    row = rows["age", "boosting"]
    assert row["rounds"] == list(range(FAST.age.rounds + 1))
    assert len(row["folds"]) == FAST.folds
    # The last point is the error of the out-of-fold answers, which are kept at 0 years or more.
    assert row["mean"][-1] == pytest.approx(np.abs(out_of_fold.age - age).mean(), rel=0.01)
    # What the boosting begins with is not far from its first round.
    assert row["mean"][0] == pytest.approx(row["mean"][1], rel=0.1)
    gender_row = rows["gender", "boosting"]
    assert gender_row["mean"][0] == pytest.approx(gender_row["mean"][1], rel=0.1)


def test_a_ridge_regression_has_no_curves() -> None:
    steps: list[Step] = []
    curves = LossCurves(steps.append)
    fit_heads(*with_labels(faces(300, 0)), fingerprint="f", settings=Settings(kind="linear"), callback=curves)
    assert [str(step) for step in steps] == [f"{a}: ridge regression, all faces" for a in ("age", "gender")]
    assert curves.rows() == []
