"""Jobs for worker processes, most of which behave badly."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

Replies = Iterator[tuple[dict[str, Any], Any]]


def echo(args: dict[str, Any], payload: bytes) -> Replies:
    yield {"args": args, "pid": os.getpid(), "path": sys.path}, payload


def count(args: dict[str, Any], payload: bytes) -> Replies:
    for number in range(args["replies"]):
        yield {"number": number}, bytes([number]) * number


def flood(args: dict[str, Any], payload: bytes) -> Replies:
    while True:
        yield {}, b"more"


def crash(args: dict[str, Any], payload: bytes) -> Replies:
    ctypes.string_at(0)
    yield {}, b""


def hang(args: dict[str, Any], payload: bytes) -> Replies:
    yield {"pid": os.getpid()}, b""
    libc = ctypes.PyDLL(None)  # keeps the GIL, as a C library may
    libc.sleep(600)


def spin(args: dict[str, Any], payload: bytes) -> Replies:
    yield {"pid": os.getpid()}, b""
    while True:
        pass


def allocate(args: dict[str, Any], payload: bytes) -> Replies:
    yield {}, memoryview(bytearray(args["bytes"]))[:1]


def keep(args: dict[str, Any], payload: bytes) -> Replies:
    kept.append(bytearray(args["bytes"]))
    yield {"pid": os.getpid()}, b""


kept: list[bytearray] = []


def leave(args: dict[str, Any], payload: bytes) -> Replies:
    os._exit(7)
    yield {}, b""


def kill(args: dict[str, Any], payload: bytes) -> Replies:
    os.kill(os.getpid(), signal.SIGKILL)
    yield {}, b""


def fail(args: dict[str, Any], payload: bytes) -> Replies:
    raise ValueError("not a picture")
    yield {}, b""


def write(args: dict[str, Any], payload: bytes) -> Replies:
    """Write the payload to the pipe of the replies, and wait."""
    for descriptor in range(3, 64):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:"):
                os.write(descriptor, payload)
        except OSError:
            pass
    time.sleep(600)
    yield {}, b""


def talk(args: dict[str, Any], payload: bytes) -> Replies:
    os.write(1, b"noise on standard output")
    os.write(2, b"noise on standard error")
    os.kill(os.getpid(), signal.SIGINT)
    yield {"input": len(os.read(0, 100))}, b""


def old_memory(args: dict[str, Any], payload: bytes) -> Replies:
    """Fill memory and free it, and return what newly allocated memory contains."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    size = args["bytes"]
    for _ in range(20):
        block = libc.malloc(size)
        ctypes.memset(block, 77, size)
        libc.free(block)
    block = libc.malloc(size)
    yield {}, ctypes.string_at(block, size)


def limits(args: dict[str, Any], payload: bytes) -> Replies:
    import resource

    with open("/proc/self/oom_score_adj") as file:
        score = int(file.read())
    found = {
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "processor": resource.getrlimit(resource.RLIMIT_CPU)[0],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "first to end": score >= 500,
    }
    yield found, b""


def picture(args: dict[str, Any], payload: bytes) -> Replies:
    yield {"height": len(payload) // 12, "width": 4}, payload


def refuse(args: dict[str, Any], payload: bytes) -> Replies:
    from arcage import errors
    from arcage.images.isolated import replies

    def decode() -> Any:
        raise getattr(errors, payload.decode())("reason " + "x" * 100_000)

    yield from replies(decode)


def gluttony(args: dict[str, Any], payload: bytes) -> Replies:
    yield {}, bytes(args["memory"] + (1 << 27))
