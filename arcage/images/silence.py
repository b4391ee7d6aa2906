"""Suppress messages of decoders on standard error, which do not name the file as arcage's errors do."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import cv2

_opencv: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging

_PIPE_BYTES = 1 << 16
"""Capacity of a pipe, bytes."""
_DEBUG = 5
"""OpenCV's ``LOG_LEVEL_DEBUG``."""
_UNBUFFERED = 2
"""``_IONBF`` of glibc."""


class _SilenceDecoders:
    """A context manager that suppresses OpenCV's log and, with glibc, what C libraries print to ``stderr``.

    Libraries such as libjpeg print with ``fprintf(stderr)``. glibc documents that a program may assign to
    ``stderr``, so it refers to a pipe while at least one thread decodes. What does not fit into it is lost.
    File descriptor 2 is not changed: Python's standard error, progress bars, child processes and crash
    messages are not affected.
    With other C libraries, ``stderr`` may be a constant, and only OpenCV's log is suppressed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0
        self._stderr: Any = None
        self._prepared = False
        self._pipe = -1
        self._listeners: list[list[bytes]] = []

    @contextmanager
    def listen(self) -> Iterator[list[bytes]]:
        """Suppress messages, and append those to ``stderr`` to the list at the end, of all threads.

        With other C libraries than glibc, the list stays empty.
        """
        heard: list[bytes] = []
        with self:
            with self._lock:
                self._distribute()
                self._listeners.append(heard)
            try:
                yield heard
            finally:
                with self._lock:
                    self._distribute()
                    self._listeners = [each for each in self._listeners if each is not heard]

    def _distribute(self) -> None:
        """Give what was printed since the last call to all listeners."""
        if self._pipe < 0:
            return
        try:
            text = os.read(self._pipe, _PIPE_BYTES)
        except BlockingIOError:
            return
        for heard in self._listeners:
            heard.append(text)

    def _prepare(self) -> None:
        # Not on import: if a standard stream is closed, the pipe would get its file descriptor.
        self._prepared = True
        if sys.platform != "linux":
            return
        libc = ctypes.CDLL(None)
        if not hasattr(libc, "gnu_get_libc_version"):
            return
        libc.fdopen.restype = ctypes.c_void_p
        try:
            self._pipe, far_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        self._file = libc.fdopen(far_end, b"w")
        if self._file:
            libc.setvbuf(ctypes.c_void_p(self._file), None, _UNBUFFERED, 0)
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
                    self._original, self._stderr.value = self._stderr.value, self._file

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
        # The pipe is that of the parent.
        self._prepared, self._pipe, self._listeners = False, -1, []


@contextmanager
def opencv_messages() -> Iterator[list[bytes]]:
    """Append what OpenCV logs to the list at the end. Only for workers: it changes file descriptor 2."""
    heard: list[bytes] = []
    level = _opencv.getLogLevel()
    kept = os.dup(2)
    try:
        with _scratch_file() as file:
            os.dup2(file.fileno(), 2)
            # OpenCV 4 logs warnings of libtiff at this level, OpenCV 5 at a lower one.
            _opencv.setLogLevel(_DEBUG)
            try:
                yield heard
            finally:
                _opencv.setLogLevel(level)
                os.dup2(kept, 2)
            file.seek(0)
            heard.append(file.read(_PIPE_BYTES))
    finally:
        os.close(kept)


def _scratch_file() -> IO[bytes]:
    # In a container, there may be no folder that can be written.
    return open(os.memfd_create("opencv"), "w+b") if sys.platform == "linux" else tempfile.TemporaryFile()


silence_decoders = _SilenceDecoders()
"""Use it as ``with silence_decoders: ...``. It may be nested, and entered by several threads."""
