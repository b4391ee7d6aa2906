"""Values that are made once for each key."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from arcage.embedder.engines.once import OncePerKey


def test_threads_wait_only_for_the_value_that_they_ask_for() -> None:
    made: list[str] = []
    begun, release = threading.Event(), threading.Event()

    def make(key: str) -> str:
        made.append(key)
        if key == "slow":
            begun.set()
            assert release.wait(10)
        return key.upper()

    values = OncePerKey(make)
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(lambda: values["slow"]) for _ in range(2)]
        assert begun.wait(10)
        assert values["quick"] == "QUICK"
        assert not any(future.done() for future in slow)
        release.set()
        assert [future.result(10) for future in slow] == ["SLOW", "SLOW"]
    assert values["slow"] == "SLOW"
    assert made == ["slow", "quick"]


def test_a_failure_is_not_kept() -> None:
    fails = [True]

    def make(key: int) -> int:
        if fails:
            fails.clear()
            raise OSError("once")
        return key + 1

    values = OncePerKey(make)
    with pytest.raises(OSError, match="once"):
        _ = values[1]
    assert values[1] == 2
