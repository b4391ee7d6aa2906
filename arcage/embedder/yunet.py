"""The face detector YuNet (Wu et al., Machine Intelligence Research 2023), as published in the OpenCV Zoo."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import cv2
import numpy as np

from arcage.embedder.candidates import Candidates, check_finite, checked_candidates
from arcage.embedder.engines.base import Engine, Network
from arcage.errors import ModelError
from arcage.types import F32, U8, Array

STRIDES = (8, 16, 32)
"""Pixels of the canvas per output cell, one for each scale of the network."""


class YuNet:
    """The OpenCV Zoo's ``face_detection_yunet_2023mar.onnx`` on any engine.

    The network is compiled for each canvas size on first use.

    Args:
        engine: what runs the network.
        model: the ONNX file's bytes.
        trusted: whether the model is part of arcage, as in :meth:`Engine.load`.
    """

    def __init__(self, engine: Engine, model: bytes, *, trusted: bool = True) -> None:
        self._engine = engine
        self._model = model
        self._trusted = trusted
        self._lock = threading.Lock()
        self._sizes: dict[tuple[int, int], tuple[Network, F32, F32]] = {}

    def candidates(self, canvas: U8, threshold: float) -> Candidates:
        """Return the face candidates before non-maximum suppression, in pixels of the canvas.

        Args:
            canvas: shape (height, width, 3), uint8, RGB; height and width are multiples of 32.
            threshold: minimum score, 0 to 1.

        Raises:
            ModelError: the network is not YuNet.
        """
        network, all_cells, all_strides = self._for_size(canvas.shape[0], canvas.shape[1])
        out = network(_network_input(canvas))

        count = len(all_cells)
        # The published score: the geometric mean of the class score and the objectness score.
        cls = _rows(out, "cls", 1, count)[:, 0].clip(0, 1)
        obj = _rows(out, "obj", 1, count)[:, 0].clip(0, 1)
        scores = np.sqrt(cls * obj)
        check_finite(scores)
        keep = np.flatnonzero(scores >= threshold)

        cells, strides = all_cells[keep], all_strides[keep]
        box = _rows(out, "bbox", 4, count)[keep]
        points = _rows(out, "kps", 10, count)[keep].reshape(-1, 5, 2)
        centre = (cells + box[:, :2]) * strides
        with np.errstate(over="ignore"):  # infinity is refused below
            half = np.exp(box[:, 2:]) * strides / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        landmarks = (points + cells[:, None]) * strides[:, None]
        return checked_candidates(
            Candidates(
                boxes.astype(np.float32), landmarks.astype(np.float32), scores[keep].astype(np.float32)
            )
        )

    def _for_size(self, height: int, width: int) -> tuple[Network, F32, F32]:
        """Return the network for a canvas size, and the cells and strides of its outputs."""
        with self._lock:
            if (height, width) not in self._sizes:
                network = self._engine.load(self._model, (1, 3, height, width), trusted=self._trusted)
                self._sizes[height, width] = (network, *_cells(height, width))
            return self._sizes[height, width]


def _rows(out: Mapping[str, Array], part: str, width: int, count: int) -> F32:
    """Return one part of the outputs of all scales, shape (count, width)."""
    found = [out.get(f"{part}_{stride}", np.empty(0, np.float32)) for stride in STRIDES]
    if sum(values.size for values in found) != count * width:
        raise ModelError("the face detector returns other outputs than YuNet: it does not match its record")
    return np.concatenate([values.reshape(-1) for values in found]).reshape(count, width)


def _network_input(canvas: U8) -> F32:
    """Convert (height, width, 3), uint8, RGB to (1, 3, height, width), float32, BGR."""
    blob = np.empty((1, 3, *canvas.shape[:2]), np.float32)
    # Four times as fast as a transposed copy in NumPy.
    for plane, channel in zip(blob[0, ::-1], cv2.split(canvas), strict=True):
        plane[:] = channel
    return blob


def _cells(height: int, width: int) -> tuple[F32, F32]:
    """Return the column and row of each output cell, shape (cells, 2), and its stride, shape (cells, 1)."""
    cells, strides = [], []
    for stride in STRIDES:
        count, across = height // stride * (width // stride), width // stride
        rows, columns = np.divmod(np.arange(count), across)
        cells.append(np.stack([columns, rows], axis=1))
        strides.append(np.full((count, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
