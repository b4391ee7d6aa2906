"""Work in threads: order, memory and failures."""

from __future__ import annotations

import threading
import time

import pytest

from arcage.heads.parallel import parallel_map


def test_work_is_done_side_by_side_and_answered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [{"num_threads": 3}])
    together = threading.Barrier(3, timeout=10)

    def work(number: int) -> int:
        together.wait()
        return number * number

    assert list(parallel_map(work, range(6))) == [0, 1, 4, 9, 16, 25]


def test_work_that_takes_much_memory_is_done_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [{"num_threads": 3}])
    names = list(parallel_map(lambda _: threading.current_thread().name, range(6), memory=5 << 30))
    assert len(set(names)) == 1


def test_a_failure_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [{"num_threads": 1}])
    done = []

    def work(number: int) -> None:
        done.append(number)
        if number == 1:
            raise MemoryError("no more")
        time.sleep(0.002)

    with pytest.raises(MemoryError, match="no more"):
        list(parallel_map(work, range(1000)))
    assert len(done) < 1000
