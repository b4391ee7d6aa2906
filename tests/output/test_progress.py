"""Progress on standard error."""

from __future__ import annotations

import io

import pytest

from arcage.heads.callbacks import Step
from arcage.output.progress import FitProgress

LOSS = "mean absolute error (years)"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def boosting(model: int, round_: int, error: float | None, rounds: int = 2) -> Step:
    return Step("age", "boosting", model, 3, round_, rounds, LOSS, error)


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
