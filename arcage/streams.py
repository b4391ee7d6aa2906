"""Standard streams that are closed or full: to lose data is an error, to lose words is not."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import IO, Any


def prepare() -> None:
    """Make the standard streams fit to be used, whatever state this process was started in.

    Where one is closed, the next file to be opened would take its place, and what a library prints would go
    into that file. So null devices take it: standard input is empty, writing to standard output fails, and
    what goes to standard error is dropped, as it is once standard error fails.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Standard output for reading only: a write to it has to fail.
            number = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
        stream = getattr(sys, name)
        # One without a buffer has nothing left to flush after a failure, by which it could be recognised.
        if stream is None or (name == "stdout" and isinstance(stream.buffer, io.RawIOBase)):
            mode = "r" if name == "stdin" else "w"
            encoding = getattr(stream, "encoding", "utf-8")
            setattr(sys, name, open(number, mode, encoding=encoding, closefd=False))  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper) and not isinstance(sys.stderr, _Words):
        sys.stderr = _Words(sys.stderr)


def drop(stream: Any) -> None:
    """Forget what could not be written, and write nothing more: Python would try again on leaving."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Words(io.TextIOWrapper):
    """Standard error: a disk that is full or a terminal that is gone does not end a run."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=True,
            write_through=stream.write_through,
        )
        # It owns the buffer, and would close it.
        self._stream: IO[str] = stream

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            drop(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            drop(self)
