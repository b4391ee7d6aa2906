"""The networks of a model pack, loaded on an engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from arcage.embedder.align import SIDE
from arcage.embedder.candidates import FaceDetector, non_maximum_suppression
from arcage.embedder.engines.base import Engine, Hint, Network
from arcage.embedder.packs.record import ModelRecord, Pack
from arcage.embedder.views import TIGHT
from arcage.errors import ModelError
from arcage.types import F16, U8, Array

FLOAT16_MAX = 65504
"""Largest finite float16."""
MAX_FACES_IN_NOISE = 100
"""Maximum number of faces that a detector may find in noise. A working one finds none or a few."""


class PackNetworks:
    """A pack's face detector and its embedders.

    Args:
        pack: the model pack; its files are verified before they are opened.
        engine: what runs the networks.
        hint: ``latency`` embeds one face a call on the CPU, ``throughput`` four; on a GPU it is 64.

    Raises:
        ModelError: a file is missing or damaged, or the engine refuses it.
    """

    def __init__(self, pack: Pack, engine: Engine, hint: Hint) -> None:
        self.parallel = engine.parallel
        self.batch_size = (1 if hint == "latency" else 4) if engine.parallel else 64
        self.detector = _load_detector(engine, pack)
        # Reading and compiling networks takes most of the time of a run on one photo.
        with ThreadPoolExecutor(len(pack.embedders)) as pool:
            self._embedders = list(
                pool.map(lambda record: _load_embedder(engine, pack, record), pack.embedders)
            )
        self.dimension = sum(embedder.dimension for embedder in self._embedders)
        """Columns of a descriptor."""
        if not pack.is_bundled:
            _check_detector(self.detector)

    def embed(self, crops: U8, pool: ThreadPoolExecutor) -> F16:
        """Return the descriptors of aligned faces.

        Args:
            crops: shape (n, 112, 112, 3), uint8, RGB.
            pool: runs several batches at once on engines that are ``parallel``.

        Returns:
            Shape (n, dimension), float16.
        """
        batches = [crops[i : i + self.batch_size] for i in range(0, len(crops), self.batch_size)]
        if not batches:
            return np.empty((0, self.dimension), np.float16)
        run = pool.map if self.parallel else map
        return np.concatenate(list(run(self.embed_batch, batches)))

    def embed_batch(self, crops: U8) -> F16:
        """Return the descriptors of at most ``batch_size`` aligned faces, as :meth:`embed`."""
        # One fixed shape: a runtime prepares (and on a GPU tunes) each new batch size.
        padded = np.zeros((self.batch_size, *crops.shape[1:]), np.uint8)
        padded[: len(crops)] = crops
        parts = [embedder(padded)[: len(crops)] for embedder in self._embedders]
        joined = np.concatenate(parts, axis=1)
        bounded: F16 = np.clip(joined, -FLOAT16_MAX, FLOAT16_MAX).astype(np.float16)
        return bounded


@dataclass(frozen=True, slots=True)
class _Embedder:
    """A network from aligned faces to descriptors."""

    name: str
    network: Network
    dimension: int
    """Columns of its descriptors."""

    def __call__(self, crops: U8) -> Array:
        """Return descriptors, shape (n, dimension).

        Raises:
            ModelError: the network returns something else.
        """
        descriptors = self.network(crops).get("descriptors")
        wanted = (len(crops), self.dimension)
        if descriptors is None or descriptors.shape != wanted:
            found = "none" if descriptors is None else f"the shape {descriptors.shape}"
            raise ModelError(
                f"the model {self.name} returns descriptors of {found} instead of {wanted}: it does not "
                "match its record"
            )
        if not np.isfinite(descriptors).all():
            raise ModelError(f"the model {self.name} returns NaN or infinity: it is damaged, get it again")
        return descriptors


def _load_detector(engine: Engine, pack: Pack) -> FaceDetector:
    data = pack.read(pack.detector)
    # Imported here: each pack has one kind of detector, and SCRFD needs the onnx package.
    if pack.detector.kind == "yunet":
        from arcage.embedder.yunet import YuNet

        return YuNet(engine, data, trusted=pack.is_bundled)
    from arcage.embedder.scrfd import Scrfd

    return Scrfd(engine, data)


def _check_detector(detector: FaceDetector) -> None:
    """Check that a detector finds few faces in noise.

    With damaged weights it finds thousands in every picture, each of which takes as long as a real one.

    Raises:
        ModelError: it finds more than :data:`MAX_FACES_IN_NOISE`.
    """
    side = TIGHT.canvas
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    found = detector.candidates(noise, 0.5)
    faces = len(non_maximum_suppression(found.boxes, found.scores))
    if faces > MAX_FACES_IN_NOISE:
        raise ModelError(f"the face detector finds {faces} faces in noise: it is damaged, get it again")


def _load_embedder(engine: Engine, pack: Pack, record: ModelRecord) -> _Embedder:
    data, sha256 = pack.read(record), record.sha256
    if record.kind == "arcface":
        from arcage.embedder.packs.insightface import descriptor_model_isolated

        data, dimension = descriptor_model_isolated(data)
        sha256 = ""
    else:
        assert record.dimension is not None
        dimension = record.dimension
    network = engine.load(
        data, (-1, SIDE, SIDE, 3), sha256=sha256, reduced_precision=True, trusted=pack.is_bundled
    )
    return _Embedder(record.name, network, dimension)
