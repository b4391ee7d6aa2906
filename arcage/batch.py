"""A run over many images: every answer to its place, and nothing lost to Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING

from arcage.output import Write
from arcage.prediction import Prediction
from arcage.sources import Source
from arcage.summary import Summary

if TYPE_CHECKING:
    from arcage.annotate import Annotator
    from arcage.report.faces import Add


def save(
    answers: Generator[tuple[Source, list[Prediction]]],
    output: AbstractContextManager[Write],
    *,
    annotator: Annotator | None = None,
    report: AbstractContextManager[Add] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Summary:
    """Write the answers of :meth:`arcage.Predictor.stream` and, where asked, draw them and fill a page.

    Args:
        output: from :func:`arcage.output.write_file` or :func:`~arcage.output.write_stdout`.
        report: from :func:`arcage.report.faces.write_page`.
        progress: called after each image.

    Raises:
        OutputError: a file or a picture cannot be written.
        KeyboardInterrupt: passed on, once the rows of all images before it are in the output.
        CacheError, DeviceError, ModelError: as the stream.
    """
    summary = Summary()
    interrupt: KeyboardInterrupt | None = None
    start = time.monotonic()
    with report or nullcontext() as add, output as write, closing(answers):
        try:
            for source, rows in answers:
                with uninterrupted():
                    write(rows)
                    if add is not None:
                        add(source, rows)
                summary.add(source.path, rows[0].status, sum(row.face is not None for row in rows))
                if annotator is not None:
                    summary.drawn += annotator.draw(source, rows)
                progress()
        except KeyboardInterrupt as error:
            interrupt = error
    summary.seconds = time.monotonic() - start
    if interrupt is not None:
        raise interrupt
    return summary


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done: in the middle of it, half a row would be written."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    caught: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        caught.append(number)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if caught:
        raise KeyboardInterrupt
