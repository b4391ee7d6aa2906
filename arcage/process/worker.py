"""The worker process behind :mod:`arcage.process.cell`: runs jobs within limits until its input ends.

A request or a reply is a frame: the lengths of a header and a body, the header as JSON, and the body as raw
bytes.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any, BinaryIO

from arcage.process.memory import share_heap

LENGTHS = struct.Struct("<IQ")
"""The lengths of the header and the body of a frame, bytes."""

Job = Callable[[dict[str, Any], bytes], Iterable[tuple[dict[str, Any], Any]]]
"""Given arguments and a payload, yields replies: a header of JSON values, and a buffer."""

_MARGIN_SECONDS = 1
"""Processor time beyond the limit of a job, so that the process that waits for a reply is first to notice."""
_OOM_SCORE = "500"
"""Makes Linux end workers first if the memory of the machine runs out."""

_resource: ModuleType | None
try:
    import resource as _resource
except ImportError:  # Windows
    _resource = None


def frame(header: dict[str, Any], body: Any = b"") -> tuple[bytes, memoryview]:
    """Return the start of a frame and its body."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    view = memoryview(body).cast("B")
    return LENGTHS.pack(len(text), len(view)) + text, view


def write_frame(file: BinaryIO, header: dict[str, Any], body: Any = b"") -> None:
    """Write a frame to an unbuffered file, which may accept a part of it at a time."""
    start, rest = frame(header, body)
    for part in (memoryview(start), rest):
        done = 0
        while done < len(part):
            done += file.write(part[done:])


def serve() -> None:
    """Run jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group of processes
    requests, replies = private_streams()
    prepare_process()
    jobs: dict[str, Job] = {}
    base = 0
    with suppress(BrokenPipeError):
        while start := requests.read(LENGTHS.size):
            header_bytes, body_bytes = LENGTHS.unpack(start)
            request = json.loads(requests.read(header_bytes))
            payload = requests.read(body_bytes)
            name = request["job"]
            try:
                if name not in jobs:
                    jobs[name] = _find_job(name)
                    base = _size() - len(payload)
                write_frame(replies, {"ready": True})
                allowed = base + len(payload) + request["memory"]
                for reply, body in _limited(jobs[name], request, payload, allowed):
                    write_frame(replies, {"reply": reply}, body)
            except MemoryError:
                _limit_memory(None)
                write_frame(replies, {"memory": True})
                break
            except BrokenPipeError:
                raise
            except Exception as error:
                _limit_memory(None)
                write_frame(replies, {"failed": f"{type(error).__name__}: {error}"[:1000]})
                break
            # A library that keeps memory would reach the limit in one of the next jobs.
            leaves = _size() > base + len(payload) + request["memory"] // 4
            write_frame(replies, {"end": True, "leaves": leaves})
            if leaves:
                break
    # Without destructors, which may fail in damaged memory.
    os._exit(0)


def _limited(
    job: Job, request: dict[str, Any], payload: bytes, size: int
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the replies of a job while the limits apply; ``size`` is that of the address space, bytes."""
    _limit_memory(size)
    _limit_processor(request["seconds"])
    for reply in job(request["args"], payload):
        yield reply
        _limit_processor(request["seconds"])
    _limit_memory(None)


def _find_job(name: str) -> Job:
    module, _, function = name.partition(":")
    job: Job = getattr(importlib.import_module(module), function)
    return job


def private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the pipes to the parent, and replace the standard streams, which a library may use."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    return requests, replies


def prepare_process() -> None:
    """Keep memory small, write no memory dump after a crash, and be the first to end if memory runs out."""
    share_heap()
    if _resource is not None:
        with suppress(OSError, ValueError):
            _resource.setrlimit(_resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(_OOM_SCORE)


def _size() -> int:
    """Return the size of the address space in bytes, or 0 if the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def _limit_memory(size: int | None) -> None:
    """Limit the address space to ``size`` bytes; None removes the limit."""
    # Only where the size is known: a limit below it would make every allocation fail.
    if _resource is not None and _size():
        _set_soft_limit(_resource.RLIMIT_AS, _resource.RLIM_INFINITY if size is None else size)


def _limit_processor(seconds: float) -> None:
    """Limit the processor time from now on. It ends a worker that hangs when its parent has died."""
    if _resource is not None:
        used = _resource.getrusage(_resource.RUSAGE_SELF)
        more = min(seconds * (os.cpu_count() or 1), 1e9) + _MARGIN_SECONDS
        _set_soft_limit(_resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + more) + 1)


def _set_soft_limit(which: int, value: int) -> None:
    assert _resource is not None
    hard = _resource.getrlimit(which)[1]
    if hard != _resource.RLIM_INFINITY and (value == _resource.RLIM_INFINITY or value > hard):
        value = hard
    with suppress(OSError, ValueError):
        _resource.setrlimit(which, (value, hard))
