"""The extraction stage: encoded images in, faces with descriptors out."""

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

from arcage.embedder import align, degrade, detect
from arcage.embedder import rotated as turned
from arcage.embedder.detect import FaceDetector
from arcage.embedder.engines.base import Engine, Hint, Network, Precision, cores
from arcage.embedder.engines.choose import make_engine
from arcage.embedder.landmarks import refine
from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.record import DEFAULT, ModelRecord, Pack
from arcage.errors import ImageError, ImageHereError, ModelError, UsageError
from arcage.images.decode import decode, is_out_of_memory
from arcage.images.multi_frame import is_multi_frame
from arcage.types import F16, U8, Face, ImageFaces, Status

SCHEMA = 2
"""Raised whenever the same files would give other descriptors than before."""
THRESHOLD = 0.5
"""The least detector score of a face that is kept."""
CHUNK = 32
"""Images in flight at once; twice as many crops of their faces may wait in memory."""

Bytes = Callable[[], bytes | U8]
"""Gives an image's encoded bytes, or raises ImageError; or its pixels: (height, width, 3), uint8, RGB."""
Known = Callable[[str], ImageFaces | None]
"""What an image of this sha256 gave before, None where that is not known."""
Item = TypeVar("Item")

_PATIENCE = 0.5
"""Seconds that a stopped stream waits for images in progress."""
_LOADING = threading.RLock()
"""Two threads that share an Extractor shall not both load its networks."""
_IN_USE: WeakSet[Extractor] = WeakSet()
"""All extractors with an engine."""


def _after_fork() -> None:
    """Make all extractors reload their networks: a forked process lacks the threads of the runtime."""
    import ctypes

    global _LOADING
    _LOADING = threading.RLock()  # a thread of the parent may have held the old one
    for extractor in _IN_USE:
        # Never destroyed, not even at exit: destructors would wait for the parent's threads.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object((extractor._engine, extractor._stage)))
        extractor._engine = extractor._stage = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True, slots=True)
class _Found:
    sha256: str
    width: int
    height: int
    error: str
    faces: tuple[Face, ...]
    crops: U8
    """Shape (faces, 112, 112, 3), RGB."""
    known: ImageFaces | None = None
    """The whole answer, where it was known before."""
    multi_frame: bool = False


class Extractor:
    """Detects, aligns and embeds the faces of many images with one model pack.

    The networks are made for the first image that is not known, so that an Extractor can be pickled and
    sent to a worker process, its fingerprint asked for, and a cache read, at no cost.

    Args:
        pack: ``compact`` (bundled), the name of an InsightFace pack on this machine, or a folder; or
            a pack as found before.
        device: ``auto``, ``cpu``, or an ONNX Runtime provider such as ``cuda``.
        hint: ``latency`` for one image, ``throughput`` for many.
        variant: 0 for the faces as they are; 1, 2, ... for degraded ones, to fit heads on beside the
            others (see :mod:`arcage.embedder.degrade`). Each number degrades every face in its own way.
        precision: ``float32`` where descriptors shall be the same to the last digits on every processor;
            ``auto`` is faster on some.
        min_face: minimum face width in pixels, 8 or more. Large images are searched in tiles if this
            requires it.

    Raises:
        UsageError, ModelError: there is no such pack, or it is incomplete.
        UsageError: ``min_face`` is too small.
    """

    def __init__(
        self,
        pack: str | Pack = DEFAULT,
        device: str = "auto",
        hint: Hint = "throughput",
        variant: int = 0,
        precision: Precision = "auto",
        min_face: int = detect.MIN_FACE,
    ) -> None:
        if min_face < detect.FINEST:
            raise UsageError(f"min_face is {detect.FINEST} pixels or more, not {min_face}")
        self.min_face = min_face
        self.variant = variant
        self.precision: Precision = precision
        self.pack = pack if isinstance(pack, Pack) else find_pack(pack)
        self.device = device
        self.hint: Hint = hint
        self._engine: Engine | None = None
        self._stage: _Stage | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process may have another working directory.
        pack = replace(self.pack, folder=self.pack.folder.absolute())
        return {**self.__dict__, "pack": pack, "_engine": None, "_stage": None}

    @property
    def pipeline(self) -> dict[str, Any]:
        """All that decides what a descriptor is; not the device, the batch size or the path."""
        variant = {"recipe": degrade.RECIPE, "number": self.variant}
        return {
            "schema": SCHEMA,
            "decode": "RGB, 8 bits, EXIF orientation applied",
            "detector": {
                "sha256": self.pack.detector.sha256,
                "threshold": THRESHOLD,
                "views": [asdict(v) for v in (detect.TIGHT, detect.PHOTO, detect.LARGE)],
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
        """16 hexadecimal digits that name the pipeline: equal exactly where descriptors may be mixed."""
        text = json.dumps(self.pipeline, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def holds(self, image: ImageFaces) -> bool:
        """Whether a cached result is at least as fine as one of this extractor."""
        if image.min_face is None:
            # From a version without min_face: no tiles, no other orientations, fewer readable files.
            plain = image.status == "ok" and all(f.score >= turned.DOUBTFUL for f in image.faces)
            return plain and not detect.needs_tiles(image.width, image.height, self.min_face)
        return image.min_face <= self.min_face or not detect.needs_tiles(
            image.width, image.height, self.min_face
        )

    @property
    def description(self) -> dict[str, Any]:
        """The pipeline with the name of its pack, which does not affect results."""
        return {**self.pipeline, "pack": self.pack.name}

    @property
    def engine(self) -> Engine:
        """What runs the networks; asking for it loads none of them.

        Raises:
            DeviceError: the device cannot be had.
        """
        with _LOADING:
            if self._engine is None:
                self._engine = make_engine(self.device, self.hint, precision=self.precision)
                _IN_USE.add(self)
            return self._engine

    @property
    def dimension(self) -> int:
        """Columns of a descriptor. Only a pack whose record does not tell has to be loaded for it."""
        told = [model.dimension for model in self.pack.embedders if model.dimension is not None]
        return sum(told) if len(told) == len(self.pack.embedders) else self._ready().dimension

    def extract(self, data: bytes) -> ImageFaces:
        """The faces of one encoded image. A broken image is a result too, never an exception."""
        return next(iter(self.stream([(None, lambda: data)])))[1]

    def stream(
        self, images: Iterable[tuple[Item, Bytes]], known: Known | None = None, *, chunk: int = CHUNK
    ) -> Generator[tuple[Item, ImageFaces]]:
        """The faces of many images, in their order; decoding, detection and embedding overlap.

        Args:
            images: anything that tells them apart, and a function that reads the bytes (called in
                a worker thread).
            known: asked before an image is decoded, in a worker thread: what a cache has is taken
                from there.
            chunk: images that are worked on together; as many more are taken from ``images`` meanwhile.

        Yields:
            The same item and what the image gave. A broken image gives a result with the status
            ``unreadable``.
        """
        source = iter(images)
        workers = cores()
        pool = ThreadPoolExecutor(workers, "arcage")
        submitted: deque[Future[list[tuple[Item, _Found]]]] = deque(maxlen=2 * chunk)

        def queue(together: int) -> list[Future[list[tuple[Item, _Found]]]]:
            taken = list(islice(source, chunk))
            parts = [taken[i : i + together] for i in range(0, len(taken), together)]
            futures = [pool.submit(self._find_all, part, known) for part in parts]
            submitted.extend(futures)
            return futures

        try:
            ahead = queue(1)
            together = 1
            while ahead:
                # The next images are queued before this chunk's faces, so that no core is idle.
                queued, ahead = ahead, queue(together)
                found = [pair for future in queued for pair in future.result()]
                before = [(item, f.known) for item, f in found if f.known is not None]
                # Passing an image to a thread and back takes longer than reading and looking up a
                # cached one, so each thread gets a chunk of these.
                if len(before) == len(found):
                    together = max(1, chunk // workers)
                    yield from before
                else:
                    together = 1
                    yield from self._ready().embed(pool, found)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            # Only briefly: a thread may be waiting for a server.
            if not wait([f for f in submitted if not f.cancelled()], timeout=_PATIENCE).not_done:
                pool.shutdown()

    def _ready(self) -> _Stage:
        with _LOADING:
            if self._stage is None:
                try:
                    self._stage = _Stage(self.pack, self.engine, self.hint, self.variant, self.min_face)
                except MemoryError as error:  # of the networks, not of the image that asks for them
                    raise ModelError("not enough memory for the networks: end other programs") from error
            return self._stage

    def _find_all(
        self, images: Iterable[tuple[Item, Bytes]], known: Known | None
    ) -> list[tuple[Item, _Found]]:
        return [(item, self._find(read, known)) for item, read in images]

    def _find(self, read: Bytes, known: Known | None) -> _Found:
        sha256 = ""
        none: U8 = np.empty((0, align.SIDE, align.SIDE, 3), np.uint8)
        try:
            data = read()
            multi_frame = False
            if isinstance(data, bytes):
                sha256 = hashlib.sha256(data).hexdigest()
                before = known(sha256) if known else None
                multi_frame = is_multi_frame(data)
                if before is not None and self.holds(before):
                    before = replace(before, multi_frame=True) if multi_frame else before
                    return _Found(sha256, 0, 0, "", (), none, before)
            image = decode(data) if isinstance(data, bytes) else data
            stage = self._ready()
            found = [
                turned.set_upright(stage.detector, image, face)
                for face in detect.find_faces(stage.detector, image, THRESHOLD, self.min_face)
            ] or turned.find_turned(stage.detector, image, THRESHOLD)
            faces = tuple(
                replace(face, landmarks=refine(stage.detector, image, face.landmarks)) for face in found
            )
            crops = (
                np.stack([stage.crop(image, f, sha256, i) for i, f in enumerate(faces)]) if faces else none
            )
        except ImageHereError as error:
            return _Found("", 0, 0, str(error), (), none)
        except ImageError as error:
            return _Found(sha256, 0, 0, str(error), (), none)
        except (MemoryError, cv2.error) as error:
            if not is_out_of_memory(error):
                raise
            return _Found("", 0, 0, "not enough memory for this image", (), none)
        return _Found(sha256, image.shape[1], image.shape[0], "", faces, crops, multi_frame=multi_frame)


class _Stage:
    """The networks of a pack on an engine."""

    def __init__(self, pack: Pack, engine: Engine, hint: Hint, variant: int, min_face: int) -> None:
        self.engine = engine
        self.min_face = min_face
        self.variant = variant
        self.batch = (1 if hint == "latency" else 4) if engine.parallel else 64
        self.detector = _load_detector(engine, pack)
        # Reading and compiling networks is most of the time that one photo takes.
        with ThreadPoolExecutor(len(pack.embedders)) as pool:
            loaded = list(pool.map(lambda record: _load_embedder(engine, pack, record), pack.embedders))
        self.embedders = [network for network, _ in loaded]
        self.dimension = sum(dimension for _, dimension in loaded)

    def crop(self, image: U8, face: Face, sha256: str, index: int) -> U8:
        if not self.variant:
            return align.align(image, face.landmarks)
        rng = np.random.default_rng([self.variant, index, int(sha256[:16], 16)])
        # Twice as fine as what the networks see.
        matrix = align.similarity(face.landmarks, 2 * align.TEMPLATE)
        canvas = align.warp(image, matrix, 2 * align.SIDE, degrade.border(rng))
        canvas, landmarks = degrade.degrade(canvas, align.move(face.landmarks, matrix), rng)
        return align.align(canvas, landmarks)

    def embed(
        self, pool: ThreadPoolExecutor, found: Sequence[tuple[Item, _Found]]
    ) -> Iterator[tuple[Item, ImageFaces]]:
        crops = np.concatenate([f.crops for _, f in found])
        batches = [crops[i : i + self.batch] for i in range(0, len(crops), self.batch)]
        if self.engine.parallel:
            parts = list(pool.map(self._embed, batches))
        else:
            parts = [self._embed(batch) for batch in batches]
        descriptors = np.concatenate(parts) if parts else np.empty((0, self.dimension), np.float16)
        start = 0
        for item, f in found:
            if f.known is not None:
                yield item, f.known
                continue
            stop = start + len(f.faces)
            status: Status = "unreadable" if f.error else "ok" if f.faces else "no_face"
            yield (
                item,
                ImageFaces(
                    sha256=f.sha256,
                    width=f.width,
                    height=f.height,
                    status=status,
                    error=f.error,
                    faces=f.faces,
                    descriptors=descriptors[start:stop],
                    multi_frame=f.multi_frame,
                    min_face=self.min_face,
                ),
            )
            start = stop

    def _embed(self, crops: U8) -> F16:
        # One fixed shape: a runtime plans (and on a GPU tunes) anew for every size that it meets.
        padded = np.zeros((self.batch, *crops.shape[1:]), np.uint8)
        padded[: len(crops)] = crops
        parts = [network(padded)["descriptors"][: len(crops)] for network in self.embedders]
        joined = np.concatenate(parts, axis=1)
        bounded: F16 = np.clip(joined, -65504, 65504).astype(np.float16)
        return bounded


def _load_detector(engine: Engine, pack: Pack) -> FaceDetector:
    data = pack.read(pack.detector)
    if pack.detector.kind == "yunet":
        from arcage.embedder.yunet import YuNet

        return YuNet(engine, data)
    from arcage.embedder.scrfd import Scrfd

    return Scrfd(engine, data)


def _load_embedder(engine: Engine, pack: Pack, record: ModelRecord) -> tuple[Network, int]:
    data = pack.read(record)
    if record.kind == "arcface":
        from arcage.embedder.packs.insightface import descriptor_model

        data, dimension = descriptor_model(data)
    else:
        assert record.dimension is not None
        dimension = record.dimension
    return engine.load(data, (-1, align.SIDE, align.SIDE, 3), tolerant=True), dimension
