"""Extract faces with descriptors from encoded images."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, TypeVar
from weakref import WeakSet

import cv2
import numpy as np

from arcage._version import PIPELINE_SCHEMA
from arcage.embedder import align, degrade, detect, rotated, views
from arcage.embedder.engines.base import Engine, Hint, Precision, cores
from arcage.embedder.engines.choose import make_engine
from arcage.embedder.landmarks import refine
from arcage.embedder.networks import PackNetworks
from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.record import BUNDLED_NAME, Pack
from arcage.embedder.tiles import needs_tiles
from arcage.errors import ImageError, ImageHereError, ModelError, UsageError
from arcage.images.decoder import decode, is_out_of_memory
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.images.multi_frame import is_multi_frame
from arcage.types import U8, Face, ImageFaces, Status

THRESHOLD = 0.5
"""Minimum detector score of a face."""
CHUNK = 32
"""Images that are processed together; crops of the faces of twice as many may be in memory."""

ReadImage = Callable[[], bytes | U8]
"""Returns an encoded image, or its pixels, (height, width, 3), uint8, RGB. Raises ImageError."""
Lookup = Callable[[str], ImageFaces | None]
"""Returns the cached result of the image with this SHA-256, or None."""
Item = TypeVar("Item")

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


@dataclass(frozen=True, slots=True)
class _Detected:
    """One image between detection and embedding."""

    sha256: str = ""
    width: int = 0
    height: int = 0
    error: str = ""
    faces: tuple[Face, ...] = ()
    crops: U8 | None = None
    """Shape (faces, 112, 112, 3), RGB; None without faces."""
    multi_frame: bool = False
    cached: ImageFaces | None = None
    """The result, if it was cached. The other fields are then unused."""

    @property
    def status(self) -> Status:
        return "unreadable" if self.error else "ok" if self.faces else "no_face"


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
        if min_face < detect.LOWEST_MIN_FACE:
            raise UsageError(f"min_face must be {detect.LOWEST_MIN_FACE} pixels or more, not {min_face}")
        self.min_face = min_face
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
        variant = {"recipe": degrade.RECIPE, "number": self.variant}
        # The fingerprint is computed from these keys and values.
        return {
            "schema": PIPELINE_SCHEMA,
            "decode": "RGB, 8 bits, EXIF orientation applied",
            "detector": {
                "sha256": self.pack.detector.sha256,
                "threshold": THRESHOLD,
                "views": [asdict(v) for v in (views.TIGHT, views.PHOTO, views.LARGE)],
            },
            "alignment": {
                "side": align.SIDE,
                "landmarks": "5, second look",
                "visible": align.VISIBLE,
                "mirror": True,
            },
            "embedders": [m.sha256 for m in self.pack.embedders],
            **({"degraded": variant} if self.variant else {}),
        }

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the pipeline. Only descriptors of one pipeline may be mixed."""
        text = json.dumps(self.pipeline, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def description(self) -> dict[str, Any]:
        """The pipeline, with the name of its pack, which does not affect results."""
        return {**self.pipeline, "pack": self.pack.name}

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
                    self._networks = PackNetworks(self.pack, self.engine, self.hint)
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

    def extract(self, data: bytes) -> ImageFaces:
        """Return the faces of one encoded image. A broken image has the status ``unreadable``."""
        return next(iter(self.stream([(None, lambda: data)])))[1]

    def stream(
        self,
        images: Iterable[tuple[Item, ReadImage]],
        lookup: Lookup | None = None,
        *,
        chunk: int = CHUNK,
    ) -> Generator[tuple[Item, ImageFaces]]:
        """Yield the faces of many images, in their order; decoding, detection and embedding overlap.

        Args:
            images: pairs of any value that identifies the image, and a function that reads it, which is
                called in a worker thread.
            lookup: returns cached results; called in a worker thread before an image is decoded.
            chunk: number of images that are processed together. As many again are read ahead.

        Yields:
            The value that identifies the image, and its faces. A broken image has the status ``unreadable``.
        """
        source = iter(images)
        workers = cores()
        pool = ThreadPoolExecutor(workers, "arcage")
        submitted: deque[Future[list[tuple[Item, _Detected]]]] = deque(maxlen=2 * chunk)

        def submit(per_task: int) -> list[Future[list[tuple[Item, _Detected]]]]:
            taken = list(islice(source, chunk))
            parts = [taken[i : i + per_task] for i in range(0, len(taken), per_task)]
            futures = [pool.submit(self._detect_all, part, lookup) for part in parts]
            submitted.extend(futures)
            return futures

        try:
            ahead = submit(1)
            per_task = 1
            while ahead:
                # The next images are submitted before this chunk's faces are embedded: no core is idle.
                current, ahead = ahead, submit(per_task)
                detected = [pair for future in current for pair in future.result()]
                cached = [(item, d.cached) for item, d in detected if d.cached is not None]
                # Passing an image to a thread and back takes longer than reading and looking up a cached
                # one. After a chunk of cached images each task therefore has many.
                if len(cached) == len(detected):
                    per_task = max(1, chunk // workers)
                    yield from cached
                else:
                    per_task = 1
                    yield from self._embed(pool, detected)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            # Only briefly: a thread may be waiting for a server.
            running = [f for f in submitted if not f.cancelled()]
            if not wait(running, timeout=_SHUTDOWN_SECONDS).not_done:
                pool.shutdown()

    def _detect_all(
        self, images: Iterable[tuple[Item, ReadImage]], lookup: Lookup | None
    ) -> list[tuple[Item, _Detected]]:
        return [(item, self._detect(read, lookup)) for item, read in images]

    def _detect(self, read: ReadImage, lookup: Lookup | None) -> _Detected:
        """Read one image, look it up, and otherwise decode it, find its faces and crop them."""
        sha256 = ""
        try:
            data = read()
            multi_frame = False
            if isinstance(data, bytes):
                sha256 = hashlib.sha256(data).hexdigest()
                cached = lookup(sha256) if lookup else None
                multi_frame = is_multi_frame(data)
                if cached is not None and self.accepts(cached):
                    return _Detected(cached=replace(cached, multi_frame=True) if multi_frame else cached)
            image = decode(data, limits=self.limits) if isinstance(data, bytes) else data
            faces = self._find_faces(image)
            crops = [self._crop(image, face, sha256, i) for i, face in enumerate(faces)]
            stacked = np.stack(crops) if crops else None
        except ImageHereError as error:  # without the SHA-256, so that no cache keeps it
            return _Detected(error=str(error))
        except ImageError as error:
            return _Detected(sha256, error=str(error))
        except (MemoryError, cv2.error) as error:
            if not is_out_of_memory(error):
                raise
            return _Detected(error="not enough memory for this image")
        return _Detected(sha256, image.shape[1], image.shape[0], "", faces, stacked, multi_frame)

    def _find_faces(self, image: U8) -> tuple[Face, ...]:
        detector = self.networks.detector
        faces = [
            rotated.set_upright(detector, image, face)
            for face in detect.find_faces(detector, image, THRESHOLD, self.min_face)
        ] or rotated.find_rotated(detector, image, THRESHOLD)
        return tuple(replace(face, landmarks=refine(detector, image, face.landmarks)) for face in faces)

    def _crop(self, image: U8, face: Face, sha256: str, index: int) -> U8:
        if not self.variant:
            return align.align(image, face.landmarks)
        rng = np.random.default_rng([self.variant, index, int(sha256[:16], 16)])
        return degrade.degraded_crop(image, face.landmarks, rng)

    def _embed(
        self, pool: ThreadPoolExecutor, images: Sequence[tuple[Item, _Detected]]
    ) -> Iterator[tuple[Item, ImageFaces]]:
        """Embed the faces of all images together, and yield the results of each image."""
        none: U8 = np.empty((0, align.SIDE, align.SIDE, 3), np.uint8)
        crops = np.concatenate([none, *(d.crops for _, d in images if d.crops is not None)])
        descriptors = self.networks.embed(crops, pool)
        start = 0
        for item, d in images:
            if d.cached is not None:
                yield item, d.cached
                continue
            stop = start + len(d.faces)
            yield (
                item,
                ImageFaces(
                    sha256=d.sha256,
                    width=d.width,
                    height=d.height,
                    status=d.status,
                    error=d.error,
                    faces=d.faces,
                    descriptors=descriptors[start:stop],
                    multi_frame=d.multi_frame,
                    min_face=self.min_face,
                ),
            )
            start = stop
