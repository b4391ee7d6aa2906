"""The networks of a model pack, loaded on an engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from arcage.embedder import scrfd, yunet
from arcage.embedder.align import SIDE
from arcage.embedder.candidates import FaceDetector, non_maximum_suppression
from arcage.embedder.detector import GraphDetector
from arcage.embedder.detector_graph import detector_graph
from arcage.embedder.engines.base import Engine, Network, batch_axis, run_batches
from arcage.embedder.onnx_model import parse
from arcage.embedder.packs.record import ModelRecord, Pack, bundled_pack
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

    Raises:
        ModelError: a file is missing or damaged, or the engine refuses it.
    """

    def __init__(self, pack: Pack, engine: Engine) -> None:
        self._batches = engine.embedder_batches
        self.detector = load_detector(engine, pack)
        # Reading and compiling networks takes most of the time of a run on one photo.
        with ThreadPoolExecutor(len(pack.embedders)) as pool:
            self._embedders = list(
                pool.map(lambda record: _load_embedder(engine, pack, record), pack.embedders)
            )
        self.dimension = sum(embedder.dimension for embedder in self._embedders)
        """Columns of a descriptor."""
        if not pack.is_bundled:
            _check_detector(self.detector)

    def embed(self, crops: U8) -> F16:
        """Return the descriptors of aligned faces.

        Args:
            crops: shape (n, 112, 112, 3), uint8, RGB.

        Returns:
            Shape (n, dimension), float16.
        """

        def embed(_: int, count: int, batch: U8) -> Array:
            return np.concatenate([embedder(batch)[:count] for embedder in self._embedders], axis=1)

        none = np.empty((0, self.dimension), np.float32)
        descriptors = np.concatenate([none, *run_batches(crops, self._batches, embed)])
        bounded: F16 = np.clip(descriptors, -FLOAT16_MAX, FLOAT16_MAX).astype(np.float16)
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


def load_detector(engine: Engine, pack: Pack) -> FaceDetector:
    """Load the face detector of a pack.

    Raises:
        ModelError: its file is missing or damaged, or the engine refuses it.
    """
    data = b"" if pack.is_bundled else pack.read(pack.detector)
    bundled = pack if pack.is_bundled else bundled_pack()
    if pack.detector.sha256 == bundled.detector.sha256:  # also in packs that users add
        plain, mirrored = (bundled.read_file(*graph) for graph in bundled.detector.graphs)
        return GraphDetector(engine, plain, mirrored, yunet.FORM, trusted=True)
    # Built here, not taken from the pack's record: the fingerprint only covers the published file.
    model = parse(data)
    if pack.detector.kind == "yunet":
        outputs, form = yunet.OUTPUTS, yunet.FORM
    else:
        # By position: in InsightFace's exports, outputs are named by numbers.
        outputs, form = scrfd.form_of([output.name for output in model.graph.output])
    try:
        graphs = [detector_graph(model, outputs, mirrored=value) for value in (False, True)]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ModelError(f"the face detector is damaged, or no {pack.detector.kind} network") from error
    plain, mirrored = (graph.SerializeToString() for graph in graphs)
    return GraphDetector(engine, plain, mirrored, form, trusted=False)


def _check_detector(detector: FaceDetector) -> None:
    """Check that a detector finds few faces in noise.

    With damaged weights it finds thousands in every picture, each of which takes as long as a real one.

    Raises:
        ModelError: it finds more than :data:`MAX_FACES_IN_NOISE`.
    """
    side = TIGHT.canvas
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    faces = len(non_maximum_suppression(detector.candidates(noise[None], 0.5)))
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
    shape = batch_axis(engine.embedder_batches), SIDE, SIDE, 3
    network = engine.load(data, shape, sha256=sha256, reduced_precision=True, trusted=pack.is_bundled)
    return _Embedder(record.name, network, dimension)
