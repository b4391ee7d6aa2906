"""Folds side by side: one thread for each, and each on one processor core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from arcage.process.interrupt import is_stopping

In = TypeVar("In")
Out = TypeVar("Out")

MEMORY = 2 << 30
"""Bytes that all works together may take, where each says how much it takes."""


def one_thread() -> Any:
    """A context in which BLAS has one thread: sums come out the same on any number of cores."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def each(work: Callable[[In], Out], items: Sequence[In], memory: int = 1) -> Iterator[Out]:
    """``work`` of each item, in their order, with as many at a time as there are cores.

    NumPy, SciPy and LightGBM let other threads run while they compute, so that threads are enough and share
    all arrays. BLAS has one thread in each of them: that wastes less than all cores on one small matrix after
    the other, and no result depends on the number of cores.

    Args:
        memory: bytes that one work takes, where that may be much: fewer are done at a time then.
    """
    # BLAS can be limited, and asked, only after it was loaded.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    # What BLAS and OpenMP would take heeds the cores that this process may use, and OMP_NUM_THREADS.
    cores = max((pool["num_threads"] for pool in threadpool_info()), default=1)
    executor = ThreadPoolExecutor(max(1, min(cores, len(items), MEMORY // memory)))
    try:
        with one_thread():
            yield from executor.map(work, items)
    finally:
        # A single task may take a minute.
        executor.shutdown(wait=not is_stopping(), cancel_futures=True)
