"""Predict the images that a user named, and write the results."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from arcage.errors import UsageError
from arcage.files import check_exist, check_replaceable
from arcage.heads.place import heads_path
from arcage.output.formats import Write, check_rows_file, write_file, write_stdout
from arcage.output.progress import ShowProgress, no_progress
from arcage.output.registry import OutputFormat, file_format, printed_format
from arcage.output.summary import Summary
from arcage.prediction.request import PredictRequest
from arcage.prediction.write import write_predictions
from arcage.sources.inputs import STDIN
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.source import Source
from arcage.sources.suffixes import is_video
from arcage.sources.url import is_url
from arcage.text import counted
from arcage.types import Prediction

if TYPE_CHECKING:
    from arcage.embedder.workers import Workers
    from arcage.output.annotate import Annotator
    from arcage.predictor import Predictor
    from arcage.report.predictions_page import Add
    from arcage.types import FacesFrom
    from arcage.video.predictions import Videos
    from arcage.video.write import WriteFrame

Rows = Generator[tuple[Source, list[Prediction]]]


def predict(
    request: PredictRequest,
    *,
    report: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    progress: ShowProgress = no_progress,
) -> Summary:
    """Predict images and videos, and write the results.

    The outputs are checked before the models are loaded.

    Args:
        request: the images, the outputs and the settings.
        report: called with messages about the results.
        warn: called with warnings, such as a fallback to the CPU.
        progress: see :data:`~arcage.output.progress.ShowProgress`.

    Returns:
        Counts of the images. If a server failed, ``error`` is set, and the other images are predicted.

    Raises:
        UsageError: arguments contradict each other.
        ForeignFileError: an output would replace a file that arcage did not write.
        OutputError: an output cannot be written.
        KeyboardInterrupt: raised again after the finished rows are written.
        ArcageError: as :class:`arcage.Predictor`.
    """
    check_exist({"heads": [heads_path(request.heads)]})
    if request.min_score and request.inputs.faces_from == "boxes":
        raise UsageError("each of the `boxes` has a row: leave out `min_score`")
    outputs = _checked_outputs(request)
    # Imported here, after all checks of the arguments, because NumPy is slow to load.
    from arcage.embedder.engines.gpus import named_gpus
    from arcage.embedder.workers import choose_workers

    gpus = named_gpus(request.device)
    predictor = _predictor(request, gpus[0] if gpus else request.device)
    if predictor.note:
        warn(predictor.note)
    workers = choose_workers(request.workers, predictor.device, gpus)
    one = request.inputs.is_one_image
    # Rows on the same terminal already show the progress, and a bar would be mixed up with them.
    hidden = one or (request.out is None and sys.stdout.isatty())
    show = no_progress if hidden else progress
    try:
        with (
            show("Predicting", lambda: request.inputs) as advance,
            ReadAhead(request.inputs) as images,
            outputs.frames as write_frame,
        ):
            if request.webcam is not None:
                report(f"camera {request.webcam}: press Ctrl-C to stop; the predictions follow")
            # A bar for the frames is shown for a single video only.
            frames = progress if one and request.webcam is None else no_progress
            stream = _Stream(
                predictor,
                workers,
                request.rate,
                write_frame,
                outputs.annotator,
                frames,
                request.inputs.faces_from,
            )
            rows = stream.images(images) if request.webcam is None else stream.camera(request.webcam)
            summary = write_predictions(
                rows, outputs.rows, annotator=outputs.annotator, page=outputs.page, progress=advance
            )
        summary.multi_frame = predictor.multi_frame
        summary.drawn += stream.drawn
        summary.error = images.error
    finally:
        if damaged := predictor.damaged:
            from arcage.cache import damage_texts  # already imported by the predictor

            for text in damage_texts(damaged):
                warn(text)
    if request.annotate is not None:
        report(f"{summary.drawn:,} of {counted(summary.images, 'image')} drawn into {request.annotate}")
    if request.report is not None:
        report(f"report: {request.report}")
    if request.format == "label-studio" and summary.images:
        from arcage.output.label_studio import CONFIG

        report("the labelling configuration for the project in Label Studio:")
        for line in CONFIG.splitlines():
            report(line)
    if remark := request.inputs.remark():
        warn(remark)
    return summary


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Where the results go; files are opened later."""

    rows: AbstractContextManager[Write]
    annotator: Annotator | None
    page: AbstractContextManager[Add] | None
    frames: AbstractContextManager[WriteFrame | None]


def _checked_outputs(request: PredictRequest) -> _Outputs:
    # Imported only where needed, after the checks that are fast: these modules import NumPy and OpenCV.
    rows = _rows_output(request)
    annotator = None
    if request.annotate is not None:
        from arcage.output.annotate import Annotator

        named = [argument for argument in request.inputs.arguments if argument != STDIN]
        annotator = Annotator(request.annotate, named, overwrite=request.overwrite, limits=request.limits)
        if request.webcam is None:
            annotator.check_all(request.inputs)
    page = None
    if request.report is not None:
        from arcage.report.predictions_page import check_page_file, write_page

        check_replaceable(request.report, check_page_file, overwrite=request.overwrite)
        page = write_page(request.report, str(request.inputs), request.limits, interval=request.interval)
    frames: AbstractContextManager[WriteFrame | None] = nullcontext()
    if request.frames is not None:
        from arcage.video.write import check_frames_file, write_frames

        check_replaceable(request.frames, check_frames_file, overwrite=request.overwrite)
        if request.out is not None and os.path.realpath(request.out) == os.path.realpath(request.frames):
            raise UsageError(f"`out` and `frames` are both {request.out}: give two names")
        frames = write_frames(request.frames, request.more)
    return _Outputs(rows, annotator, page, frames)


def _rows_output(request: PredictRequest) -> AbstractContextManager[Write]:
    """Choose the format of the rows."""
    out = request.out
    if out is None:
        format_ = printed_format(request.format or ("table" if sys.stdout.isatty() else "csv"))
        _check_images(format_, request)
        return write_stdout(format_.name, more=request.more, interval=request.interval)
    format_ = file_format(out, request.format)
    _check_images(format_, request)
    if format_.name == "xlsx":
        from arcage.output.excel import check_excel

        check_excel()
    check_replaceable(out, check_rows_file, overwrite=request.overwrite)
    return write_file(out, format_.name, more=request.more)


def _check_images(format_: OutputFormat, request: PredictRequest) -> None:
    """Raise UsageError if a format cannot hold what is named."""
    if not format_.images_only:
        return
    video = next(filter(is_video, request.inputs.arguments), None)
    if request.webcam is not None or video is not None:
        raise UsageError(
            f"`format` {format_.name} describes images, not {video or 'a camera'}: write CSV, Excel, JSON or "
            "Parquet"
        )
    url = next(filter(is_url, request.inputs.arguments), None)
    if format_.name == "fiftyone" and url is not None:
        raise UsageError(f"FiftyOne opens files, not {url}: download the images first")


def _predictor(request: PredictRequest, device: str) -> Predictor:
    # Imported here, after all checks of the arguments, because it is slow.
    from arcage.predictor import Predictor

    return Predictor(
        request.pack,
        device,
        hint="latency" if request.inputs.is_one_image else "throughput",
        heads=request.heads,
        cache=request.cache,
        faces=request.faces,
        min_score=request.min_score,
        min_face=request.min_face,
        max_width=request.max_width,
        min_confidence=request.min_confidence,
        min_familiarity=request.min_familiarity,
        interval=request.interval,
        under=request.under,
        limits=request.limits,
    )


class _Stream:
    """Predicts images and videos in the order of the sources. The first video imports the code for videos."""

    def __init__(
        self,
        predictor: Predictor,
        workers: Workers,
        rate: float,
        write_frame: WriteFrame | None,
        annotator: Annotator | None,
        progress: ShowProgress,
        faces_from: FacesFrom,
    ) -> None:
        self._predictor = predictor
        self._workers = workers
        self._rate = rate
        self._write_frame = write_frame
        self._annotator = annotator
        self._progress = progress
        self._faces_from = faces_from

    @cached_property
    def _videos(self) -> Videos:
        from arcage.video.predictions import Videos

        return Videos(
            self._predictor,
            self._rate,
            frames=self._write_frame,
            annotator=self._annotator,
            progress=lambda frames: self._progress("Reading frames", frames),
        )

    @property
    def drawn(self) -> int:
        """Number of annotated videos."""
        return self._videos.drawn if "_videos" in self.__dict__ else 0

    def images(self, sources: Iterable[Source]) -> Rows:
        """Return a generator of the rows; the cache is opened at once."""
        self._predictor.open(self._faces_from)
        return self._images(sources)

    def _images(self, sources: Iterable[Source]) -> Rows:
        for videos, group in groupby(sources, key=_is_video):
            if videos:
                for source in group:
                    yield source, self._videos.predict(source)
            else:
                stream = self._predictor.stream(group, workers=self._workers, faces_from=self._faces_from)
                with closing(stream) as predictions:
                    yield from predictions

    def camera(self, number: int) -> Rows:
        """Return a generator of the rows of a camera."""
        return self._videos.camera(number)


def _is_video(source: Source) -> bool:
    return source.video and not source.error and source.faces is None
