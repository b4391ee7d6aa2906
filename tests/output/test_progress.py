"""Progress on standard error."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from arcage.heads.callbacks import Step
from arcage.output.progress import FitProgress, bytes_progress, item_progress

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


def test_a_log_has_a_line_for_each_stage_and_every_half_minute() -> None:
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


def test_quiet_shows_nothing() -> None:
    out = Terminal()
    with FitProgress(out, quiet=True) as progress:
        progress(Step("age", "kernel stage", 1, 1))
        progress.message("a word")
    assert out.getvalue() == ""


def test_a_bar_counts_items(monkeypatch: pytest.MonkeyPatch) -> None:
    for items in (2, lambda: "ab"):
        monkeypatch.setattr(sys, "stderr", out := Terminal())
        with item_progress("Reading", items) as advance:
            advance()
            advance()
            for thread in threading.enumerate():
                if thread.name == "arcage-count":
                    thread.join()
        assert "Reading" in out.getvalue()
        assert "2/2" in out.getvalue()


def test_a_bar_counts_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    with bytes_progress("pack") as progress:
        assert progress is not None
        progress(2_000_000, 4_000_000)
    assert "pack" in out.getvalue()
    assert "2.0/4.0 MB" in out.getvalue()


def test_without_a_terminal_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for out, quiet in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", out)
        with item_progress("Reading", 2, quiet=quiet) as advance:
            advance()
        with bytes_progress("pack", quiet=quiet) as progress:
            assert progress is None
        assert out.getvalue() == ""


def test_titles_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "120")
    with item_progress("[red]{task.fields[x]} {0}\x1b]0;x\x07", 3) as advance:
        advance()
        print("a warning \x1b]0;x\x07\u202e", file=sys.stderr)
    assert sys.stderr is screen
    assert r"[red]{task.fields[x]} {0}\x1b]0;x\x07" in screen.getvalue()
    assert r"a warning \x1b]0;x\x07\u202e" in screen.getvalue()
    FitProgress(screen).message("b\x1b]0;x\x07")
    assert r"b\x1b]0;x\x07" in screen.getvalue()
