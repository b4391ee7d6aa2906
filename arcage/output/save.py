"""A run over many images: every answer to its place, and nothing lost to Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

from arcage.output.formats import Write
from arcage.output.summary import Summary
from arcage.process.interrupt import interruptible, uninterrupted
from arcage.sources.source import Source
from arcage.types import Prediction

if TYPE_CHECKING:
    from arcage.output.annotate import Annotator


def save(
    answers: Generator[tuple[Source, list[Prediction]]],
    output: AbstractContextManager[Write],
    *,
    annotator: Annotator | None = None,
    report: AbstractContextManager[Callable[[Source, Sequence[Prediction]], None]] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Summary:
    """Write the answers of :meth:`arcage.Predictor.stream` and, where asked, draw them and fill a page.

    Args:
        output: from :func:`arcage.output.formats.write_file` or :func:`~arcage.output.formats.write_stdout`.
        report: from :func:`arcage.report.predictions_page.write_page`.
        progress: called after each image.

    Raises:
        OutputError: a file or a picture cannot be written.
        KeyboardInterrupt: passed on, once the rows of all images before it are in the output.
        CacheError, DeviceError, ModelError: as the stream.
    """
    summary = Summary()
    interrupt: KeyboardInterrupt | None = None
    start = time.monotonic()
    # Only waiting for a result can be interrupted: elsewhere, an interrupt would leave half a row, or lose
    # the file at the end.
    with uninterrupted(), report or nullcontext() as add, output as write, closing(answers):
        try:
            while True:
                with interruptible():
                    answer = next(answers, None)
                if answer is None:
                    break
                source, rows = answer
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
