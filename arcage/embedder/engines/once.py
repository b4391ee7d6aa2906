"""Make something once for each key, in several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class OncePerKey(Generic[Key, Value]):
    """Calls a function once for each key, in the first thread that asks for its value.

    Threads that ask for the same value wait for it; others do not. A failure is not kept: the next call tries
    again.

    Args:
        make: returns the value of a key.
    """

    def __init__(self, make: Callable[[Key], Value]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._values: dict[Key, Future[Value]] = {}

    def __getitem__(self, key: Key) -> Value:
        with self._lock:
            value = self._values.get(key)
            first = value is None
            if value is None:
                value = self._values[key] = Future()
        if first:
            try:
                value.set_result(self._make(key))
            except BaseException as error:
                with self._lock:
                    del self._values[key]
                value.set_exception(error)
                raise
        return value.result()
