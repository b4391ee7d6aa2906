"""One heap for all threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
from arcage.process.memory import share_heap
if sys.argv[1] == "shared":
    share_heap()
together = threading.Barrier(4)
blocks = []
def allocate():
    together.wait()
    blocks.append(ctypes.create_string_buffer(100_000))
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
getattr(libc, "malloc_stats", lambda: None)()
"""


def heaps(kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", THREADS, kind], check=True, capture_output=True, text=True)
    return done.stderr.count("Arena ")


@pytest.mark.skipif(not heaps("each"), reason="needs the C library glibc")
def test_threads_share_one_heap() -> None:
    assert heaps("each") > 1
    assert heaps("shared") == 1
