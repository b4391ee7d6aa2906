"""Handle closed and full standard streams: losing data is an error, losing messages is not."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, TextIO

from arcage.text import visible


def prepare_streams() -> None:
    """Make the standard streams usable, even if some were closed when the process started.

    Otherwise, the next opened file would get the descriptor of a closed stream, and receive what libraries
    print. Null devices replace closed streams: standard input is empty, and writing to standard output fails.
    Output to standard error is discarded if the stream is closed or after a failed write.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Standard output is opened for reading only: a write to it must fail.
            number = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
        stream = getattr(sys, name)
        # Buffered, because flushing an unbuffered stream cannot fail, so that an error would be missed.
        if stream is None or (name == "stdout" and isinstance(stream.buffer, io.RawIOBase)):
            mode = "r" if name == "stdin" else "w"
            encoding = getattr(stream, "encoding", "utf-8")
            setattr(sys, name, open(number, mode, encoding=encoding, closefd=False))  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper) and not isinstance(sys.stderr, _StandardError):
        sys.stderr = _StandardError(sys.stderr, controls=False)


def with_controls(stream: TextIO) -> TextIO:
    """Return the stream to which progress bars write the codes that move the cursor."""
    return stream.controls if isinstance(stream, _StandardError) and stream.controls else stream


def discard_output(stream: Any) -> None:
    """Discard all unwritten and further output of a stream, which Python would try to write at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def without_stderr() -> Iterator[None]:
    """Discard what all threads and C code print to standard error: file descriptor 2 is the null device."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _StandardError(io.TextIOWrapper):
    """Standard error that ignores a full disk or a closed terminal, so that the run continues.

    Characters that cannot be seen are escaped, also in warnings, logs and tracebacks, which may quote a file.

    Args:
        stream: the stream that it replaces.
        controls: write control characters as they are.
    """

    def __init__(self, stream: io.TextIOWrapper, *, controls: bool) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=True,
            write_through=stream.write_through,
        )
        # A reference is kept, because the stream would close its buffer when it is deleted.
        self._stream: IO[str] = stream
        self.controls = None if controls else _StandardError(stream, controls=True)
        """The same stream for text with control characters; None if this is that stream."""

    def write(self, text: str) -> int:
        try:
            super().write(text if self.controls is None else visible(text, keep="\n\t"))
            return len(text)
        except OSError:
            discard_output(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            discard_output(self)
