"""Show progress on standard error: bars for items and bytes, and one line for a fit.

Bars appear only on a terminal. All progress of the command line goes through this module; the library only
calls the callbacks that it is given.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, TextIO

from arcage.errors import ArcageError
from arcage.heads.callbacks import Step
from arcage.process.streams import with_controls
from arcage.text import visible

REDRAW_SECONDS, LOG_SECONDS = 0.1, 30.0
"""Minimum time between updates of a fit, on a terminal and elsewhere."""

ShowProgress = Callable[
    [str, int | Callable[[], Iterable[object]]], AbstractContextManager[Callable[[], object]]
]
"""Called with the title and the items, as :func:`item_progress`. Returns a context manager that yields a
callback, which is called after each item."""


def no_progress(
    title: str, items: int | Callable[[], Iterable[object]]
) -> AbstractContextManager[Callable[[], object]]:
    """Show nothing."""
    return nullcontext(lambda: None)


@contextmanager
def item_progress(
    title: str, items: int | Callable[[], Iterable[object]], *, quiet: bool = False
) -> Iterator[Callable[[], object]]:
    """Show a bar that counts items. Yields a callback to call after each item.

    Args:
        items: the number of items, 0 if unknown; or a function that returns the items. These are counted in
            a thread, because a walk through millions of files takes a while; the remaining time is shown as
            soon as the number is known.
        quiet: show nothing, as on standard error that is not a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import MofNCompleteColumn

    with _bar(title, MofNCompleteColumn()) as (bar, task):
        if isinstance(items, int):
            bar.update(task, total=items or None)
        else:

            def count() -> None:
                # The main thread walks through the same items, and reports the error.
                with suppress(ArcageError):
                    bar.update(task, total=sum(1 for _ in items()) or None)

            threading.Thread(target=count, name="arcage-count", daemon=True).start()
        yield lambda: bar.advance(task)


@contextmanager
def bytes_progress(
    title: str, *, quiet: bool = False
) -> Iterator[Callable[[int, int | None], object] | None]:
    """Show a bar for a download. Yields a callback for the number of received bytes and of all bytes.

    Yields None if ``quiet`` is set or standard error is not a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import DownloadColumn

    with _bar(title, DownloadColumn()) as (bar, task):
        yield lambda received, total: bar.update(task, completed=received, total=total)


@contextmanager
def _bar(description: str, numbers: Any) -> Iterator[tuple[Any, Any]]:
    """Show a bar with a column of numbers; yields rich's progress and its task."""
    # Imported here: this takes longer than most commands without a bar.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    title = TextColumn("{task.description}", markup=False)
    columns = (title, BarColumn(), numbers, TimeRemainingColumn())
    console = Console(file=with_controls(sys.stderr))
    # Standard output is not redirected: it receives data while the bar is shown.
    with Progress(*columns, console=console, redirect_stdout=False) as bar:
        # Rich prints above the bar what is written to standard error meanwhile, such as warnings.
        write = sys.stderr.write
        if type(sys.stderr).__name__ == "FileProxy":
            sys.stderr.write = lambda text: write(visible(text, keep="\n\t"))  # type: ignore[method-assign]
        yield bar, bar.add_task(visible(description), total=None)


class FitProgress:
    """Shows the steps of a fit; a :data:`~arcage.heads.callbacks.Callback` that one thread at a time calls.

    On a terminal one line is rewritten. Elsewhere, as in a log, each stage has a line when all of its models
    are finished, and a slow stage has another one every half a minute.

    Args:
        quiet: show nothing.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        quiet: bool = False,
    ) -> None:
        self._stream = with_controls(sys.stderr) if stream is None else stream
        self._terminal = self._stream.isatty() and not quiet
        self._quiet = quiet
        self._clock = clock
        self._shown = clock()
        self._first_errors: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._last_errors: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._finished: dict[tuple[str, str], int] = defaultdict(int)

    def __enter__(self) -> FitProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def __call__(self, step: Step) -> None:
        """Show one step."""
        if self._quiet:
            return
        key = step.attribute, step.stage
        if step.error is not None and step.round == 0:
            self._first_errors[key].append(step.error)
        if step.done:
            self._finished[key] += 1
            if step.error is not None:
                self._last_errors[key].append(step.error)
            if self._finished[key] == step.models:
                self.message(self._summary(step))
                # Another fit may follow.
                self._first_errors.pop(key, None)
                self._last_errors.pop(key, None)
                self._finished.pop(key)
                return
        now = self._clock()
        if now - self._shown >= (REDRAW_SECONDS if self._terminal else LOG_SECONDS):
            self._shown = now
            if self._terminal:
                columns = shutil.get_terminal_size().columns
                self._stream.write(f"\r\x1b[K{visible(str(step))[: columns - 1]}")
                self._stream.flush()
            else:
                self.message(str(step))

    def message(self, text: str) -> None:
        """Print a line that stays."""
        if self._quiet:
            return
        self._clear()
        self._stream.write(f"{visible(text)}\n")
        self._stream.flush()
        self._shown = self._clock()

    def _clear(self) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _summary(self, step: Step) -> str:
        key = step.attribute, step.stage
        words = f"{step.attribute}: {step.stage} done"
        if last := self._last_errors[key]:
            first = self._first_errors[key]
            start = f"from {sum(first) / len(first):.3f} to " if first else ""
            words += f", {step.loss} on unseen faces {start}{sum(last) / len(last):.3f}"
        return words
