"""Ctrl-C, SIGTERM and SIGHUP end a run in the same way: what is finished is kept.

The first signal raises KeyboardInterrupt in the main thread. Further signals are ignored for
:data:`PATIENCE` seconds, while finished results are written; a later one ends the process immediately.

Only the command line handles signals, with :func:`listening`. Without it, the other functions do nothing.
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
PATIENCE = 10.0
"""Seconds after the first signal. Writing a shard of the cache takes a fraction of this."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_AGAIN = 0.05
"""Seconds until a lost interrupt is raised again."""


class _State:
    listening = False
    held = False
    """Whether the first signal is deferred."""
    waiting = False
    """Whether a deferred signal is pending."""
    number = 0
    since: float | None = None
    """Time of the first signal."""


_state = _State()


@contextmanager
def listening() -> Iterator[None]:
    """Handle signals within a block; signals that are ignored, as with ``nohup``, stay ignored."""
    if threading.current_thread() is not threading.main_thread() or _state.listening:
        yield
        return
    before = {n: signal.getsignal(n) for n in _SIGNALS}
    hook = sys.unraisablehook
    _state.listening = True
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
        _state.listening = False
        forget()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer the first signal until the block ends."""
    with _holding(True):
        yield
    _deliver()


@contextmanager
def interruptible() -> Iterator[None]:
    """Deliver signals immediately, inside an :func:`uninterrupted` block."""
    with _holding(False):
        _deliver()
        yield


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restore the handlers after a block in which a library may set its own."""
    ours = [number for number in _SIGNALS if signal.getsignal(number) is _stop]
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _stop)


def stopping() -> bool:
    """Whether a signal is ending the run: nothing that can take long should be waited for."""
    return _state.since is not None


def forget() -> None:
    """Forget a handled signal after which the process goes on: the next one counts as the first."""
    _state.since, _state.waiting = None, False


def leave(code: int) -> NoReturn:
    """End the process without waiting for its threads, which may be blocked in a read."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)


def _stop(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _state.since is None:
        _state.number, _state.since, _state.waiting = number, now, True
        if not _state.held:
            _deliver()
    elif now - _state.since > PATIENCE:
        with suppress(OSError):
            os.write(2, b"arcage: ended immediately; unwritten results are lost\n")
        os._exit(EXIT_CODE)


def _deliver() -> None:
    if _state.waiting and not _state.held and threading.current_thread() is threading.main_thread():
        _state.waiting = False
        raise KeyboardInterrupt


@contextmanager
def _holding(held: bool) -> Iterator[None]:
    if not _state.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _state.held = _state.held, held
    try:
        yield
    finally:
        _state.held = before


def _is_ours(lost: Any) -> bool:
    """Whether a KeyboardInterrupt was lost in a destructor or a C callback, which exceptions cannot leave."""
    return stopping() and issubclass(lost.exc_type, KeyboardInterrupt)


def _raise_again() -> None:
    forget()
    main = threading.main_thread().ident

    def send() -> None:
        if not _state.listening:  # without the handler, the signal would kill the process
            return
        # To the main thread, to end a blocking call there.
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(main, _state.number)
        else:
            signal.raise_signal(_state.number)

    timer = threading.Timer(_AGAIN, send)
    timer.daemon = True
    timer.start()
