"""Progress of a fit on standard error, and the curves of the boosting rounds beside the heads."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faces import FAST, faces, with_labels

from arcage.errors import OutputError
from arcage.heads.callbacks import LossCurves, Step
from arcage.heads.fit import fit_heads
from arcage.heads.settings import Settings
from arcage.heads.store import ARRAYS, load_heads, save_heads
from arcage.output.progress import FitProgress
from arcage.report.rounds import EVENTS, JSON, LOG, PNG, write_curves
from arcage.types import Labels

LOSS = "mean absolute error (years)"
ROWS: list[dict[str, Any]] = [
    {
        "attribute": "age",
        "stage": "lower quantile",
        "loss": LOSS,
        "rounds": [0, 1, 2],
        "mean": [5.0, 4.5, 4.25],
        "folds": [[5.5, 4.5, 4.0], [4.5, 4.5, 4.5]],
    }
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def boosting(model: int, round_: int, error: float | None, rounds: int = 2) -> Step:
    return Step("age", "boosting", model, 3, round_, rounds, LOSS, error)


def test_a_step_in_words() -> None:
    assert str(boosting(2, 1, 4.5)) == f"age: boosting, fold 2 of 2, round 1 of 2, {LOSS} 4.500"
    assert str(boosting(3, 1, None)) == "age: boosting, all faces, round 1 of 2"
    assert str(Step("gender", "kernel stage", 1, 3)) == "gender: kernel stage, fold 1 of 2"


def test_a_log_has_a_line_for_each_stage_and_one_now_and_then() -> None:
    out, clock = io.StringIO(), Clock()
    live = FitProgress(out, clock)
    for model in (1, 2, 3):
        live(Step("age", "kernel stage", model, 3))
    assert out.getvalue() == "age: kernel stage done\n"
    for model, errors in ((1, (5.0, 4.0, 3.0)), (2, (6.0, 5.0, 4.0))):
        for round_, error in enumerate(errors):
            live(boosting(model, round_, error))
    clock.now = 31
    live(boosting(3, 1, None))
    live(boosting(3, 2, None))
    assert out.getvalue().splitlines()[1:] == [
        "age: boosting, all faces, round 1 of 2",
        f"age: boosting done, {LOSS} on unseen faces from 5.500 to 3.500",
    ]


def test_a_terminal_has_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out, clock = Terminal(), Clock()
    with FitProgress(out, clock) as live:
        live(boosting(1, 1, 4.5))
        assert out.getvalue() == ""
        clock.now = 0.2
        live(boosting(1, 1, 4.5))
        assert out.getvalue() == "\r\x1b[Kage: boosting, fold"
        live.message("a word")
        assert out.getvalue().endswith("\r\x1b[Ka word\n")
    assert out.getvalue().endswith("\r\x1b[K")


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
    _, seen = fit_heads(x, Labels(age, gender), fingerprint="f" * 16, settings=FAST, callback=curves)
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
    assert row["mean"][-1] == pytest.approx(np.abs(seen.age - age).mean(), rel=0.01)
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


def test_curves_beside_heads(tmp_path: Path) -> None:
    heads, _ = fit_heads(*with_labels(faces(300, 0)), fingerprint="f" * 16, settings=Settings(kind="linear"))
    save_heads(heads, tmp_path, "")
    pytest.importorskip("matplotlib")
    assert write_curves(tmp_path, ROWS) == ""
    assert json.loads((tmp_path / JSON).read_text("utf-8")) == {"curves": ROWS}
    picture = cv2.imread(str(tmp_path / PNG))
    assert picture is not None
    assert min(picture.shape[:2]) > 300
    assert load_heads(tmp_path).fingerprint == "f" * 16
    # Heads without curves leave none of those that were there before.
    write_curves(tmp_path, [])
    assert not (tmp_path / JSON).exists()
    assert not (tmp_path / PNG).exists()
    assert not list(tmp_path.glob(f"{EVENTS}/*/*"))
    assert load_heads(tmp_path).fingerprint == "f" * 16


def test_without_the_libraries_there_are_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("matplotlib", "tensorboardX")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert "pip install 'arcage[report]'" in write_curves(tmp_path, ROWS)
    assert [path.name for path in tmp_path.iterdir()] == [JSON]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / PNG).mkdir()
    with pytest.raises(OutputError, match="cannot remove old curves"):
        write_curves(tmp_path, ROWS)


@pytest.mark.oracle
def test_tensorboard_reads_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):  # the second fit takes the place of the first
        write_curves(tmp_path, [*ROWS, {**ROWS[0], "stage": "boosting"}])
    logs = sorted(path.relative_to(tmp_path / EVENTS) for path in (tmp_path / EVENTS).glob("*/*"))
    assert logs == [Path(run, LOG) for run in ("fold-1", "fold-2", "mean")]
    for run, errors in (("mean", ROWS[0]["mean"]), ("fold-2", ROWS[0]["folds"][1])):
        read = accumulator.EventAccumulator(str(tmp_path / EVENTS / run))
        read.Reload()
        assert read.Tags()["scalars"] == ["age/lower-quantile", "age/boosting"]
        events = read.Scalars("age/lower-quantile")
        assert [(event.step, event.value) for event in events] == list(zip([0, 1, 2], errors, strict=True))


def test_a_log_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    import socket

    pytest.importorskip("tensorboardX")
    write_curves(tmp_path, ROWS)
    data = (tmp_path / EVENTS / "mean" / LOG).read_bytes()
    assert socket.gethostname().encode() not in data
    assert str(tmp_path).encode() not in data
