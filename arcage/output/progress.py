"""A progress bar on standard error, for people only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from arcage.errors import ArcageError

ShowProgress = Callable[[str, Callable[[], Iterable[object]]], AbstractContextManager[Callable[[], object]]]
"""Called with a title and a function that returns the items. Returns a context manager that yields a callback,
which is called after each item. See :func:`progress`."""


def no_progress(
    title: str, items: Callable[[], Iterable[object]]
) -> AbstractContextManager[Callable[[], object]]:
    """Show nothing."""
    return nullcontext(lambda: None)


@contextmanager
def progress(
    title: str, items: Callable[[], Iterable[object]], *, quiet: bool = False
) -> Iterator[Callable[[], object]]:
    """Show how many images are done; yields what to call after each.

    Shows nothing unless standard error is a terminal.

    Args:
        items: what will be worked on. It is counted in a thread beside the work, because to walk through
            millions of files takes a while; the time that is left is shown once the number is known. None
            means that the number is unknown.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    # Here, because it takes longer to import than most commands without a bar to run.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Standard output is not redirected: it receives data while the bar runs.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task(title, total=None)

        def count() -> None:
            # What stops the walk stops the work as well, and is said there.
            with suppress(ArcageError):
                bar.update(task, total=sum(1 for _ in items()) or None)

        threading.Thread(target=count, name="arcage-count", daemon=True).start()
        yield lambda: bar.advance(task)


@contextmanager
def bytes_progress(
    title: str, *, quiet: bool = False
) -> Iterator[Callable[[int, int | None], object] | None]:
    """Show how much of a download is here; yields what to call with the bytes that are and that will be.

    Shows nothing, and yields None, unless standard error is a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task(title, total=None)
        yield lambda here, total: bar.update(task, completed=here, total=total)
