"""Extract faces with descriptors from encoded images."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakSet

import cv2
import numpy as np

from arcage.embedder import align, degrade, detect, rotated
from arcage.embedder.candidates import Candidates, joined
from arcage.embedder.engines.base import Engine, Hint, Precision, cores
from arcage.embedder.engines.choose import make_engine
from arcage.embedder.landmarks import refine
from arcage.embedder.locate import locate
from arcage.embedder.networks import PackNetworks
from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.record import BUNDLED_NAME, Pack
from arcage.embedder.pipeline import THRESHOLD, fingerprint_of, pipeline_of
from arcage.embedder.reading import Decoded, Encoded, ImageKey, ReadImage, read_image
from arcage.embedder.tiles import needs_tiles
from arcage.embedder.workers import MIN_IMAGES, WorkerPool, Workers
from arcage.errors import ImageError, ImageHereError, ModelError, UsageError
from arcage.images.decoder import is_out_of_memory
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.types import U8, Face, FacesFrom, ImageFaces

CHUNK = 32
"""A stream takes up to twice as many images ahead of their results, more on many processors."""

Lookup = Callable[[str], ImageFaces | None]
"""Returns the cached result of the image with this SHA-256, or None."""
Item = TypeVar("Item")
Made = TypeVar("Made")

_TASK_BYTES = 16 << 20
"""Size of the decoded images of one task, bytes, as far as it can be foreseen."""
_MAX_HELD = 48 << 20
"""Decoded images of a task go through the other stages once they are larger, bytes."""
_MAX_READ = 8 << 20
"""Encoded images of a task are looked up and decoded once they are larger, bytes."""
_MAX_AHEAD = 256 << 20
"""No other image is taken while those that wait for their results have more bytes in memory."""
_PEEK_SECONDS = 1.0
"""Time in which a stream counts the images that worker processes could share, seconds."""
_NO_MEMORY = "not enough memory for this image"
_SHUTDOWN_SECONDS = 0.5
"""Time that a stopped stream waits for images in progress, seconds."""
_LOADING = threading.RLock()
"""Held while an Extractor loads its networks, so that threads that share it load them once."""
_WITH_ENGINE: WeakSet[Extractor] = WeakSet()
"""All extractors that have an engine."""


def _after_fork() -> None:
    """Make all extractors reload their networks: a forked process lacks the threads of the runtime."""
    import ctypes

    global _LOADING
    _LOADING = threading.RLock()  # a thread of the parent may have held the old one
    for extractor in _WITH_ENGINE:
        # Never destroyed, not even at exit: destructors would wait for the parent's threads.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object((extractor._engine, extractor._networks)))
        extractor._engine = extractor._networks = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(slots=True)
class _Part:
    """Results of a part of a task."""

    found: dict[int, ImageFaces]
    """By the image's place in the task."""
    size: int = 0
    """Size of the decoded images, bytes."""


@dataclass(frozen=True, slots=True)
class _Done(Generic[Item]):
    """What a task returns."""

    results: list[tuple[Item, ImageFaces]]
    size: int
    """Size of the decoded images, bytes."""


_Numbered: TypeAlias = tuple[int, ReadImage]
"""The place of an image in its task, and the function that reads it."""
_FindKnown: TypeAlias = Callable[[list[ImageKey]], Collection[int]]
"""Looks images up in the cache, keeps their results, and returns their places."""


class Extractor:
    """Extracts the faces of images, with their descriptors, by one model pack.

    The networks are loaded for the first image that is not cached. Pickling an Extractor, computing its
    fingerprint and reading cached results load no networks.

    Args:
        pack: ``compact`` (bundled), the name of an InsightFace pack on this machine, a folder, or a
            :class:`~arcage.embedder.packs.record.Pack`.
        device: ``auto``, ``cpu``, or an ONNX Runtime provider such as ``cuda``.
        hint: ``latency`` for one image, ``throughput`` for many.
        variant: 0 for unchanged faces; 1, 2, ... for degraded ones, as additional training data for heads
            (see :mod:`arcage.embedder.degrade`). Each number degrades each face in another way.
        precision: ``float32`` for descriptors that agree to the last digits on all processors; ``auto`` is
            faster on some.
        min_face: minimum face width in pixels, 8 or more. Large images are searched in tiles if
            necessary.
        limits: limits of decoding an image. They are not part of the pipeline.

    Raises:
        UsageError: there is no such pack, or ``min_face`` is too small.
        ModelError: the pack is incomplete or damaged.
    """

    def __init__(
        self,
        pack: str | Pack = BUNDLED_NAME,
        device: str = "auto",
        hint: Hint = "throughput",
        variant: int = 0,
        precision: Precision = "auto",
        min_face: int = detect.DEFAULT_MIN_FACE,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        if not hasattr(min_face, "__index__") or min_face < detect.LOWEST_MIN_FACE:
            raise UsageError(f"min_face must be {detect.LOWEST_MIN_FACE} pixels or more, not {min_face!r}")
        self.min_face = int(min_face)
        self.limits = limits
        self.variant = variant
        self.precision: Precision = precision
        self.pack = pack if isinstance(pack, Pack) else find_pack(pack)
        self.device = device
        self.hint: Hint = hint
        self._engine: Engine | None = None
        self._networks: PackNetworks | None = None
        self._failure = ""

    def __getstate__(self) -> dict[str, Any]:
        # Another process may have another working directory.
        pack = replace(self.pack, folder=self.pack.folder.absolute())
        return {**self.__dict__, "pack": pack, "_engine": None, "_networks": None, "_failure": ""}

    @property
    def pipeline(self) -> dict[str, Any]:
        """Everything that determines a descriptor. Device, batch size and path do not affect it."""
        return pipeline_of(self.pack, self.variant)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the pipeline. Only descriptors of one pipeline may be mixed."""
        return self.cache_name("detector")

    def cache_name(self, faces_from: FacesFrom) -> str:
        """Return the fingerprint under which a cache keeps descriptors. Heads fit those of all origins."""
        return fingerprint_of(pipeline_of(self.pack, self.variant, faces_from))

    @property
    def description(self) -> dict[str, Any]:
        """The pipeline, with the name of its pack, which does not affect results."""
        return self.description_of("detector")

    def description_of(self, faces_from: FacesFrom) -> dict[str, Any]:
        """Return the description for the cache of such faces, see :meth:`cache_name`."""
        return {**pipeline_of(self.pack, self.variant, faces_from), "pack": self.pack.name}

    def accepts(self, cached: ImageFaces) -> bool:
        """Return whether the search behind a cached result was as fine as that of this extractor."""
        if not needs_tiles(cached.width, cached.height, self.min_face):
            if cached.min_face is not None:
                return True
            # Versions that did not record min_face searched upright faces only, and read fewer formats.
            return cached.status == "ok" and all(f.score >= rotated.UPRIGHT_SCORE for f in cached.faces)
        return cached.min_face is not None and cached.min_face <= self.min_face

    @property
    def engine(self) -> Engine:
        """The engine that runs the networks. It is created on first use; no network is loaded.

        Raises:
            DeviceError: the device is not available.
        """
        with _LOADING:
            if self._engine is None:
                self._engine = make_engine(self.device, self.hint, precision=self.precision)
                _WITH_ENGINE.add(self)
            return self._engine

    @property
    def networks(self) -> PackNetworks:
        """The networks of the pack, loaded on first use.

        Raises:
            DeviceError: the device is not available.
            ModelError: a model file is missing or damaged, or there is not enough memory.
        """
        with _LOADING:
            if self._failure:
                raise ModelError(self._failure)
            if self._networks is None:
                try:
                    self._networks = PackNetworks(self.pack, self.engine)
                except ModelError as error:
                    # Images that are read ahead would try again, for seconds each.
                    self._failure = str(error)
                    raise
                except MemoryError as error:  # not the fault of the image for which they are loaded
                    raise ModelError("not enough memory for the networks: close other programs") from error
            return self._networks

    @property
    def dimension(self) -> int:
        """Columns of a descriptor. The networks are loaded if the pack's record does not contain it."""
        recorded = [model.dimension for model in self.pack.embedders if model.dimension is not None]
        return sum(recorded) if len(recorded) == len(self.pack.embedders) else self.networks.dimension

    def close(self) -> None:
        """Free the networks. They are loaded again when they are needed."""
        with _LOADING:
            self._engine = self._networks = None
            self._failure = ""

    def extract(self, data: bytes) -> ImageFaces:
        """Return the faces of one encoded image. A broken image has the status ``unreadable``."""
        return next(iter(self.stream([(None, lambda: data)])))[1]

    def stream(
        self,
        images: Iterable[tuple[Item, ReadImage]],
        lookup: Lookup | None = None,
        *,
        chunk: int | None = None,
        workers: Workers | None = None,
        size_of: Callable[[Item], int] = lambda _: 0,
    ) -> Generator[tuple[Item, ImageFaces]]:
        """Yield the faces of many images, in their order.

        Each worker, a thread or a thread of a worker process, takes a few images at a time through all
        stages. An image that ends a worker process has the status ``unreadable``; the others of its task are
        done again.

        Args:
            images: pairs of any value that identifies the image, and a function that reads it, which is
                called in a worker. Worker processes need functions that can be pickled.
            lookup: returns cached results; called in a thread of this process before an image is decoded.
            chunk: at most twice as many images are taken from ``images`` before their results are; by default
                enough for all workers.
            workers: worker processes, for many images; None for threads of this process.
            size_of: returns the memory that an image takes before it is read, bytes.

        Yields:
            The value that identifies the image, and its faces. A broken image has the status ``unreadable``.
        """
        source = iter(images)
        processes: WorkerPool[_Numbered] | None = None
        if workers is not None and workers.count > 1:
            first = _peek(source, MIN_IMAGES * workers.count)
            source = chain(first, source)
            processes = self._worker_pool(workers, len(first) // MIN_IMAGES)
        # One more than there are processors: a worker that waits for a network leaves its processor idle.
        at_work = processes.threads if processes is not None else cores() + 1
        pool = ThreadPoolExecutor(at_work, "arcage")
        tasks: deque[tuple[Future[_Done[Item]], int, int]] = deque()
        stopped = threading.Event()
        ahead, held, at_once = 0, 0, 0

        def take(count: int) -> Iterator[tuple[Item, ReadImage]]:
            nonlocal ahead, held
            while count and held <= _MAX_AHEAD and (image := next(source, None)) is not None:
                ahead, held, count = ahead + 1, held + size_of(image[0]), count - 1
                yield image

        def submit() -> None:
            limit = 2 * (chunk or max(CHUNK, at_work * self._most_at_once))
            if not at_once:  # one for each worker, until the size of the first image is known
                limit = min(limit, at_work)
            # With a small chunk, a task for each processor. Only full tasks: a rest of one image would be
            # followed by more of them.
            count = max(1, min(at_once, limit // max(2, at_work - 1)))
            before = held
            while ahead + count <= limit and (part := list(take(count))):
                future = pool.submit(self._extract_all, part, lookup, stopped, processes)
                tasks.append((future, len(part), held - before))
                before = held

        try:
            submit()
            while tasks:
                future, count, size = tasks[0]
                done = future.result()
                tasks.popleft()
                # First: the next image of a camera comes later, or never.
                yield from done.results
                ahead, held = ahead - count, held - size
                # Many small images together, because passing a task to a thread and back takes time; large
                # ones alone, so that no worker is left with several at the end.
                at_once = min(self._most_at_once, max(1, _TASK_BYTES * count // max(1, done.size)))
                submit()
        finally:
            stopped.set()
            if processes is not None:
                processes.close()
            pool.shutdown(wait=False, cancel_futures=True)
            # Only briefly: a thread may be waiting for a server.
            running = [future for future, _, _ in tasks if not future.cancelled()]
            if not wait(running, timeout=_SHUTDOWN_SECONDS).not_done:
                pool.shutdown()

    @property
    def _most_at_once(self) -> int:
        """Maximum number of images of a task."""
        return 8 if self._engine is None else max(8, self._engine.embedder_batches[-1])

    def _worker_pool(self, workers: Workers, most: int) -> WorkerPool[_Numbered] | None:
        """Return a pool of at most ``most`` worker processes, or None if one process is enough."""
        count = min(workers.count, most)
        if count < 2:
            return None
        copies = [copy.copy(self) for _ in range(count)]
        for number, extractor in enumerate(copies):
            if workers.devices:
                extractor.device = workers.devices[number % len(workers.devices)]
        return WorkerPool([extractor._extract_part for extractor in copies])

    def _extract_all(
        self,
        images: Sequence[tuple[Item, ReadImage]],
        lookup: Lookup | None,
        stopped: threading.Event,
        processes: WorkerPool[_Numbered] | None = None,
    ) -> _Done[Item]:
        """Read some images, look them up, and otherwise take them through all stages.

        Raises:
            CancelledError: the stream was closed.
        """
        found: dict[int, ImageFaces] = {}

        def find_known(keys: list[ImageKey]) -> Collection[int]:
            assert lookup is not None
            for number, sha256, multi_frame in keys:
                cached = lookup(sha256)
                if cached is not None and self.accepts(cached):
                    found[number] = replace(cached, multi_frame=True) if multi_frame else cached
            return found.keys() & {number for number, _, _ in keys}

        known = find_known if lookup is not None else None
        numbered = [(number, read) for number, (_, read) in enumerate(images)]
        if stopped.is_set():
            raise CancelledError
        if processes is None:
            parts = [self._extract_part(numbered, known, stopped)]
        else:
            parts = processes.call(numbered, known, self._lost)
        for part in parts:
            found.update(part.found)
        return _Done(
            [(item, found[number]) for number, (item, _) in enumerate(images)],
            sum(part.size for part in parts),
        )

    def _extract_part(
        self,
        images: Sequence[_Numbered],
        find_known: _FindKnown | None,
        stopped: threading.Event | None = None,
    ) -> _Part:
        """Read some images, and take those that are not known through all stages.

        Worker processes run this. Without images, the networks are loaded.
        """
        if not images:
            _ = self.networks
        part = _Part({})
        decoded: list[Decoded] = []
        held = 0
        for image in self._decode_all(images, find_known, stopped, part.found):
            decoded.append(image)
            part.size, held = part.size + image.image.nbytes, held + image.image.nbytes
            if held > _MAX_HELD:
                part.found.update(self._describe(decoded))
                decoded, held = [], 0
            del image  # it may be large, and the next image is read before it is replaced
        part.found.update(self._describe(decoded))
        return part

    def _decode_all(
        self,
        images: Sequence[_Numbered],
        find_known: _FindKnown | None,
        stopped: threading.Event | None,
        failed: dict[int, ImageFaces],
    ) -> Iterator[Decoded]:
        """Read images, and decode those that are not known. The results of others are put into ``failed``."""
        encoded: list[Encoded] = []
        size = 0
        for place, (number, read) in enumerate(images, 1):
            if stopped is not None and stopped.is_set():
                raise CancelledError
            image = self._or_reason("", partial(read_image, number, read))
            if isinstance(image, ImageFaces):
                failed[number] = image
            elif isinstance(image, Decoded):
                if find_known is not None or self.variant:
                    image = image.with_key()
                if find_known is None or image.number not in find_known([image.key]):
                    yield image
            else:
                encoded.append(image)
                size += len(image.data)
            del image
            if encoded and (size > _MAX_READ or place == len(images)):
                known = find_known([image.key for image in encoded]) if find_known is not None else ()
                encoded = [image for image in encoded if image.number not in known]
                while encoded:
                    yield from self._decode(encoded.pop(0), failed)
                size = 0

    def _decode(self, encoded: Encoded, failed: dict[int, ImageFaces]) -> Iterator[Decoded]:
        number = encoded.number
        image = self._or_reason(encoded.sha256, partial(encoded.decoded, self.limits))
        del encoded
        if isinstance(image, ImageFaces):
            failed[number] = image
        else:
            yield image

    def _or_reason(self, sha256: str, make: Callable[[], Made]) -> Made | ImageFaces:
        """Return the result of a function, or that of an image that cannot be read."""
        try:
            return make()
        except ImageHereError as error:  # without the SHA-256, so that no cache keeps it
            return self._unreadable("", str(error))
        except ImageError as error:
            return self._unreadable(sha256, str(error))
        except (MemoryError, cv2.error) as error:
            if not is_out_of_memory(error):
                raise
            return self._unreadable("", _NO_MEMORY)

    def _lost(self, image: _Numbered, reason: str) -> _Part:
        """Return the result of an image that ended a worker process."""
        return _Part({image[0]: self._unreadable("", f"a worker process that read only this image {reason}")})

    def _unreadable(self, sha256: str, error: str) -> ImageFaces:
        none = np.empty((0, self.dimension), np.float16)
        return ImageFaces(sha256, 0, 0, "unreadable", error, (), none, min_face=self.min_face)

    def _describe(self, images: Sequence[Decoded]) -> Iterator[tuple[int, ImageFaces]]:
        """Yield the number of each image and its faces. All go through each stage together."""
        if not images:
            return
        try:
            faces, crops = self._find_faces(images)
            descriptors = self.networks.embed(crops)
        except (MemoryError, cv2.error) as error:
            if not is_out_of_memory(error):
                raise
            if len(images) == 1:
                yield images[0].number, self._unreadable("", _NO_MEMORY)
            else:
                for image in images:
                    yield from self._describe([image])
            return
        ends = np.searchsorted(faces.pictures, np.arange(len(images) + 1))
        for d, start, stop in zip(images, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            yield (
                d.number,
                ImageFaces(
                    sha256=d.sha256,
                    width=d.image.shape[1],
                    height=d.image.shape[0],
                    status="ok" if stop > start else "no_face",
                    error="",
                    faces=tuple(
                        Face(faces.boxes[i], faces.landmarks[i], float(faces.scores[i]))
                        for i in range(start, stop)
                    ),
                    descriptors=descriptors[start:stop],
                    multi_frame=d.multi_frame,
                    min_face=self.min_face if d.faces is None else detect.LOWEST_MIN_FACE,
                ),
            )

    def _find_faces(self, decoded: Sequence[Decoded]) -> tuple[Candidates, U8]:
        """Return the faces of the images and their crops, by image; if detected, highest score first."""
        detector = self.networks.detector
        images = [d.image for d in decoded]
        unknown = [i for i, d in enumerate(decoded) if d.faces is None]
        pictures = [images[i] for i in unknown]
        found = detect.find_faces(detector, pictures, THRESHOLD, self.min_face)
        found = rotated.set_turned(detector, pictures, found, THRESHOLD, self.min_face)
        found = rotated.set_upright(detector, pictures, found)
        found = replace(found, landmarks=refine(detector, pictures, found))
        if len(unknown) < len(decoded):
            given = locate(detector, images, [d.faces for d in decoded])
            found = joined([found.numbered(unknown), given])
            found = found.select(np.argsort(found.pictures, kind="stable"))
        if not self.variant:
            return found, align.align(images, found.pictures, found.landmarks)
        crops = np.empty((len(found), align.SIDE, align.SIDE, 3), np.uint8)
        first = np.searchsorted(found.pictures, found.pictures)
        for i, picture in enumerate(found.pictures):
            digest = int(decoded[picture].sha256[:16], 16)
            rng = np.random.default_rng([self.variant, i - int(first[i]), digest])
            crops[i] = degrade.degraded_crop(images[picture], found.landmarks[i], rng)
        return found, crops


def _peek(source: Iterator[Item], count: int) -> list[Item]:
    """Return at most ``count`` items, and no more than come within a second."""
    end = time.monotonic() + _PEEK_SECONDS
    items: list[Item] = []
    while len(items) < count and time.monotonic() < end and (more := list(islice(source, 1))):
        items += more
    return items
