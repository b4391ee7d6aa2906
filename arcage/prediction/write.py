"""Write the results of a run as they arrive, so that an interrupt or an error loses none."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

from arcage.errors import ArcageError
from arcage.heads.familiarity import UNFAMILIAR
from arcage.output.formats import Write
from arcage.output.summary import Summary
from arcage.process.interrupt import interruptible, uninterrupted
from arcage.sources.source import Source
from arcage.types import Prediction

if TYPE_CHECKING:
    from arcage.output.annotate import Annotator


def write_predictions(
    predictions: Generator[tuple[Source, list[Prediction]]],
    rows_output: AbstractContextManager[Write],
    *,
    annotator: Annotator | None = None,
    page: AbstractContextManager[Callable[[Source, Sequence[Prediction]], None]] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Summary:
    """Write predictions to all outputs.

    Args:
        predictions: images with their rows, as from :meth:`arcage.Predictor.stream`.
        rows_output: from :func:`arcage.output.formats.write_file` or
            :func:`~arcage.output.formats.write_stdout`.
        annotator: draws the images; None to draw none.
        page: from :func:`arcage.report.predictions_page.write_page`; None for no page.
        progress: called after each image.

    Raises:
        OutputError: an output cannot be written.
        KeyboardInterrupt: raised again after the rows of all finished images are written.
        ArcageError: an error of ``predictions``, likewise, unless it was raised for the first image.
    """
    summary = Summary()
    stopped: KeyboardInterrupt | ArcageError | None = None
    start = time.monotonic()
    # Only waiting for a prediction can be interrupted. Elsewhere, an interrupt could leave half a row or lose
    # the file at the end.
    with uninterrupted(), page or nullcontext() as add, rows_output as write, closing(predictions):
        while True:
            try:
                with interruptible():
                    prediction = next(predictions, None)
            except (KeyboardInterrupt, ArcageError) as error:
                if isinstance(error, ArcageError) and not summary.images:
                    raise
                stopped = error
                break
            if prediction is None:
                break
            source, rows = prediction
            write(rows)
            if add is not None:
                add(source, rows)
            # A box outside of its image has a row without a face.
            status = "ok" if any(row.status == "ok" for row in rows) else rows[0].status
            summary.add(source.path, status, sum(row.face is not None for row in rows))
            summary.add_given(source.faces, [row.det_score for row in rows if row.status == "ok"])
            summary.unfamiliar += sum(map(_is_unfamiliar, rows))
            if annotator is not None:
                summary.drawn += annotator.draw(source, rows)
            progress()
    summary.seconds = time.monotonic() - start
    if stopped is not None:
        raise stopped
    return summary


def _is_unfamiliar(row: Prediction) -> bool:
    """Return whether something is shown for a face that is unlike the training faces."""
    shown = row.age_low is not None or row.p_female is not None
    return shown and row.familiarity is not None and row.familiarity < UNFAMILIAR
