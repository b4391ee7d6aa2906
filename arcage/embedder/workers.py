"""Worker processes that take images through all stages: one process is bound by the interpreter's lock."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from arcage.embedder.engines.base import cores
from arcage.errors import ArcageError, UsageError
from arcage.process.calls import Ask, Called, CallProcess, ProcessDiedError

Item = TypeVar("Item")

MIN_IMAGES = 32
"""A process is started for each of that many images: starting it takes as long as computing them."""
_FEW_CORES = 3
"""Up to that many cores, threads of one process are as fast as processes."""
_PROCESSES_PER_GPU, _CORES_PER_PROCESS = 4, 4
"""Processes that feed a GPU, and cores that each of them needs."""
_STARTS = 3
"""Times that a process may end before it has loaded what it needs."""
_MEMORY = 640 << 20
"""Memory for each process by default, bytes: large photos take more than crops."""


@dataclass(frozen=True, slots=True)
class Workers:
    """In how many worker processes images are extracted, and on which devices."""

    count: int = 1
    """1: in this process, by threads. Fewer are started for few images."""
    devices: tuple[str, ...] = ()
    """The processes use them in turn. Empty: that of the extractor."""

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise UsageError(f"`workers` is a whole number, 1 or more, not {self.count!r}")


def choose_workers(wanted: int | None, device: str, gpus: Sequence[str] = ()) -> Workers:
    """Return the worker processes for many images.

    By default, one for each core where there are more than three, and memory for them. On a GPU, one for each
    four cores, at most four. On other devices, none.

    Args:
        wanted: number that the user wants; None for the default.
        device: of the engine: ``cpu``, ``cuda``, ``cuda:1``, ...
        gpus: the devices, if there are several.

    Raises:
        UsageError: there are more GPUs than wanted processes.
    """
    if wanted is not None:
        if wanted < len(gpus):
            raise UsageError(f"`workers` {wanted} cannot use {len(gpus)} GPUs: each needs a process")
        return Workers(wanted, tuple(gpus))
    if device == "cpu":
        return Workers(min(cores(), max(1, _memory() // _MEMORY)) if cores() > _FEW_CORES else 1)
    if not device.startswith(("cuda", "tensorrt")):
        return Workers()
    count = max(1, len(gpus))
    each = max(1, min(_PROCESSES_PER_GPU, cores() // (_CORES_PER_PROCESS * count)))
    return Workers(each * count, tuple(gpus))


def _memory() -> int:
    """Return the memory that this process may take, bytes, as far as the system tells."""
    found = [sys.maxsize]
    with suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of a container, version 2 and 1
        with suppress(OSError, ValueError):
            found.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(found)


class WorkerPool(Generic[Item]):
    """Processes that run functions on several items at a time. An item that ends its process is found.

    A process is started with its first call, and again after it has ended. Several threads may call.

    Args:
        functions: one for each process; each gets a sequence of items. With an empty one, it prepares itself.
    """

    def __init__(self, functions: Sequence[Called]) -> None:
        share = max(1, cores() // len(functions))
        # As in one process: a thread that waits for a network leaves its processor idle.
        self._threads = share + 1
        # OpenCV and NumPy use one thread, because there are as many threads as cores already.
        names = ("OPENCV_FOR_THREADS_NUM", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
        self._environment = {"PYTHON_CPU_COUNT": str(share), **dict.fromkeys(names, "1")}
        self._lock = threading.Lock()
        self._is_closed = False
        self._processes: set[CallProcess] = set()
        self._alone = threading.Lock()
        self._places: SimpleQueue[_Place] = SimpleQueue()
        places = [_Place(function) for function in functions]
        for _ in range(self._threads):
            for place in places:
                self._places.put(place)
        self.threads = self._threads * len(functions)
        """Number of calls that run at once."""

    def call(self, items: Sequence[Item], answer: Ask | None, lost: Callable[[Item, str], Any]) -> list[Any]:
        """Return the results of a function for some items: one for all, or one for each.

        If its process ends, the items are taken one at a time by another process.

        Args:
            items: picklable.
            answer: called in this thread with the questions of the function.
            lost: returns the result of an item that ended that process as well, given the reason.

        Raises:
            CancelledError: the pool was closed.
            ArcageError: no process can be started.
            Exception: the exception of the function.
        """
        place = self._places.get()
        try:
            return [self._process(place).call(items, answer)]
        except ProcessDiedError:
            self._check_open()
            with self._alone:  # of all threads, one at a time: memory may be short
                return list(self._one_by_one(place.function, items, answer, lost))
        finally:
            self._places.put(place)

    def close(self) -> None:
        """End all processes immediately."""
        with self._lock:
            self._is_closed = True
            processes = list(self._processes)
        for process in processes:
            process.kill()
        for process in processes:
            process.close()

    def _process(self, place: _Place) -> CallProcess:
        with place.lock:
            if place.process is None or place.process.has_ended:
                if place.process is not None:
                    self._end(place.process)
                place.process = self._start(place.function, self._threads)
            return place.process

    def _one_by_one(
        self, function: Called, items: Sequence[Item], answer: Ask | None, lost: Callable[[Item, str], Any]
    ) -> Iterator[Any]:
        process = self._prepared(function)
        for item in items:
            try:
                yield process.call([item], answer)
            except ProcessDiedError as error:
                self._check_open()
                yield lost(item, str(error))
                self._end(process)
                process = self._prepared(function)
        self._end(process)

    def _prepared(self, function: Called, attempts: int = _STARTS) -> CallProcess:
        """Return a process that has loaded what it needs, so that its end is the fault of an item."""
        process = None
        try:
            process = self._start(function, 1)
            process.call([])
        except ProcessDiedError as error:
            self._check_open()
            if process is not None:
                self._end(process)
                if attempts > 1:
                    return self._prepared(function, attempts - 1)
            raise ArcageError(f"a worker process {error}; `workers` 1 needs none") from error
        return process

    def _start(self, function: Called, threads: int) -> CallProcess:
        with self._lock:
            if self._is_closed:
                raise CancelledError
            process = CallProcess(function, threads=threads, environment=self._environment)
            self._processes.add(process)
            return process

    def _end(self, process: CallProcess) -> None:
        process.close()
        with self._lock:
            self._processes.discard(process)

    def _check_open(self) -> None:
        if self._is_closed:
            raise CancelledError


class _Place:
    """A function, and the process that runs it, which is replaced when it ends."""

    def __init__(self, function: Called) -> None:
        self.function = function
        self.lock = threading.Lock()
        self.process: CallProcess | None = None
