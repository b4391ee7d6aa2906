"""Limits of the time and the rate of a transfer."""

from __future__ import annotations

import time


class TooSlowError(TimeoutError):
    """A transfer is slower than its lowest rate, or takes longer than its time limit."""


class Pace:
    """Measures a transfer, and ends it if it is too slow.

    Args:
        rate: lowest mean rate in each period, bytes a second.
        period: length of a period, seconds.
        seconds: time limit of the whole transfer.
    """

    def __init__(self, rate: float, period: float, seconds: float) -> None:
        self._rate = rate
        self._period = period
        self._seconds = seconds
        self._start = self._since = time.monotonic()
        self._received = 0

    @property
    def left(self) -> float:
        """Seconds until the time limit; at least 0."""
        return max(0.0, self._start + self._seconds - time.monotonic())

    def add(self, size: int) -> None:
        """Count bytes that arrived, 0 or more.

        Raises:
            TooSlowError: the transfer is too slow, or has reached its time limit.
        """
        self._received += size
        now = time.monotonic()
        if now - self._start > self._seconds:
            raise TooSlowError(f"not complete after {self._seconds:,.0f} s")
        if now - self._since >= self._period:
            if self._received < self._rate * (now - self._since):
                raise TooSlowError(f"fewer than {self._rate:,.0f} bytes a second")
            self._since, self._received = now, 0
