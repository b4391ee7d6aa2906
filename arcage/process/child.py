"""Start Python processes that import arcage from where this process did, and tell why they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_SETUP = "import sys; sys.path[:] = sys.argv[1:]; from {} import serve; serve()"


def start_python(
    module: str, environment: Mapping[str, str], *, own_session: bool = False
) -> subprocess.Popen[bytes]:
    """Start a Python process that calls ``serve()`` of a module.

    It has the import path of this process, without the working directory. Its standard input and output are
    pipes, which are not buffered here; what it prints on standard error is discarded.

    Args:
        module: name of the module.
        environment: environment variables that differ from those of this process.
        own_session: on POSIX, whether signals to the group of this process, such as Ctrl-C, do not reach it.

    Raises:
        OSError, ValueError: the process cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _SETUP.format(module), *_import_path()],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
        start_new_session=own_session,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def ending(code: int) -> str:
    """Return how a process ended, by its exit code, which is negative after a signal."""
    if code == -getattr(signal, "SIGKILL", 0):
        return "was killed, probably because memory ran out"
    if code < 0:
        with suppress(ValueError):
            return f"crashed ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"


def _import_path() -> list[str]:
    """Return the import path of this process, without its working directory."""
    ours = str(Path(__file__).absolute().parents[2])
    entries = [e for e in sys.path if os.path.isabs(e) and (e == ours or not _is_working_directory(e))]
    return entries if ours in entries else [*entries, ours]


def _is_working_directory(path: str) -> bool:
    try:
        return os.path.samefile(path, os.curdir)
    except OSError:
        return False
