"""Films to one answer for each person."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from itertools import groupby

import numpy as np

from arcage.errors import ImageError
from arcage.heads.model import Predictions
from arcage.output.annotate import Annotator
from arcage.predictor import Predictor, face_row, no_face_row
from arcage.process.interrupt import forget, uninterrupted
from arcage.sources.source import Source
from arcage.types import U8, Face, ImageFaces, Prediction, Status
from arcage.video.person import Person
from arcage.video.read import Frame, Reader, open_camera, open_clip
from arcage.video.track import Tracker, is_whole
from arcage.video.write import WriteFrame, draw_film

_TOGETHER = 4
"""Frames of a film that are worked on at once."""


class Films:
    """Answers films, and tells where their frames go.

    Args:
        predictor: as for images.
        rate: frames a second that are looked at.
        frames: takes the rows of each frame, where they are wanted.
        annotator: says where drawn films go, where they are wanted.
        progress: takes the number of frames to read (0 if unknown), and returns a context manager around
            the reading, which gives a callback for each frame.
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
        """Films that were drawn."""

    def stream(self, sources: Iterable[Source]) -> Generator[tuple[Source, list[Prediction]]]:
        """As :meth:`Predictor.stream`, for images and films in one order."""
        self._predictor.open()
        return self._stream(sources)

    def _stream(self, sources: Iterable[Source]) -> Generator[tuple[Source, list[Prediction]]]:
        for is_video, group in groupby(sources, key=lambda source: source.video and not source.error):
            if is_video:
                for source in group:
                    yield source, self.predict(source)
            else:
                with closing(self._predictor.stream(group)) as answers:
                    yield from answers

    def camera(self, number: int) -> Generator[tuple[Source, list[Prediction]]]:
        """The rows of a webcam, as of a film; interrupt it (Ctrl-C) to end.

        Raises:
            DeviceError: there is no such camera.
        """
        source = Source(f"webcam-{number}", f"webcam-{number}", video=True)
        with open_camera(number, self._rate) as reader:
            try:
                yield source, self._persons(source, reader)
            except ImageError as error:
                yield source, [_nobody(source, str(error))]

    def predict(self, source: Source) -> list[Prediction]:
        """One row for each person of a film, in the order in which they appear.

        The box and its score are those of the frame where the detector is surest; age, interval and gender
        are those of :class:`~arcage.video.person.Person`. A film that is broken is a row that says so.
        """
        try:
            with open_clip(source.path, self._rate) as reader:
                return self._persons(source, reader)
        except ImageError as error:
            return [_nobody(source, str(error))]

    def _persons(self, source: Source, reader: Reader) -> list[Prediction]:
        tracker = Tracker()
        persons: list[Person] = []
        with (
            self._progress(reader.expected) as advance,
            self._drawing(source, reader.rate) as draw,
            closing(self._predictor.look(_pictures(reader), chunk=1 if reader.live else _TOGETHER)) as looks,
        ):
            try:
                for frame, image, p in (_whole(*look) for look in looks):
                    boxes = np.array([face.box for face in image.faces], np.float32).reshape(-1, 4)
                    # A frame that Ctrl-C falls into is still wholly counted, listed and drawn.
                    with uninterrupted():
                        numbers = tracker.assign(boxes, image.descriptors[:, self._predictor.identity])
                        persons += [Person() for _ in range(len(persons), len(tracker))]
                        for number, face, said in zip(numbers, image.faces, _table(p), strict=True):
                            persons[number].add(face, said, frame.seconds)
                        if self._frames is not None:
                            self._frames(frame, _rows(source, numbers, image.faces, self._predictor.told(p)))
                        if draw is not None:
                            # The answer of the person so far: that of each frame would flicker.
                            so_far = self._told([persons[number] for number in numbers])
                            draw(frame, _rows(source, numbers, image.faces, so_far))
                    advance()
            except KeyboardInterrupt:
                if not reader.live:
                    raise
                forget()
            reader.check_end()
        if draw is not None:
            self.drawn += 1
        surest = [person.face for person in persons]
        return _rows(source, range(len(persons)), surest, self._told(persons)) or [_nobody(source)]

    def _told(self, persons: Sequence[Person]) -> list[list[float | None]]:
        answers = np.array([person.answer() for person in persons], np.float32).reshape(-1, 4)
        return self._predictor.told(Predictions(*answers.T))

    def _drawing(self, source: Source, rate: float) -> AbstractContextManager[WriteFrame | None]:
        if self._annotator is None:
            return nullcontext()
        target = self._annotator.target(source)
        self._annotator.check(target)
        return draw_film(target, rate)


def _pictures(reader: Reader) -> Iterator[tuple[Frame, U8]]:
    return ((frame, frame.image) for frame in reader)


def _whole(frame: Frame, image: ImageFaces, p: Predictions) -> tuple[Frame, ImageFaces, Predictions]:
    """Without the faces that the border of the picture cuts."""
    whole = [i for i, face in enumerate(image.faces) if is_whole(face, image.width, image.height)]
    if len(whole) == len(image.faces):
        return frame, image, p
    faces = tuple(image.faces[i] for i in whole)
    said = (column[whole] for column in (p.age, p.age_low, p.age_high, p.p_female))
    return frame, replace(image, faces=faces, descriptors=image.descriptors[whole]), Predictions(*said)


def _table(p: Predictions) -> list[list[float]]:
    table: list[list[float]] = np.stack([p.age, p.age_low, p.age_high, p.p_female], axis=1).tolist()
    return table


def _rows(
    source: Source, numbers: Sequence[int], faces: Sequence[Face], told: Sequence[Sequence[float | None]]
) -> list[Prediction]:
    return [
        face_row(source, number, len(faces), face, *answer)
        for number, face, answer in zip(numbers, faces, told, strict=True)
    ]


def _nobody(source: Source, error: str = "") -> Prediction:
    status: Status = "unreadable" if error else "no_face"
    return no_face_row(source, ImageFaces("", 0, 0, status, error, (), np.empty((0, 1), np.float16)))
