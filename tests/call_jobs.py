"""Functions for processes of arcage.process.calls."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any


class UnpicklableError(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def serve(arguments: Any, ask: Any) -> Any:
    """Do what the arguments say: the name of a function, and its arguments."""
    name, *others = arguments
    if name == "ask":
        return ask(others[0])
    return globals()[name](*others)


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def end(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(30)


def leave(code: int) -> None:
    os._exit(code)


def fail(kind: str) -> None:
    raise {"value": ValueError("no"), "unpicklable": UnpicklableError(1, 2), "exit": SystemExit(3)}[kind]


def environment(name: str) -> str | None:
    return os.environ.get(name)


def negative(numbers: Sequence[int], ask: Any) -> list[int]:
    """Return the numbers with the other sign. 13 ends the process."""
    if 13 in numbers:
        end(signal.SIGKILL)
    return [-number for number in numbers]


def dead(numbers: Sequence[int], ask: Any) -> None:
    leave(7)
