"""Run jobs in worker processes ("cells") that may crash, hang or run out of memory.

Decoders of rare formats are large C and C++ libraries, and a damaged file can make them write behind their
buffers. In a cell, only the worker process dies, and the caller gets an exception.

Workers are started on demand, one for each concurrent caller, and kept for the next job. Nothing that a
worker sends is trusted: replies are JSON and raw bytes, and their lengths are checked.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from arcage.process.child import ending, start_python
from arcage.process.worker import LENGTHS, write_frame

START_SECONDS = 60.0
"""Time limit for starting a worker and importing a job, seconds."""
_KILL_SECONDS = 2.0
"""Time limit for the system to end a killed worker, seconds."""
_MAX_HEADER = 1 << 20
"""Maximum length of the header of a reply, bytes."""
_PIPE_BYTES = 1 << 18
"""Size of the pipe for replies. Four times the default of Linux."""
_ENVIRONMENT = {
    # glibc fills allocated memory with zeros, so that no decoder returns pixels of an earlier picture.
    "MALLOC_PERTURB_": "255",
    # Large blocks come from the heap, of which 64 MiB stay: the system would clear every page once more,
    # which makes large pictures up to twice as slow.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    # Each arena takes address space, which is limited.
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # mimalloc reserves 1 GiB
}


class CellError(Exception):
    """Base class: a job gave no reply. Its worker has ended, and the next job gets another one."""


class CellTimeoutError(CellError):
    """A job took longer than its limit."""


class CellMemoryError(CellError):
    """A job needed more memory than its limit."""


class CellDiedError(CellError):
    """The worker crashed, sent something that is not a reply, or was closed; or its job raised an error."""


class CellStartError(CellDiedError):
    """A worker could not be started."""


@dataclass(frozen=True, slots=True)
class CellLimits:
    """Limits of a job."""

    memory: int = 1 << 30
    """Memory that a job may take, in addition to its imports and payload, bytes. Enforced on Linux. A body is
    never larger either."""
    seconds: float = 10.0
    """Time for each reply, seconds; starting a worker does not count."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a job."""

    header: dict[str, Any]
    """JSON values. A broken worker may have sent it: check the types."""
    body: memoryview
    """Raw bytes, writable, owned by this reply."""


def run(
    job: str, args: dict[str, Any], payload: bytes = b"", *, limits: CellLimits | None = None
) -> Generator[Reply]:
    """Run a job in a worker process, and yield its replies.

    Close the generator to end a job early; this ends its worker. May be called from several threads.

    Args:
        job: ``module:function``, of which the function is a :data:`~arcage.process.worker.Job`. Never taken
            from a file.
        args: JSON values for the function.
        payload: bytes for the function.
        limits: limits of the job, by default those of :class:`CellLimits`.

    Raises:
        CellTimeoutError: a reply took too long.
        CellMemoryError: the job needed too much memory.
        CellStartError: no worker could be started, or it cannot import the job.
        CellDiedError: the worker died, or the job raised an exception.
    """
    limits = limits or CellLimits()
    cell = _take(job, args, payload, limits)
    ended = False
    try:
        while (reply := cell.receive(limits)) is not None:
            yield reply
        ended = True
    finally:
        if ended and not cell.leaves:
            _give_back(cell)
        else:
            cell.close()


def run_once(
    job: str, args: dict[str, Any], payload: bytes = b"", *, limits: CellLimits | None = None
) -> Reply:
    """Run a job that gives one reply. Raises the same errors as :func:`run`."""
    replies = run(job, args, payload, limits=limits)
    try:
        first = next(replies, None)
        if first is None or next(replies, None) is not None:
            raise CellDiedError("the worker process sent no reply, or more than one")
        return first
    finally:
        replies.close()


def close_cells() -> None:
    """End all workers immediately. The callers of busy ones get a CellDiedError."""
    with _state.lock:
        cells, idle = list(_state.cells), set(_state.idle)
        _state.idle.clear()
    for cell in cells:
        cell.kill()
    for cell in cells:
        cell.wait()
        if cell in idle:
            cell.close()


class _State:
    """The workers of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cells: set[_Cell] = set()
        self.idle: list[_Cell] = []


class _Cell:
    """A worker process, used by one thread at a time."""

    def __init__(self) -> None:
        self.leaves = False
        """Whether the worker ended after its last job."""
        self._guard = threading.Lock()
        self._waiting: object = None
        self._expired = False
        self._closed = False
        try:
            self._process = start_python("arcage.process.worker", _ENVIRONMENT)
        except (OSError, ValueError) as error:
            raise CellStartError(f"a worker process cannot be started: {error}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._replies: IO[bytes] = self._process.stdout
        _enlarge(self._replies)
        with _state.lock:
            _state.cells.add(self)

    def start(self, job: str, args: dict[str, Any], payload: bytes, limits: CellLimits) -> None:
        """Send a job, and wait until the worker has imported it. Raises CellError."""
        request = {"job": job, "args": args, "memory": limits.memory, "seconds": limits.seconds}
        with self._within(START_SECONDS):
            try:
                write_frame(self._requests, request, payload)  # type: ignore[arg-type]
            except OSError:
                raise self._death() from None
            header, _ = self._read(0)
        if header != {"ready": True}:
            raise _failure(header)

    def receive(self, limits: CellLimits) -> Reply | None:
        """Return the next reply, or None after the last one. Raises CellError."""
        with self._within(limits.seconds):
            header, body = self._read(limits.memory)
        if header.get("end") is True:
            self.leaves = header.get("leaves") is not False
            return None
        if isinstance(header.get("reply"), dict):
            return Reply(header["reply"], body)
        raise _failure(header)

    def kill(self) -> None:
        """End the process; a thread that waits for it gets a CellDiedError."""
        self._closed = True
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End the process and release its pipes."""
        self.kill()
        with _state.lock:
            _state.cells.discard(self)
        self.wait()
        self.close_pipes()

    def wait(self) -> None:
        """Wait until the killed process is gone."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)

    def close_pipes(self) -> None:
        for pipe in (self._requests, self._replies):
            with suppress(OSError):
                pipe.close()

    def forget(self) -> None:
        """Forget the process, which is not a child of this one."""
        self.close_pipes()
        self._process.returncode = 0  # otherwise its destructor would warn that it runs

    @property
    def is_alive(self) -> bool:
        return not self._closed and self._process.poll() is None

    def _read(self, max_body: int) -> tuple[dict[str, Any], memoryview]:
        import numpy as np

        start = bytearray(LENGTHS.size)
        self._fill(memoryview(start))
        header_bytes, body_bytes = LENGTHS.unpack(start)
        if header_bytes > _MAX_HEADER or body_bytes > max_body:
            raise CellDiedError("the worker process sent something that is not a reply")
        text = bytearray(header_bytes)
        self._fill(memoryview(text))
        header = _parse(bytes(text))
        # Not a bytearray, of which every page would be written twice.
        body = np.empty(body_bytes, np.uint8).data
        self._fill(body)
        return header, body

    def _fill(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            try:
                count = self._replies.readinto(view[done:])  # type: ignore[attr-defined]
            except (OSError, ValueError):
                count = 0
            if not count:
                raise self._death()
            done += count

    def _death(self) -> CellError:
        """Return why the worker ended."""
        if self._closed:
            return CellDiedError("the worker process was ended")
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return CellDiedError("the worker process closed its pipe")
        if code == -getattr(signal, "SIGXCPU", 0):
            return CellTimeoutError("the worker process took too much processor time")
        if code == -getattr(signal, "SIGKILL", 0) and not self._expired:
            return CellMemoryError(f"the worker process {ending(code)}")
        return CellDiedError(f"the worker process {ending(code)}")

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Kill the process and raise CellTimeoutError if a block takes longer than ``seconds``."""
        mark = object()
        with self._guard:
            self._waiting = mark
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._expire, (mark,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._guard:
                self._waiting = None
            if self._expired:
                raise CellTimeoutError(f"no reply within {seconds:g} seconds")

    def _expire(self, mark: object) -> None:
        with self._guard:
            if self._waiting is mark:
                self._expired = True
                with suppress(OSError):
                    self._process.kill()


def _take(job: str, args: dict[str, Any], payload: bytes, limits: CellLimits) -> _Cell:
    """Return a worker that runs a job, an idle one if possible."""
    while True:
        with _state.lock:
            cell = _state.idle.pop() if _state.idle else None
        if cell is not None and not cell.is_alive:
            cell.close()
            continue
        fresh = cell is None
        cell = cell or _Cell()
        try:
            cell.start(job, args, payload, limits)
        except CellError as error:
            cell.close()
            if fresh:
                raise CellStartError(f"a worker process cannot be started: {error}") from None
            continue  # it died while it was idle
        except BaseException:
            cell.close()
            raise
        return cell


def _give_back(cell: _Cell) -> None:
    with _state.lock:
        if cell.is_alive:
            _state.idle.append(cell)
            return
    cell.close()


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), parse_constant=_reject)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise CellDiedError("the worker process sent something that is not a reply")
    return header


def _reject(name: str) -> None:
    raise ValueError(name)


def _failure(header: dict[str, Any]) -> CellError:
    if header.get("memory") is True:
        return CellMemoryError("the job needs more memory")
    if isinstance(header.get("failed"), str):
        return CellDiedError(f"the job failed: {header['failed'][:1000]}")
    return CellDiedError("the worker process sent something that is not a reply")


def _enlarge(pipe: IO[bytes]) -> None:
    with suppress(ImportError, OSError, AttributeError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _after_fork() -> None:
    """Forget the workers in a forked child: they belong to its parent."""
    global _state
    cells = _state.cells
    _state = _State()
    for cell in cells:
        cell.forget()


_state = _State()
atexit.register(close_cells)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
