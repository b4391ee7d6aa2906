"""Predict one age and gender for each person in a video."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace

import numpy as np

from arcage.errors import ImageError
from arcage.heads.distribution import LEVELS
from arcage.heads.model import Predictions
from arcage.output.annotate import Annotator
from arcage.output.rows import Estimate, face_row, row_without_face
from arcage.predictor import Predictor
from arcage.process.interrupt import forget_signal, uninterrupted
from arcage.sources.source import Source
from arcage.types import U8, Face, ImageFaces, Prediction
from arcage.video.person import Person
from arcage.video.read import Frame, Reader, VideoReader, open_camera, open_video
from arcage.video.track import Tracker, is_whole
from arcage.video.write import WriteFrame, draw_video

_CHUNK = 4
"""Number of frames of a video that are processed together."""


class Videos:
    """Predicts the persons in videos, and writes their frames.

    Args:
        predictor: used for the frames, and for images between videos.
        rate: frames per second to process.
        frames: called with each frame and its rows; None to skip.
        annotator: names the annotated videos; None to draw none.
        progress: called with the expected number of frames (0 if unknown). Returns a context manager that
            yields a callback, which is called after each frame.
    """

    def __init__(
        self,
        predictor: Predictor,
        rate: float,
        *,
        frames: WriteFrame | None = None,
        annotator: Annotator | None = None,
        progress: Callable[[int], AbstractContextManager[Callable[[], object]]] = lambda _: nullcontext(str),
    ) -> None:
        self._progress = progress
        self._predictor = predictor
        self._rate = rate
        self._frames = frames
        self._annotator = annotator
        self.drawn = 0
        """Number of annotated videos."""

    def camera(self, number: int) -> Generator[tuple[Source, list[Prediction]]]:
        """Yield the rows of a webcam, like those of a video. Ctrl-C ends the recording.

        Raises:
            DeviceError: there is no such camera.
        """
        source = Source(f"webcam-{number}", f"webcam-{number}", video=True)
        with open_camera(number, self._rate) as reader:
            try:
                yield source, self._persons(source, reader)
            except ImageError as error:
                yield source, [row_without_face(source.path, str(error))]

    def predict(self, source: Source) -> list[Prediction]:
        """Return one row for each person of a video, in order of appearance.

        The box and its score are from the frame with the highest detector score; age, interval and gender
        are those of :class:`~arcage.video.person.Person`. An unreadable video has one row with the error.
        """
        try:
            with open_video(source.path, self._rate, self._predictor.limits) as reader:
                return self._persons(source, reader)
        except ImageError as error:
            return [row_without_face(source.path, str(error))]

    def _persons(self, source: Source, reader: Reader | VideoReader) -> list[Prediction]:
        tracker = Tracker()
        persons: list[Person] = []
        chunk = 1 if reader.live else _CHUNK
        with (
            self._progress(reader.expected) as advance,
            self._drawing(source, reader.rate) as draw,
            closing(self._predictor.predict_pixels(_pictures(reader), chunk=chunk)) as results,
        ):
            try:
                for frame, image, p in (_whole(*result) for result in results):
                    # A frame in progress is counted, listed and drawn before an interrupt takes effect.
                    with uninterrupted():
                        numbers = self._add(tracker, persons, frame, image, p)
                        if self._frames is not None:
                            estimates = self._predictor.estimates(p)
                            self._frames(frame, _rows(source, numbers, image.faces, estimates))
                        if draw is not None:
                            # The estimate so far: that of each frame would flicker.
                            estimates = self._estimates([persons[number] for number in numbers])
                            draw(frame, _rows(source, numbers, image.faces, estimates))
                    advance()
            except KeyboardInterrupt:
                if not reader.live:
                    raise
                forget_signal()
            reader.check_end()
        if draw is not None:
            self.drawn += 1
        faces = [person.face for person in persons]
        rows = _rows(source, range(len(persons)), faces, self._estimates(persons))
        return rows or [row_without_face(source.path)]

    def _add(
        self, tracker: Tracker, persons: list[Person], frame: Frame, image: ImageFaces, p: Predictions
    ) -> list[int]:
        """Add a frame to its persons; return the number of the person of each face."""
        boxes = np.array([face.box for face in image.faces], np.float32).reshape(-1, 4)
        numbers = tracker.assign(boxes, image.descriptors[:, self._predictor.identity])
        persons += [Person() for _ in range(len(persons), len(tracker))]
        values = np.stack([p.age, p.age_low, p.age_high, p.p_female], axis=1).tolist()
        for number, face, row, quantiles, familiarity in zip(
            numbers, image.faces, values, p.quantiles.tolist(), p.familiarity.tolist(), strict=True
        ):
            persons[number].add(face, row, frame.seconds, quantiles, familiarity)
        return numbers

    def _estimates(self, persons: Sequence[Person]) -> list[Estimate]:
        values = np.array([person.estimate() for person in persons], np.float32).reshape(-1, 4)
        quantiles = np.array([person.quantiles() for person in persons], np.float32)
        familiarity = np.array([person.familiarity() for person in persons], np.float32)
        age, low, high, p_female = values.T
        predictions = Predictions(age, low, high, p_female, quantiles.reshape(-1, len(LEVELS)), familiarity)
        return self._predictor.estimates(predictions)

    def _drawing(self, source: Source, rate: float) -> AbstractContextManager[WriteFrame | None]:
        if self._annotator is None:
            return nullcontext()
        target = self._annotator.target(source)
        self._annotator.check(target)
        return draw_video(target, rate)


def _pictures(reader: Reader | VideoReader) -> Iterator[tuple[Frame, U8]]:
    return ((frame, frame.image) for frame in reader)


def _whole(frame: Frame, image: ImageFaces, p: Predictions) -> tuple[Frame, ImageFaces, Predictions]:
    """Remove the faces that the border of the picture cuts."""
    whole = [i for i, face in enumerate(image.faces) if is_whole(face, image.width, image.height)]
    if len(whole) == len(image.faces):
        return frame, image, p
    faces = tuple(image.faces[i] for i in whole)
    descriptors = image.descriptors[whole]
    return frame, replace(image, faces=faces, descriptors=descriptors), p.select(np.array(whole, np.intp))


def _rows(
    source: Source, numbers: Sequence[int], faces: Sequence[Face], estimates: Sequence[Estimate]
) -> list[Prediction]:
    return [
        face_row(source.path, number, len(faces), face, estimate)
        for number, face, estimate in zip(numbers, faces, estimates, strict=True)
    ]
