"""Parallel work in threads, each on one processor core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from arcage.process.interrupt import is_stopping

In = TypeVar("In")
Out = TypeVar("Out")

MEMORY = 2 << 30
"""Maximum memory of all concurrent calls together, bytes."""


def one_thread() -> Any:
    """Return a context in which BLAS uses one thread, so that sums do not depend on the number of cores."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def parallel_map(function: Callable[[In], Out], items: Sequence[In], memory: int = 1) -> Iterator[Out]:
    """Apply a function to each item, on all cores, and yield the results in the order of the items.

    NumPy, SciPy and LightGBM release the global interpreter lock, so threads are sufficient and share all
    arrays. BLAS uses one thread in each of them, which is faster than all cores on one small matrix after
    another, and makes results independent of the number of cores.

    Args:
        memory: bytes that one call needs. Limits the number of concurrent calls; see :data:`MEMORY`.
    """
    # threadpoolctl sees BLAS only after it is loaded.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    # The default thread counts of BLAS and OpenMP respect CPU affinity and OMP_NUM_THREADS.
    cores = max((pool["num_threads"] for pool in threadpool_info()), default=1)
    executor = ThreadPoolExecutor(max(1, min(cores, len(items), MEMORY // memory)))
    try:
        with one_thread():
            yield from executor.map(function, items)
    finally:
        # After an interruption do not wait: a single call can take a minute.
        executor.shutdown(wait=not is_stopping(), cancel_futures=True)
