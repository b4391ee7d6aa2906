"""Call a function in another process, from several threads at once.

The process runs code of arcage that needs processors of its own, and may die: by a damaged file in a C
library, or when memory runs out. Its calls then raise :class:`ProcessDiedError`. Unlike the cells of
:mod:`arcage.process.cell`, it has no limits, and what it sends is trusted: arguments and results are pickled.

It ends with its input: when it is closed, or when the process that started it dies.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import signal
import struct
import subprocess
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeAlias
from weakref import WeakSet

from arcage.process.child import ending, start_python
from arcage.process.worker import prepare_process, private_streams

Ask: TypeAlias = Callable[[Any], Any]
"""Sends a question to the process that called, and returns the answer."""
Called: TypeAlias = Callable[[Any, Ask | None], Any]
"""Given the arguments of a call, and how to ask if the caller answers, returns a result. It is pickled."""

_HEAD = struct.Struct("<QBQ")
"""Number of a call, kind of a message, and length of the pickled value that follows, bytes."""
_CALL, _RESULT, _ERROR, _QUESTION, _ANSWER = range(5)
_SETUP = 0
"""Number of the first call, which sends the function."""
_END_SECONDS = 2.0
"""Time limit for the system to end a killed process, seconds."""
_PROTOCOL = pickle.HIGHEST_PROTOCOL

_processes: WeakSet[CallProcess] = WeakSet()


class ProcessDiedError(Exception):
    """The process cannot be started, ended before it returned a result, or was closed.

    The message follows the words "the process".
    """


class CallProcess:
    """A process that runs one function, in several threads.

    Args:
        function: runs in the process.
        threads: calls that run at once.
        environment: environment variables that differ from those of this process.

    Raises:
        ProcessDiedError: the process cannot be started.
    """

    def __init__(self, function: Called, *, threads: int, environment: Mapping[str, str]) -> None:
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._messages: dict[int, SimpleQueue[tuple[int, bytes] | None]] = {_SETUP: SimpleQueue()}
        self._numbers = itertools.count(1)
        self._ready = False
        self._has_ended = self._is_closed = False
        setup = pickle.dumps((function, threads), _PROTOCOL)
        try:
            self._process = start_python(__name__, environment, own_session=True)
        except (OSError, ValueError) as error:
            raise ProcessDiedError(f"cannot be started: {error}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        _processes.add(self)
        self._receiver = threading.Thread(target=self._receive, name="arcage-receive", daemon=True)
        self._receiver.start()
        with suppress(ProcessDiedError):  # raised by the first call
            self._send(_SETUP, _CALL, setup)

    @property
    def has_ended(self) -> bool:
        """Whether further calls would fail."""
        return self._has_ended

    def call(self, arguments: Any, answer: Ask | None = None) -> Any:
        """Return the result of the function.

        Args:
            arguments: picklable.
            answer: called in this thread with the questions of the function.

        Raises:
            ProcessDiedError: the process ended before the result, or was closed.
            Exception: the exception of the function.
        """
        data = pickle.dumps((arguments, answer is not None), _PROTOCOL)
        self._wait_until_ready()
        number = next(self._numbers)
        messages: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        with self._lock:
            if self._has_ended:
                raise ProcessDiedError(self._reason())
            self._messages[number] = messages
        try:
            self._send(number, _CALL, data)
            del data  # it may have images
            while True:
                kind, value = self._next(messages)
                if kind == _RESULT:
                    return pickle.loads(value)  # noqa: S301 (arcage in a process of this one)
                if kind == _ERROR:
                    raise pickle.loads(value)  # noqa: S301
                assert answer is not None
                self._send(number, _ANSWER, pickle.dumps(answer(pickle.loads(value)), _PROTOCOL))  # noqa: S301
        finally:
            with self._lock:
                self._messages.pop(number, None)

    def kill(self) -> None:
        """End the process immediately. Its calls raise ProcessDiedError."""
        self._is_closed = True
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End the process immediately, wait until it is gone, and release its pipes."""
        self.kill()
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._receiver.join(_END_SECONDS)
        with self._sending, suppress(OSError):
            self._input.close()

    def forget(self) -> None:
        """Forget the process, which is not a child of this one."""
        with suppress(OSError):
            self._input.close()
        with suppress(OSError):
            os.close(self._output.fileno())
        self._process.returncode = 0  # otherwise its destructor would warn that it runs

    def _wait_until_ready(self) -> None:
        if not self._ready:
            messages = self._messages[_SETUP]
            message = messages.get()
            messages.put(message)  # for the other threads
            if message is not None and message[0] == _ERROR:
                raise pickle.loads(message[1])  # noqa: S301
            self._ready = True

    def _next(self, messages: SimpleQueue[tuple[int, bytes] | None]) -> tuple[int, bytes]:
        message = messages.get()
        if message is None:
            raise ProcessDiedError(self._reason())
        return message

    def _send(self, number: int, kind: int, value: bytes) -> None:
        try:
            with self._sending:
                _write(self._input, number, kind, value)
        except (OSError, ValueError):  # ValueError: closed by another thread
            raise ProcessDiedError(self._reason()) from None

    def _receive(self) -> None:
        """Hand the messages of the process to the threads that wait for them, until it ends."""
        with io.BufferedReader(self._output) as output:  # type: ignore[type-var]
            while (message := _read(output)) is not None:
                number, kind, value = message
                with self._lock:
                    waiting = self._messages.get(number)
                if waiting is not None:
                    waiting.put((kind, value))
        with self._lock:
            self._has_ended = True
            for waiting in self._messages.values():
                waiting.put(None)

    def _reason(self) -> str:
        if self._is_closed:
            return "was closed"
        try:
            return ending(self._process.wait(_END_SECONDS))
        except subprocess.TimeoutExpired:
            return "closed its pipe"


def serve() -> None:
    """Run the calls that come from standard input until it ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the process that started this one ends it
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    requests, replies = private_streams()
    prepare_process()
    _Server(replies).run(requests)
    os._exit(0)  # without waiting for the threads


class _Server:
    """Runs calls, and sends their results to an unbuffered file."""

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._sending = threading.Lock()
        self._answers: dict[int, SimpleQueue[bytes]] = {}

    def run(self, requests: BinaryIO) -> None:
        """Run the calls in a file until it ends."""
        while (message := _read(requests)) is not None:
            number, kind, value = message
            del message
            if number == _SETUP:
                self._reply(number, partial(self._set_up, value))
            elif kind == _ANSWER:
                self._answers[number].put(value)
            else:
                self._pool.submit(self._reply, number, partial(self._call, number, value))
            del value  # it may have images

    def _set_up(self, value: bytes) -> None:
        self._function: Called
        self._function, threads = pickle.loads(value)  # noqa: S301 (from the process that started this one)
        self._pool = ThreadPoolExecutor(threads, "arcage")

    def _call(self, number: int, value: bytes) -> Any:
        arguments, can_ask = pickle.loads(value)  # noqa: S301
        return self._function(arguments, partial(self._ask, number) if can_ask else None)

    def _ask(self, number: int, question: Any) -> Any:
        self._answers[number] = SimpleQueue()
        self._send(number, _QUESTION, pickle.dumps(question, _PROTOCOL))
        answer = pickle.loads(self._answers[number].get())  # noqa: S301
        del self._answers[number]
        return answer

    def _reply(self, number: int, make: Callable[[], Any]) -> None:
        try:
            kind, value = _RESULT, pickle.dumps(make(), _PROTOCOL)
        except BaseException as error:
            kind, value = _ERROR, _pickled_error(error)
        self._send(number, kind, value)

    def _send(self, number: int, kind: int, value: bytes) -> None:
        # Without a reader, this process is about to end.
        with self._sending, suppress(BrokenPipeError):
            _write(self._replies, number, kind, value)


def _pickled_error(error: BaseException) -> bytes:
    """Return an exception, with its traceback as a note, for :func:`pickle.loads`."""
    text = "in a worker process: " + "".join(traceback.format_exception(error))
    error.add_note(text)
    try:
        data = pickle.dumps(error, _PROTOCOL)
        pickle.loads(data)  # noqa: S301 (some exceptions can only be pickled)
    except Exception:
        data = pickle.dumps(RuntimeError(text), _PROTOCOL)
    return data


def _read(file: BinaryIO | io.BufferedReader) -> tuple[int, int, bytes] | None:
    """Return the number, the kind and the pickled value of the next message, or None at the end."""
    try:
        start = file.read(_HEAD.size)
        if len(start) < _HEAD.size:
            return None
        number, kind, length = _HEAD.unpack(start)
        value = file.read(length)
    except (OSError, ValueError):
        return None
    return (number, kind, value) if len(value) == length else None


def _write(file: Any, number: int, kind: int, value: bytes) -> None:
    """Write a message to an unbuffered file, which may accept a part of it at a time."""
    rest = memoryview(_HEAD.pack(number, kind, len(value)) + value)
    while rest:
        rest = rest[file.write(rest) :]


def _after_fork() -> None:
    """Forget the processes in a forked child: they belong to its parent."""
    for process in list(_processes):
        process.forget()
    _processes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
