"""The Python API: images in, ages and genders out."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from arcage.cache import Cache, Damaged
from arcage.embedder.detect import DEFAULT_MIN_FACE
from arcage.embedder.engines.base import Hint, cores
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import BUNDLED_NAME
from arcage.errors import UsageError
from arcage.extraction.run import extract_images, open_cache
from arcage.heads.model import Predictions
from arcage.heads.store import load_heads
from arcage.output.rows import Estimate, estimates, face_row, row_without_face
from arcage.sources.source import Source
from arcage.types import U8, ImageFaces, Prediction

Item = TypeVar("Item")
EMBEDDING = 512
"""Columns of the identity embedding of ArcFace-family networks."""

Faces = Literal["all", "largest", "center"]
"""``largest``: the face with the largest box; ``center``: the one nearest to the image's centre."""

# The heads take an array of many faces almost as fast as one of a single face. The second bound is for
# people who watch the answers come in.
_ROWS_AT_ONCE = 512
_SECONDS_AT_MOST = 1.0
_ANSWERING = min(4, cores())
"""Threads for the heads, where images come faster than answers."""


class Predictor:
    """Reads age and gender from the faces of images.

    Making one reads and checks the heads; the networks are loaded when the first image comes that the
    cache does not have. A Predictor can be pickled, and used in a forked process, at any time: the networks
    are reloaded and the cache is reopened there.

    Args:
        pack: ``compact`` (bundled), the name of an InsightFace pack on this machine, or a folder.
        device: ``auto``, ``cpu``, or an ONNX Runtime provider such as ``cuda``.
        hint: ``latency`` for one image at a time, ``throughput`` for many in a stream.
        heads: a folder that ``arcage fit`` wrote; None for the heads in the package.
        cache: a folder for descriptors: images that it has are not computed again.
        faces: which faces of an image are answered: ``all``, ``largest`` or ``center``.
        min_score: faces with a lower detector score count as not there.
        min_face: minimum face width in pixels, 8 or more; lower values take longer on large
            images.
        max_width: years; an age whose 90 % interval is wider is left out (None), the interval stays.
        min_sure: 0.5 to 1; a gender that is less probable is left out (None), ``p_female`` stays.

    Raises:
        UsageError: an argument has no such value, or there is no such pack.
        ModelError: the pack is incomplete.
        HeadsError: the heads are damaged, or of another pack.
    """

    def __init__(
        self,
        pack: str = BUNDLED_NAME,
        device: str = "auto",
        *,
        hint: Hint = "latency",
        heads: str | Path | None = None,
        cache: str | Path | None = None,
        faces: Faces = "all",
        min_score: float = 0.0,
        min_face: int = DEFAULT_MIN_FACE,
        max_width: float = math.inf,
        min_sure: float = 0.5,
    ) -> None:
        if faces not in get_args(Faces):
            raise UsageError(f"faces is one of {', '.join(get_args(Faces))}, not {faces!r}")
        if not 0 <= min_score <= 1:
            raise UsageError(f"min_score is between 0 and 1, not {min_score}")
        if not max_width >= 0:
            raise UsageError(f"max_width is a number of years, not {max_width}")
        if not 0.5 <= min_sure <= 1:
            raise UsageError(f"min_sure is between 0.5 and 1, not {min_sure}")
        self._faces = faces
        self._min_score = min_score
        self._max_width = max_width
        self._min_sure = min_sure
        self._extractor = Extractor(pack, device, hint, min_face=min_face)
        self._heads = load_heads(heads)
        self._heads.check(self._extractor.fingerprint, self._extractor.pack.name)
        self._directory = Path(cache) if cache is not None else None
        self._cache: Cache | None = None
        self.multi_frame = 0
        """Number of animations and files of several pages so far; of each, the first frame was read."""

    def __getstate__(self) -> dict[str, Any]:
        # Another process may have another working directory.
        directory = self._directory.absolute() if self._directory is not None else None
        return {**self.__dict__, "_directory": directory, "_cache": None}

    @property
    def note(self) -> str:
        """Why ``auto`` did not take the GPU that it might have been meant to, in one line; else empty.

        Raises:
            DeviceError: the device cannot be had.
        """
        return self._extractor.engine.note

    @property
    def damaged(self) -> tuple[Damaged, ...]:
        """Parts of the cache that could not be used; print them, each says what to do."""
        return self._cache.damaged if self._cache is not None else ()

    def predict(self, image: str | Path | bytes) -> list[Prediction]:
        """The faces of one image, given as a path or as encoded bytes.

        An image without a face, or that cannot be read, gives one row that says so in its ``status``.

        Raises:
            DeviceError, ModelError: the networks cannot be loaded.
            CacheError: the cache cannot be read or written.
        """
        if isinstance(image, bytes):
            source = Source("-", "-", data=image)
        else:
            source = Source(str(image), Path(image).name)
        with closing(self.stream([source])) as answers:
            return next(answers)[1]

    def stream(self, sources: Iterable[Source]) -> Generator[tuple[Source, list[Prediction]]]:
        """The faces of many images, in their order, as :meth:`predict` gives them for one.

        ``arcage.sources.walk.walk`` gives the images of files and folders. Memory does not grow with their
        number. Close the iterator to stop early: what is finished is in the cache then.
        """
        self.open()
        return self._stream(sources)

    def open(self) -> None:
        """Open the cache, which :meth:`stream` does otherwise.

        Raises:
            CacheError: it cannot be opened.
        """
        if self._directory is not None and self._cache is None:
            self._cache = open_cache(self._directory, self._extractor)

    def _stream(self, sources: Iterable[Source]) -> Generator[tuple[Source, list[Prediction]]]:
        batch: list[tuple[Source, ImageFaces]] = []
        rows = 0
        waiting: list[Future[list[tuple[Source, list[Prediction]]]]] = []
        since = time.monotonic()
        with (
            ThreadPoolExecutor(_ANSWERING, "arcage-heads") as heads,
            closing(extract_images(sources, self._extractor, self._cache)) as results,
        ):
            for result in results:
                image = result.image
                self.multi_frame += image.multi_frame
                batch.append((result.source, image))
                rows += len(image.faces) or 1
                full = rows >= _ROWS_AT_ONCE
                if full or time.monotonic() - since > _SECONDS_AT_MOST:
                    waiting.append(heads.submit(self._answer, batch))
                    # From a cache images come faster than answers: the next are read while the heads work.
                    while len(waiting) > (_ANSWERING if full else 0):
                        yield from waiting.pop(0).result()
                    batch, rows, since = [], 0, time.monotonic()
            for answers in waiting:
                yield from answers.result()
            yield from self._answer(batch)

    def _answer(self, batch: Sequence[tuple[Source, ImageFaces]]) -> list[tuple[Source, list[Prediction]]]:
        seen = [sum(face.score >= self._min_score for face in image.faces) for _, image in batch]
        chosen = [self._choose(image, count) for (_, image), count in zip(batch, seen, strict=True)]
        found: list[Estimate] = []
        if any(chosen):
            descriptors = [
                image.descriptors if len(faces) == len(image.faces) else image.descriptors[faces]
                for (_, image), faces in zip(batch, chosen, strict=True)
            ]
            found = self.estimates(self._heads.predict(np.concatenate(descriptors)))
        rows = iter(found)
        return [
            (
                source,
                [face_row(source.path, i, count, image.faces[i], next(rows)) for i in faces]
                or [row_without_face(source.path, image.error if image.status == "unreadable" else None)],
            )
            for (source, image), count, faces in zip(batch, seen, chosen, strict=True)
        ]

    def estimates(self, predictions: Predictions) -> list[Estimate]:
        """Return the estimate of each face, without values that are more uncertain than was asked for."""
        return estimates(predictions, max_width=self._max_width, min_confidence=self._min_sure)

    def look(
        self, pictures: Iterable[tuple[Item, U8]], *, chunk: int
    ) -> Generator[tuple[Item, ImageFaces, Predictions]]:
        """The faces that are asked for in pictures that are decoded already, in their order.

        Args:
            pictures: anything that tells them apart, and pixels of shape (height, width, 3), uint8, RGB.
            chunk: pictures that are worked on together; twice as many are in memory.

        Yields:
            The item, its faces, and all that the heads say of them.
        """
        images = ((item, partial(_itself, picture)) for item, picture in pictures)
        with closing(self._extractor.stream(images, chunk=chunk)) as results:
            for item, image in results:
                chosen = self._choose(image, sum(face.score >= self._min_score for face in image.faces))
                faces = tuple(image.faces[i] for i in chosen)
                image = replace(image, faces=faces, descriptors=image.descriptors[chosen])
                none = np.empty(0, np.float32)
                p = self._heads.predict(image.descriptors) if faces else Predictions(none, none, none, none)
                yield item, image, p

    @property
    def identity(self) -> slice:
        """The columns of a descriptor by which faces of one person are alike.

        Raw levels lie close together whatever they show; the embedding, which comes last, does not.
        """
        raw = any(model.kind == "arcface" for model in self._extractor.pack.embedders)
        return slice(-EMBEDDING, None) if raw else slice(None)

    def _choose(self, image: ImageFaces, count: int) -> list[int]:
        """Which of an image's first ``count`` faces are answered."""
        if self._faces == "all" or count < 2:
            return list(range(count))
        boxes = np.stack([face.box for face in image.faces[:count]]).astype(np.float64)
        low, high = boxes[:, :2], boxes[:, 2:]
        if self._faces == "largest":
            return [int(np.argmax(np.prod(high - low, axis=1)))]
        centre = np.array([image.width, image.height]) / 2
        return [int(np.argmin(np.linalg.norm((low + high) / 2 - centre, axis=1)))]


def _itself(picture: U8) -> U8:
    return picture
