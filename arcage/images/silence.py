"""Suppress messages of decoders on standard error, which do not name the file as arcage's errors do."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any

import cv2

_opencv: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging


class _SilenceDecoders:
    """A context manager that suppresses OpenCV's log and, with glibc, what C libraries print to ``stderr``.

    Libraries such as libjpeg print with ``fprintf(stderr)``. glibc documents that a program may assign to
    ``stderr``, so it refers to the null device while at least one thread decodes. File descriptor 2 is not
    changed: Python's standard error, progress bars, child processes and crash messages are not affected.
    With other C libraries, ``stderr`` may be a constant, and only OpenCV's log is suppressed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0
        self._stderr: Any = None
        self._prepared = False

    def _prepare(self) -> None:
        # Not on import: if a standard stream is closed, the null device would get its file descriptor.
        self._prepared = True
        if sys.platform != "linux":
            return
        libc = ctypes.CDLL(None)
        if not hasattr(libc, "gnu_get_libc_version"):
            return
        libc.fopen.restype = ctypes.c_void_p
        # "e": not inherited by child processes.
        self._null = libc.fopen(os.devnull.encode(), b"we")
        if self._null:
            self._stderr = ctypes.c_void_p.in_dll(libc, "stderr")
            self._original = self._stderr.value
            os.register_at_fork(after_in_child=self._restart)

    def __enter__(self) -> None:
        with self._lock:
            if not self._prepared:
                self._prepare()
            self._inside += 1
            if self._inside == 1:
                self._level = _opencv.getLogLevel()
                _opencv.setLogLevel(0)
                if self._stderr is not None:
                    self._original, self._stderr.value = self._stderr.value, self._null

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()

    def _restore(self) -> None:
        _opencv.setLogLevel(self._level)
        if self._stderr is not None:
            self._stderr.value = self._original

    def _restart(self) -> None:
        # A forked child has none of the decoding threads, and may have a lock that is never released.
        self._lock = threading.Lock()
        if self._inside:
            self._inside = 0
            self._restore()


silence_decoders = _SilenceDecoders()
"""Use it as ``with silence_decoders: ...``. It may be nested, and entered by several threads."""
