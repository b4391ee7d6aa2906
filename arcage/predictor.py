"""The Python API: predict age and gender from images."""

from __future__ import annotations

import copy
import math
import os
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike

from arcage.cache import Cache, Damaged
from arcage.embedder.detect import DEFAULT_MIN_FACE
from arcage.embedder.engines.base import Hint, cores
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import BUNDLED_NAME
from arcage.embedder.workers import Workers
from arcage.errors import UsageError
from arcage.extraction.run import check_names, extract_images, open_cache
from arcage.heads.model import Predictions
from arcage.heads.store import load_heads
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.output.image_predictions import ImagePredictions
from arcage.output.rows import Estimate, face_row, row_without_face, under_column, without_estimate
from arcage.output.selection import Faces, Selection
from arcage.sources.given import GivenImage, source_of, sources_of
from arcage.sources.own_faces import as_aligned, own_faces
from arcage.sources.recent import RecentImages
from arcage.sources.source import Source
from arcage.types import U8, Face, FacesFrom, ImageFaces, Prediction

Item = TypeVar("Item")
EMBEDDING = 512
"""Number of columns of the identity embedding of ArcFace-family networks."""

_BATCH_ROWS = 512
"""Rows that the heads predict at once: this takes them little longer than a single row."""
_BATCH_BYTES = 64 << 20
"""Size of the images of a batch that are in memory."""
_BATCH_SECONDS = 1.0
"""Maximum age of a batch, so that rows appear steadily where images are slow."""
_THREADS = min(4, cores())
"""Threads for the heads; images from a cache come faster than one thread predicts them."""

_OUTSIDE = "the box is outside of the image"
_NO_PREDICTIONS = Predictions.empty(0)


class Predictor:
    """Predicts age and gender of the faces in images.

    The constructor reads and checks the heads, and tries the device unless it is ``auto`` or ``cpu``. The
    networks are loaded with the first image that is not in the cache. Used as a context manager, or by
    :meth:`close`, a Predictor frees them. It can be pickled and used in a forked process; there, it loads the
    networks and opens the cache again. (CUDA works in no process that is forked after it was used: start
    processes with ``spawn``.)

    Args:
        pack: ``compact`` (bundled), the name of an InsightFace pack on this machine, or a folder.
        device: ``auto``, ``cpu``, or an ONNX Runtime provider such as ``cuda``.
        hint: ``latency`` for one image at a time, ``throughput`` for streams of images.
        heads: a folder that ``arcage fit`` wrote, a file of ``arcage heads pack``, or the URL of such a file
            with its SHA-256, as in ``https://host/heads.arcage#sha256=...``; None for the bundled heads.
        cache: a folder for descriptors; images in it are not computed again.
        faces: which faces of an image to predict: ``all``, ``largest`` or ``center``.
        min_score: minimum detector score of a face, 0 to 1; other faces are ignored.
        min_face: minimum face width in pixels, 8 or more; lower values take longer on large images.
        max_width: years; an age whose interval is wider is None, and the interval stays.
        min_confidence: 0.5 to 1; a gender with a lower probability is None, and ``p_female`` stays.
        min_familiarity: 0 to 1; of a less familiar face, all that is predicted is None, and ``familiarity``
            stays. Faces below :data:`arcage.heads.familiarity.UNFAMILIAR` are unlike the training faces.
        interval: level of the interval in ``age_low`` and ``age_high``, percent: 1 to 99.6.
        under: whole ages, years, or one. For each, such as 18, ``more`` of a prediction has the probability
            of being younger: ``p_under_18``.
        limits: limits of memory and time of decoding an image.
        aligned: each image is one face, cropped to 112x112 pixels and aligned as for ArcFace. It is not
            detected, and ``det_score`` is 1. An image of another size is ``unreadable``.
        min_sure: deprecated name of ``min_confidence``.

    Raises:
        UsageError: an argument has an invalid value, or there is no such pack.
        DeviceError: the device is not available.
        ModelError: the pack is incomplete.
        HeadsError: the heads are damaged, were fitted with another pack, or lack what ``interval`` and
            ``under`` need.
    """

    # More than eight parameters: they are the options of `arcage predict`, each optional and by keyword.
    def __init__(
        self,
        pack: str | os.PathLike[str] = BUNDLED_NAME,
        device: str = "auto",
        *,
        hint: Hint = "latency",
        heads: str | os.PathLike[str] | None = None,
        cache: str | os.PathLike[str] | None = None,
        faces: Faces = "all",
        min_score: float = 0.0,
        min_face: int = DEFAULT_MIN_FACE,
        max_width: float = math.inf,
        min_confidence: float = 0.5,
        min_familiarity: float = 0.0,
        interval: float = 90,
        under: int | Sequence[int] = (),
        limits: DecodeLimits = DEFAULT_LIMITS,
        aligned: bool = False,
        min_sure: float | None = None,
    ) -> None:
        if min_sure is not None:
            warnings.warn("min_sure is now called min_confidence", DeprecationWarning, stacklevel=2)
            min_confidence = min_sure
        self._selection = Selection(
            faces=faces,
            min_score=min_score,
            max_width=max_width,
            min_confidence=min_confidence,
            min_familiarity=min_familiarity,
            interval=interval,
            under=under if isinstance(under, Iterable) else (under,),
        )
        _check_types(pack, device, hint, heads, cache, limits)
        self._extractor = Extractor(os.fspath(pack), device, hint, min_face=min_face, limits=limits)
        self._heads_name = os.fspath(heads) if heads is not None else None
        self._heads = load_heads(self._heads_name)
        self._heads.check(self._extractor.fingerprint, self._extractor.pack.name)
        self._selection.check(self._heads)
        # To ask for the CPU costs a fifth of a second and cannot fail; the others are found wrong here.
        if device.lower() not in ("auto", "cpu"):
            _ = self._extractor.engine
        self._directory = Path(cache) if cache is not None else None
        self._aligned = aligned
        self._caches: dict[FacesFrom, Cache] = {}
        self.multi_frame = 0
        """Number of animations and files of several pages so far; of each, the first frame was read."""
        self._recent = RecentImages()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the networks and the images in memory, and close the cache. A later call opens them again."""
        self._extractor.close()
        self._caches.clear()
        self._recent.clear()

    def __repr__(self) -> str:
        words = [f"pack={self._extractor.pack.name!r}", f"device={self._extractor.device!r}"]
        words += [f"heads={self._heads_name!r}"] if self._heads_name is not None else []
        words += [f"cache={str(self._directory)!r}"] if self._directory is not None else []
        return f"Predictor({', '.join(words)})"

    def __getstate__(self) -> dict[str, Any]:
        # Another process may have another working directory.
        directory = self._directory.absolute() if self._directory is not None else None
        return {**self.__dict__, "_directory": directory, "_caches": {}}

    def with_selection(self, selection: Selection) -> Predictor:
        """Return a predictor with another selection of faces and values, which shares the networks and heads.

        Raises:
            HeadsError: the heads lack what the selection needs.
        """
        selection.check(self._heads)
        other = copy.copy(self)
        other._selection = selection
        return other

    @property
    def note(self) -> str:
        """Why ``auto`` did not choose a GPU that is present, in one line; otherwise empty.

        Raises:
            DeviceError: the device is not available.
        """
        return self._extractor.engine.note

    @property
    def device(self) -> str:
        """The device that runs the networks: ``cpu``, ``cuda``, ...

        Raises:
            DeviceError: the device is not available.
        """
        return self._extractor.engine.device

    @property
    def limits(self) -> DecodeLimits:
        """The limits of decoding an image."""
        return self._extractor.limits

    @property
    def damaged(self) -> tuple[Damaged, ...]:
        """Damaged parts of the cache; as text, each says what to do."""
        return tuple(damaged for cache in self._caches.values() for damaged in cache.damaged)

    def predict(
        self, image: GivenImage, boxes: ArrayLike | None = None, landmarks: ArrayLike | None = None
    ) -> ImagePredictions:
        """Predict the faces of one image.

        Args:
            image: a path (``str`` or ``os.PathLike``) or URL; an encoded image (``bytes``, ``bytearray``,
                ``memoryview``, or a file that is open for reading bytes); or a decoded picture: a NumPy array
                of uint8, shape (height, width, 3), RGB, also grey or RGBA, or a ``PIL.Image.Image``. OpenCV's
                pictures are BGR: give ``image[..., ::-1]``.
            boxes: the faces, shape (n, 4): x1, y1, x2, y2, pixels of the upright image (EXIF orientation
                applied). They are then not detected: each has a row, in this order, and ``min_score`` does
                not apply. The landmarks are searched in the box; if no face is confirmed there, ``det_score``
                is 0, and they are those of an average face in the box.
            landmarks: of the boxes, shape (n, 5, 2), in the order of :attr:`arcage.types.Face.landmarks`; NaN
                for a face whose landmarks are to be searched. The faces are aligned by them.

        Returns:
            A list with one row per face, which can also be drawn and tabulated. An image without a face, or
            an unreadable one, has one row with its ``status``.

        Raises:
            UsageError: the boxes or landmarks are no numbers, of another shape, or without an area.
            InputError: ``image`` is something else, or a picture of a wrong data type, shape or size.
            DeviceError, ModelError: the networks cannot be loaded.
            CacheError: the cache cannot be read or written.
            RemoteError: the server of a URL cannot be reached or refuses the credentials.
        """
        source = source_of(image, self.limits)
        if boxes is None and landmarks is not None:
            raise UsageError("`landmarks` belong to `boxes`: give both")
        if boxes is not None:
            source = replace(source, faces=own_faces(boxes, landmarks))
        origin: FacesFrom = "detector" if boxes is None else "boxes"
        with closing(self.stream([source], faces_from=origin)) as results:
            return self._predictions(*next(results))

    def predict_many(self, images: Iterable[GivenImage]) -> Generator[ImagePredictions]:
        """Yield the predictions for each of many images, in their order.

        Images are taken from ``images`` when they are needed, and processed in batches, so memory does not
        grow with their number. URLs are read at the same time; one that cannot be read has a row with the
        reason. Close the generator to stop early: finished images are then in the cache.

        Args:
            images: each as for :meth:`predict`. A decoded picture may be changed after the next was taken.

        Raises:
            InputError: ``images`` is a single image. While iterating: one of them is no image, or a picture
                of a wrong data type, shape or size.
            DeviceError, ModelError: the networks cannot be loaded.
            CacheError: the cache cannot be read or written.
        """
        sources = sources_of(images, self.limits)
        return self._predict_many(sources, self.open())

    def _predict_many(self, sources: Iterator[Source], cache: Cache | None) -> Generator[ImagePredictions]:
        from arcage.sources.read_ahead import ReadAhead

        with ReadAhead(sources) as ahead, closing(self._stream(ahead, cache, None)) as results:
            for source, rows in results:
                yield self._predictions(source, rows)

    def _predictions(self, source: Source, rows: list[Prediction]) -> ImagePredictions:
        self._recent.add(source)
        return ImagePredictions(
            rows,
            source,
            limits=self.limits,
            more=[under_column(age) for age in self._selection.under],
            interval=self._selection.interval,
        )

    def stream(
        self,
        sources: Iterable[Source],
        *,
        workers: Workers | None = None,
        faces_from: FacesFrom = "detector",
    ) -> Generator[tuple[Source, list[Prediction]]]:
        """Yield each image with its rows, in the order of ``sources``. Raises like :meth:`predict`.

        :func:`arcage.sources.walk.walk` yields the images of files and folders. Memory does not grow with
        their number. Close the generator to stop early: finished images are then in the cache.

        Args:
            sources: the images.
            workers: worker processes, for many images; None for threads of this process.
            faces_from: where the faces of the images are from: ``boxes`` if all sources have ``faces``.

        Raises:
            UsageError: the images of this predictor are aligned crops, and there are boxes.
        """
        cache = self.open(faces_from)
        return self._stream(sources, cache, workers)

    def open(self, faces_from: FacesFrom = "detector") -> Cache | None:
        """Open the cache of such faces; :meth:`stream` does this as well. Return None if there is none.

        Raises:
            UsageError: as :meth:`stream`.
            CacheError: the cache cannot be opened.
        """
        if self._aligned and faces_from == "boxes":
            raise UsageError("an aligned crop is one face without a box: leave out `boxes` or `aligned`")
        origin: FacesFrom = "aligned" if self._aligned else faces_from
        if self._directory is not None and origin not in self._caches:
            self._caches[origin] = open_cache(self._directory, self._extractor, origin)
        return self._caches.get(origin)

    def _stream(
        self, sources: Iterable[Source], cache: Cache | None, workers: Workers | None
    ) -> Generator[tuple[Source, list[Prediction]]]:
        if self._aligned:
            sources = as_aligned(sources)
        batch: list[tuple[Source, ImageFaces]] = []
        rows, size = 0, 0
        waiting: list[Future[list[tuple[Source, list[Prediction]]]]] = []
        since = time.monotonic()
        with (
            ThreadPoolExecutor(_THREADS, "arcage-heads") as threads,
            closing(extract_images(sources, self._extractor, cache, workers=workers)) as results,
        ):
            for result in results:
                image = result.image
                self.multi_frame += image.multi_frame
                batch.append((result.source, image))
                rows, size = rows + (len(image.faces) or 1), size + result.source.size
                full = rows >= _BATCH_ROWS
                if full or size > _BATCH_BYTES or time.monotonic() - since > _BATCH_SECONDS:
                    waiting.append(threads.submit(self._predict_batch, batch))
                    # Full batches come from a cache: the next images are read while the heads predict.
                    while len(waiting) > (_THREADS if full else 0):
                        yield from waiting.pop(0).result()
                    batch, rows, size, since = [], 0, 0, time.monotonic()
            for future in waiting:
                yield from future.result()
            yield from self._predict_batch(batch)

    def _predict_batch(
        self, batch: Sequence[tuple[Source, ImageFaces]]
    ) -> list[tuple[Source, list[Prediction]]]:
        every = replace(self._selection, min_score=0.0)  # of own boxes, which are not a detector's
        selections = [self._selection if source.faces is None else every for source, _ in batch]
        counts = [rule.count(image) for rule, (_, image) in zip(selections, batch, strict=True)]
        selected = [rule.chosen(image) for rule, (_, image) in zip(selections, batch, strict=True)]
        found: list[Estimate] = []
        if any(selected):
            descriptors = [
                image.descriptors if len(faces) == len(image.faces) else image.descriptors[faces]
                for (_, image), faces in zip(batch, selected, strict=True)
            ]
            found = self.estimates(self._heads.predict(np.concatenate(descriptors)))
        estimates = iter(found)
        return [
            (source, _rows(source, image, count, faces, estimates))
            for (source, image), count, faces in zip(batch, counts, selected, strict=True)
        ]

    def estimates(self, predictions: Predictions) -> list[Estimate]:
        """Return the estimate of each face, without values that are too uncertain to show."""
        return self._selection.estimates(predictions)

    def predict_pixels(
        self, pictures: Iterable[tuple[Item, U8]], *, chunk: int
    ) -> Generator[tuple[Item, ImageFaces, Predictions]]:
        """Predict the selected faces of decoded pictures, in their order.

        Args:
            pictures: pairs of any value and pixels, shape (height, width, 3), uint8, RGB.
            chunk: number of pictures that are processed together; twice as many are in memory.

        Yields:
            The value, the selected faces, and the predictions for them.
        """
        images = ((item, partial(_identity, picture)) for item, picture in pictures)
        with closing(self._extractor.stream(images, chunk=chunk)) as results:
            for item, image in results:
                selected = self._selection.chosen(image)
                faces = tuple(image.faces[i] for i in selected)
                image = replace(image, faces=faces, descriptors=image.descriptors[selected])
                yield item, image, self._heads.predict(image.descriptors) if faces else _NO_PREDICTIONS

    @property
    def identity(self) -> slice:
        """The columns of a descriptor in which faces of the same person are similar.

        The raw levels of different persons are similar as well; the embedding, which comes last, separates
        them.
        """
        raw = any(model.kind == "arcface" for model in self._extractor.pack.embedders)
        return slice(-EMBEDDING, None) if raw else slice(None)


def _rows(
    source: Source, image: ImageFaces, count: int, faces: Sequence[int], estimates: Iterator[Estimate]
) -> list[Prediction]:
    """Return the rows of one image; each of the ``faces`` takes the next estimate."""
    path = source.path
    if image.status == "unreadable":
        return [row_without_face(path, image.error)]
    size = image.width, image.height
    rows = [face_row(path, i, count, image.faces[i], next(estimates), size) for i in faces]
    if source.faces is not None:
        rows = [
            row if _is_inside(image.faces[i], size) else without_estimate(row, _OUTSIDE)
            for i, row in zip(faces, rows, strict=True)
        ]
    return rows or [row_without_face(path, image_size=size)]


def _is_inside(face: Face, size: tuple[int, int]) -> bool:
    """Return whether the box of a face shows a part of its image."""
    x1, y1, x2, y2 = face.box.tolist()
    return bool(x1 < size[0] and y1 < size[1] and x2 > 0 and y2 > 0)


def _check_types(
    pack: object, device: object, hint: object, heads: object, cache: object, limits: object
) -> None:
    check_names(pack, device, heads=heads, cache=cache)
    if hint not in get_args(Hint):
        raise UsageError(f"hint is one of {', '.join(get_args(Hint))}, not {hint!r}")
    if not isinstance(limits, DecodeLimits):
        raise UsageError(f"limits is an arcage.images.limits.DecodeLimits, not {limits!r}")


def _identity(picture: U8) -> U8:
    return picture
