"""YuNet's outputs -> face candidates (Wu et al., Machine Intelligence Research 2023; OpenCV Zoo)."""

from __future__ import annotations

import threading

import cv2
import numpy as np

from arcage.embedder.engines.base import Engine, Network
from arcage.types import F32, U8

STRIDES = (8, 16, 32)


class YuNet:
    """The OpenCV Zoo's ``face_detection_yunet_2023mar.onnx`` on any engine.

    Networks are compiled per canvas size, when a size is first met.
    """

    def __init__(self, engine: Engine, model: bytes) -> None:
        self._engine = engine
        self._model = model
        self._lock = threading.Lock()
        self._sizes: dict[tuple[int, int], tuple[Network, F32, F32]] = {}

    def candidates(self, canvas: U8, threshold: float) -> tuple[F32, F32, F32]:
        """Face candidates before non-maximum suppression.

        Args:
            canvas: shape (height, width, 3), uint8, RGB; both multiples of 32.
            threshold: the least score, 0 to 1.

        Returns:
            boxes, shape (n, 4), x1 y1 x2 y2; landmarks, shape (n, 5, 2); scores, shape (n,): float32,
            in the canvas's pixels.
        """
        network, all_cells, all_strides = self._for_size(canvas.shape[0], canvas.shape[1])
        out = network(_blue_first(canvas))

        # The published score: the geometric mean of "a face" and "a face centred in this cell".
        cls = np.concatenate([out[f"cls_{s}"].reshape(-1) for s in STRIDES]).clip(0, 1)
        obj = np.concatenate([out[f"obj_{s}"].reshape(-1) for s in STRIDES]).clip(0, 1)
        scores = np.sqrt(cls * obj)
        keep = np.flatnonzero(scores >= threshold)

        cells, strides = all_cells[keep], all_strides[keep]
        box = np.concatenate([out[f"bbox_{s}"].reshape(-1, 4) for s in STRIDES])[keep]
        points = np.concatenate([out[f"kps_{s}"].reshape(-1, 5, 2) for s in STRIDES])[keep]
        centre = (cells + box[:, :2]) * strides
        half = np.exp(box[:, 2:]) * strides / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        landmarks = (points + cells[:, None]) * strides[:, None]
        return boxes.astype(np.float32), landmarks.astype(np.float32), scores[keep].astype(np.float32)

    def _for_size(self, height: int, width: int) -> tuple[Network, F32, F32]:
        with self._lock:
            if (height, width) not in self._sizes:
                network = self._engine.load(self._model, (1, 3, height, width))
                self._sizes[height, width] = (network, *_priors(height, width))
            return self._sizes[height, width]


def _blue_first(canvas: U8) -> F32:
    """Shape (height, width, 3), RGB -> (1, 3, height, width), float32, BGR."""
    blob = np.empty((1, 3, *canvas.shape[:2]), np.float32)
    # Four times as fast as numpy's own way around the axes.
    for plane, channel in zip(blob[0, ::-1], cv2.split(canvas), strict=True):
        plane[:] = channel
    return blob


def _priors(height: int, width: int) -> tuple[F32, F32]:
    """The column and row of every output cell, shape (cells, 2), and its stride, shape (cells, 1)."""
    cells, strides = [], []
    for stride in STRIDES:
        count, across = height // stride * (width // stride), width // stride
        rows, columns = np.divmod(np.arange(count), across)
        cells.append(np.stack([columns, rows], axis=1))
        strides.append(np.full((count, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
