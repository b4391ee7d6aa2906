"""The lowest rate and the time limit of a transfer, with a clock that the test moves."""

from __future__ import annotations

import pytest

from arcage.process import pace
from arcage.process.pace import Pace, TooSlowError


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def test_a_transfer_at_the_lowest_rate_goes_on_until_its_time_limit(clock: Clock) -> None:
    transfer = Pace(rate=10, period=5, seconds=60)
    for second in range(1, 61):
        clock.now += 1
        transfer.add(10)
        assert transfer.left == 60 - second
    clock.now += 0.5
    with pytest.raises(TooSlowError, match="not complete after 60 s"):
        transfer.add(1_000_000)
    assert transfer.left == 0


def test_a_transfer_below_the_lowest_rate_ends_after_one_period(clock: Clock) -> None:
    transfer = Pace(rate=10, period=5, seconds=60)
    for _ in range(4):
        clock.now += 1
        transfer.add(9)
    clock.now += 1
    with pytest.raises(TooSlowError, match="fewer than 10 bytes a second"):
        transfer.add(9)


def test_a_fast_start_does_not_pay_for_a_slow_rest(clock: Clock) -> None:
    transfer = Pace(rate=10, period=5, seconds=60)
    transfer.add(1_000_000)
    clock.now += 5
    transfer.add(0)
    clock.now += 5
    with pytest.raises(TooSlowError, match="fewer than"):
        transfer.add(1)
