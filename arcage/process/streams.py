"""Closed or full standard streams: losing data is an error, losing messages is not."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import IO, Any


def prepare() -> None:
    """Make the standard streams usable, even if some were closed when the process started.

    The next opened file would take the place of a closed stream, and receive what a library prints. Null
    devices replace closed streams: standard input is empty, writing to standard output fails, and output to
    standard error is discarded, as it is after a failed write.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Standard output is opened for reading only: a write to it must fail.
            number = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
        stream = getattr(sys, name)
        # Buffered: an unbuffered stream has nothing left to flush, so a failure would go unnoticed.
        if stream is None or (name == "stdout" and isinstance(stream.buffer, io.RawIOBase)):
            mode = "r" if name == "stdin" else "w"
            encoding = getattr(stream, "encoding", "utf-8")
            setattr(sys, name, open(number, mode, encoding=encoding, closefd=False))  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper) and not isinstance(sys.stderr, _StandardError):
        sys.stderr = _StandardError(sys.stderr)


def drop(stream: Any) -> None:
    """Discard what could not be written, and all further output: Python would retry at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _StandardError(io.TextIOWrapper):
    """Standard error that ignores a full disk or a closed terminal, so that the run goes on."""

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
