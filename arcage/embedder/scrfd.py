"""The SCRFD face detectors of InsightFace's packs (Guo et al., ICLR 2022).

Outputs are decoded as in InsightFace's ``model_zoo/scrfd.py``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

import numpy as np

from arcage.embedder.candidates import Candidates, check_finite, checked_candidates
from arcage.embedder.engines.base import Engine, Network
from arcage.embedder.onnx_model import parse
from arcage.errors import ModelError
from arcage.types import F32, U8, Array

# By the number of outputs: strides of the scales, and anchors of a cell. The scores of all scales come
# first, then their boxes, then their landmarks.
_FORMS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}
_WITHOUT_LANDMARKS = (6, 10)


class Scrfd:
    """An SCRFD detector with landmarks (``det_10g``, ``det_500m``, ``scrfd_10g_bnkps``, ...).

    The network is compiled for each canvas size on first use.

    Args:
        engine: what runs the network.
        model: the ONNX file's bytes, with one input (1, 3, height, width).

    Raises:
        ModelError: the file is not such a detector.
    """

    def __init__(self, engine: Engine, model: bytes) -> None:
        # By position: in InsightFace's exports, outputs are named by numbers.
        self._outputs: list[str] = [output.name for output in parse(model).graph.output]
        check_outputs(len(self._outputs))
        self._strides, self._anchors = _FORMS[len(self._outputs)]
        self._engine = engine
        self._model = model
        self._networks: dict[tuple[int, int], tuple[Network, F32, F32]] = {}
        self._lock = threading.Lock()

    def candidates(self, canvas: U8, threshold: float) -> Candidates:
        """Return the face candidates before non-maximum suppression, in pixels of the canvas.

        Args:
            canvas: shape (height, width, 3), uint8, RGB.
            threshold: minimum score, 0 to 1.

        Raises:
            ModelError: the network does not accept a canvas of this size.
        """
        coarsest = self._strides[-1]
        height, width = (math.ceil(side / coarsest) * coarsest for side in canvas.shape[:2])
        network, anchors, strides = self._for_size(height, width)
        blob = np.zeros((1, 3, height, width), np.float32)
        blob[0, :, : canvas.shape[0], : canvas.shape[1]] = canvas.transpose(2, 0, 1)
        blob -= 127.5
        blob /= 128.0
        out = network(blob)

        scores, boxes, points = self._rows(out, 0, 1), self._rows(out, 1, 4), self._rows(out, 2, 10)
        if not len(scores) == len(boxes) == len(points) == len(anchors):
            raise ModelError(
                f"the face detector returned {len(scores)} scores, not {len(anchors)}, for a picture of "
                f"{width}x{height} pixels: it is not an SCRFD network, or it has another input size"
            )
        scores = scores[:, 0]
        check_finite(scores)
        keep = np.flatnonzero(scores >= threshold)
        centre, stride = anchors[keep], strides[keep]
        # Distances from the anchor to the box's sides (left, top, right, bottom) and to the landmarks.
        boxes = boxes[keep] * stride
        boxes = np.concatenate([centre - boxes[:, :2], centre + boxes[:, 2:]], axis=1)
        landmarks = points[keep].reshape(-1, 5, 2) * stride[:, None] + centre[:, None]
        return checked_candidates(Candidates(boxes, landmarks, scores[keep]))

    def _rows(self, out: Mapping[str, Array], part: int, width: int) -> F32:
        """Return one part of the outputs (scores, boxes, landmarks) of all scales, shape (anchors, width)."""
        scales = len(self._strides)
        names = self._outputs[part * scales : (part + 1) * scales]
        found = [out.get(name, np.empty(0, np.float32)) for name in names]
        if any(values.size % width for values in found):
            raise ModelError("the face detector returns outputs of other shapes than SCRFD networks")
        # Exports have a batch dimension or not.
        return np.concatenate([values.reshape(-1, width) for values in found]).astype(np.float32, copy=False)

    def _for_size(self, height: int, width: int) -> tuple[Network, F32, F32]:
        """Return the network for a canvas size, and the anchors and strides of its outputs."""
        with self._lock:
            if (height, width) not in self._networks:
                network = self._engine.load(self._model, (1, 3, height, width), trusted=False)
                anchors = _anchors(height, width, self._strides, self._anchors)
                self._networks[height, width] = (network, *anchors)
            return self._networks[height, width]


def check_outputs(count: int) -> None:
    """Check that a detector with this number of outputs can be used.

    Raises:
        ModelError: it has no landmarks, or is not an SCRFD network.
    """
    if count in _WITHOUT_LANDMARKS:
        raise ModelError(
            "this face detector returns no landmarks (eyes, nose, mouth), which are needed to align faces: "
            "use one with landmarks, such as det_10g.onnx, det_500m.onnx or scrfd_10g_bnkps.onnx"
        )
    if count not in _FORMS:
        raise ModelError(
            f"this face detector has {count} outputs; SCRFD networks with landmarks have "
            + " or ".join(str(n) for n in _FORMS)
        )


def _anchors(height: int, width: int, strides: tuple[int, ...], anchors: int) -> tuple[F32, F32]:
    """Return the pixel that each row of the outputs refers to, shape (rows, 2), and its stride, (rows, 1)."""
    pixels, of_stride = [], []
    for stride in strides:
        count, across = height // stride * (width // stride), width // stride
        rows, columns = np.divmod(np.arange(count), across)
        pixels.append(np.repeat(np.stack([columns, rows], axis=1) * stride, anchors, axis=0))
        of_stride.append(np.full((count * anchors, 1), stride))
    return np.concatenate(pixels).astype(np.float32), np.concatenate(of_stride).astype(np.float32)
