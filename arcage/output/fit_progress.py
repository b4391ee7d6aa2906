"""Where a fit is, on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TextIO

from arcage.heads.watch import Step

TERMINAL, LINES = 0.1, 30.0
"""Seconds at least between what is shown: on a terminal, where one line is written over, and elsewhere."""


class Live:
    """A :data:`~arcage.heads.watch.Watch` for people, called by one thread at a time.

    A terminal has one line that changes. Elsewhere, as in a log, each stage has a line when all of its models
    are done, and a slow one another every half a minute.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._clock = clock
        self._shown = clock()
        self._begun: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._errors: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._done: dict[tuple[str, str], int] = defaultdict(int)

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __call__(self, step: Step) -> None:
        key = step.attribute, step.stage
        if step.error is not None and step.round == 0:
            self._begun[key].append(step.error)
        if step.done:
            self._done[key] += 1
            if step.error is not None:
                self._errors[key].append(step.error)
            if self._done[key] == step.models:
                self.say(self._finished(step))
                # Another fit may follow.
                self._begun.pop(key, None)
                self._errors.pop(key, None)
                self._done.pop(key)
                return
        now = self._clock()
        if now - self._shown >= (TERMINAL if self._terminal else LINES):
            self._shown = now
            if self._terminal:
                columns = shutil.get_terminal_size().columns
                self._stream.write(f"\r\x1b[K{str(step)[: columns - 1]}")
                self._stream.flush()
            else:
                self.say(str(step))

    def say(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()
        self._shown = self._clock()

    def clear(self) -> None:
        """Take away the line that changes, before anybody else writes."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _finished(self, step: Step) -> str:
        key = step.attribute, step.stage
        words = f"{step.attribute}: {step.stage} done"
        if errors := self._errors[key]:
            begun = self._begun[key]
            fall = f"from {sum(begun) / len(begun):.3f} to " if begun else ""
            words += f", {step.loss} on unseen faces {fall}{sum(errors) / len(errors):.3f}"
        return words
