"""The fuzzers notice each kind of failure, and go on."""

from __future__ import annotations

import os
from pathlib import Path

import hostile_campaigns as hostile
import numpy as np
import pytest

from tools.fuzz import __main__ as command
from tools.fuzz import mutate, watch
from tools.fuzz.campaign import GIB, Campaign, campaigns, limits, random_numbers

SEED = 3

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX: process groups and limits")


def failures(campaign: type[Campaign], count: int = 2) -> tuple[watch.Tally, dict[str, int]]:
    tally = watch.run(campaign, SEED, range(count))
    return tally, {kind: tally.counts[kind] for kind in watch.FAILURES if tally.counts[kind]}


def test_answers_and_refusals_are_counted() -> None:
    tally, failed = failures(hostile.Well, 40)
    expected = sum(random_numbers(hostile.Well, SEED, n).bytes(8)[0] % 2 for n in range(40))
    assert (tally.tried, tally.counts["refused"], failed) == (40, expected, {})


def test_two_workers_try_the_same_cases_as_one() -> None:
    two = watch.run(hostile.Well, SEED, range(40), jobs=2)
    assert two.counts == watch.run(hostile.Well, SEED, range(40)).counts


@pytest.mark.parametrize(
    ("campaign", "kind", "text"),
    [
        (hostile.Crash, "crash", "SIGSEGV"),
        (hostile.Exits, "crash", "exit code 0"),
        (hostile.Hangs, "time", "no answer within 0.2 s"),
        (hostile.Changes, "silent", "35 years became 20\neight random bytes"),
        (hostile.Peak, "memory", "MB"),
        (hostile.Grows, "memory", "MB and growing"),
    ],
)
def test_a_failure_is_noticed_and_the_next_case_tried(campaign: type[Campaign], kind: str, text: str) -> None:
    tally, failed = failures(campaign)
    assert failed == {kind: 2}
    assert tally.tried == 2
    assert [number for number, _ in tally.failures] == [0, 1]
    assert text in tally.failures[0][1].text


def test_what_a_crashing_case_printed_is_kept() -> None:
    tally, _ = failures(hostile.Crash, 1)
    assert "about to crash" in tally.failures[0][1].text
    assert "hostile_campaigns.py" in tally.failures[0][1].text  # the stack, by faulthandler


def test_other_exceptions_are_failures_with_their_traceback() -> None:
    tally, failed = failures(hostile.Raises, 8)
    assert failed == {"traceback": 8}
    assert {reply.text.splitlines()[0] for _, reply in tally.failures} == {
        "SystemExit: 3",
        "KeyError: 'lost'",
    }
    assert "Traceback" in tally.failures[0][1].text


def test_a_case_that_is_late_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW_ONCE", str(tmp_path / "mark"))
    assert watch.run(hostile.SlowOnce, SEED, range(2)).counts == {"answered": 2}


def test_a_campaign_that_cannot_start_says_why() -> None:
    with pytest.raises(watch.CannotStartError, match=r"(?s)unprepared cannot start.*no seeds here"):
        watch.run(hostile.Unprepared, SEED, range(2))


def test_the_command_keeps_a_failed_case_and_says_how_to_repeat_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "campaigns", lambda: {"changes": hostile.Changes, "well": hostile.Well})
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert command.main(["changes", "--seed", str(SEED), "--count", "2"]) == 1
    said = capfd.readouterr().out
    (kept,) = tmp_path.iterdir()  # and the folders of the workers are gone
    assert f"failed cases: {kept}" in said
    repeat = f"python -m tools.fuzz changes --seed {SEED} --only 1"
    assert repeat in said
    data = (kept / f"changes-{SEED}-1-silent" / "case" / "1" / "data").read_bytes()
    assert data == random_numbers(hostile.Changes, SEED, 1).bytes(8)
    assert repeat in (kept / f"changes-{SEED}-1-silent" / "about.txt").read_text()


def test_the_command_counts_and_exits_with_0_if_nothing_failed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "campaigns", lambda: {"changes": hostile.Changes, "well": hostile.Well})
    assert command.main(["well", "--seed", str(SEED), "--count", "40"]) == 0
    heading, counts, *others = capfd.readouterr().out.splitlines()
    refused = sum(random_numbers(hostile.Well, SEED, n).bytes(8)[0] % 2 for n in range(40))
    assert heading.split()[:5] == ["campaign", "tried", "answered", "refused", "failed"]
    assert counts.split()[:5] == ["well", "40", str(40 - refused), str(refused), "0"]
    assert not others


def test_a_campaign_without_time_or_preparation_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"slow": hostile.Slow, "well": hostile.Well, "unprepared": hostile.Unprepared}
    monkeypatch.setattr(command, "campaigns", lambda: known)
    monkeypatch.setattr(watch, "LEAST", 0.2)
    assert command.main(["well", "--seconds", "1e-6"]) == 0
    assert command.main(["slow", "--seconds", "1e-6"]) == 1
    assert command.main(["unprepared"]) == 1


def test_each_campaign_has_its_parts_and_limits() -> None:
    for name, campaign in campaigns().items():
        seconds, memory = limits(campaign)
        assert all(callable(getattr(campaign, part)) for part in ("prepare", "case", "run")), name
        assert campaign.__doc__, name
        assert 0 < seconds <= 30, name
        assert 0 < memory <= 3 * GIB, name


def test_campaigns_repeat_their_cases(tmp_path: Path) -> None:
    assert "lists" in campaigns()
    campaign = campaigns()["lists"]()
    campaign.prepare(tmp_path)
    cases = [campaign.case(random_numbers(campaign, SEED, number)) for number in (1, 2, 1)]
    assert cases[0] == cases[2] != cases[1]


@pytest.mark.parametrize("mutator", mutate.MUTATORS, ids=lambda mutator: mutator.__name__)
def test_mutators_repeat_and_change(mutator: mutate.Mutator) -> None:
    data = bytes(range(256)) * 8
    results = [mutator(np.random.default_rng(seed), data) for seed in range(20)]
    assert results == [mutator(np.random.default_rng(seed), data) for seed in range(20)]
    assert sum(result != data for result in results) >= 15
    assert mutator(np.random.default_rng(0), b"x") is not None


def test_mutate_takes_any_data() -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 7, 1000):
        for _ in range(200):
            assert isinstance(mutate.mutate(rng, rng.bytes(size), [b"", b"other"]), bytes)


def test_a_damaged_footer_of_parquet_has_the_right_length() -> None:
    data = b"PAR1" + bytes(100) + b"footer" + (6).to_bytes(4, "little") + b"PAR1"
    for seed in range(20):
        changed = mutate.mutate_footer(np.random.default_rng(seed), data)
        assert changed[:104] == data[:104]
        assert changed[-4:] == b"PAR1"
        assert int.from_bytes(changed[-8:-4], "little") == len(changed) - 112
