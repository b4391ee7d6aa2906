"""Handle Ctrl-C, SIGTERM and SIGHUP so that finished results are kept.

The first signal raises KeyboardInterrupt in the main thread. Further signals are ignored for
:data:`GRACE_SECONDS` seconds, while finished results are written; a later one ends the process immediately.

Only the command line handles signals, with :func:`handle_signals`. Without it, the other functions do
nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

EXIT_CODE = 130
GRACE_SECONDS = 10.0
"""Seconds after the first signal in which others are ignored. Writing a shard of the cache takes less."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_RETRY_SECONDS = 0.05
"""Seconds until a lost interrupt is raised again."""


class _State:
    handling = False
    deferring = False
    """Whether the first signal would be deferred."""
    pending = False
    """Whether a deferred signal has not been delivered."""
    number = 0
    since: float | None = None
    """Monotonic time of the first signal."""


_state = _State()


@contextmanager
def handle_signals() -> Iterator[None]:
    """Handle signals within a block. Signals that are ignored, as with ``nohup``, stay ignored."""
    if threading.current_thread() is not threading.main_thread() or _state.handling:
        yield
        return
    before = {n: signal.getsignal(n) for n in _SIGNALS}
    hook = sys.unraisablehook
    _state.handling = True
    try:
        for number, handler in before.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, _stop)
        sys.unraisablehook = lambda lost: _raise_again() if _is_ours(lost) else hook(lost)
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is _stop:
                signal.signal(number, handler)
        sys.unraisablehook = hook
        _state.handling = False
        forget_signal()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer the first signal until the block ends."""
    with _deferring(True):
        yield
    _deliver()


@contextmanager
def interruptible() -> Iterator[None]:
    """Deliver signals immediately within a block inside :func:`uninterrupted`."""
    with _deferring(False):
        _deliver()
        yield


@contextmanager
def keep_handlers() -> Iterator[None]:
    """Restore the signal handlers after a block in which a library may set its own."""
    ours = [number for number in _SIGNALS if signal.getsignal(number) is _stop]
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _stop)


def is_stopping() -> bool:
    """Return whether a signal is ending the run, so that nothing slow should be waited for."""
    return _state.since is not None


def forget_signal() -> None:
    """Forget a signal that did not end the process, so that the next signal counts as the first."""
    _state.since, _state.pending = None, False


def exit_now(code: int) -> NoReturn:
    """End the process and its workers without waiting for threads, which may be blocked in a read."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    # Not imported here: without the module there are no worker processes.
    if (cell := sys.modules.get("arcage.process.cell")) is not None:
        cell.close_cells()
    os._exit(code)


def _stop(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _state.since is None:
        _state.number, _state.since, _state.pending = number, now, True
        if not _state.deferring:
            _deliver()
    elif now - _state.since > GRACE_SECONDS:
        with suppress(OSError):
            os.write(2, b"arcage: ended immediately; unwritten results are lost\n")
        os._exit(EXIT_CODE)


def _deliver() -> None:
    if _state.pending and not _state.deferring and threading.current_thread() is threading.main_thread():
        _state.pending = False
        raise KeyboardInterrupt


@contextmanager
def _deferring(deferring: bool) -> Iterator[None]:
    if not _state.handling or threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _state.deferring = _state.deferring, deferring
    try:
        yield
    finally:
        _state.deferring = before


def _is_ours(lost: Any) -> bool:
    """Return whether a KeyboardInterrupt was lost in a destructor or C callback, which cannot raise it."""
    return is_stopping() and issubclass(lost.exc_type, KeyboardInterrupt)


def _raise_again() -> None:
    forget_signal()
    main = threading.main_thread().ident

    def send() -> None:
        if not _state.handling:  # without the handler, the signal would kill the process
            return
        # Sent to the main thread, to interrupt a blocking call there.
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(main, _state.number)
        else:
            signal.raise_signal(_state.number)

    timer = threading.Timer(_RETRY_SECONDS, send)
    timer.daemon = True
    timer.start()
