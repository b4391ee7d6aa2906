"""The face detector YuNet (Wu et al., Machine Intelligence Research 2023), as published in the OpenCV Zoo."""

from __future__ import annotations

import numpy as np

from arcage.embedder.detector import DetectorForm
from arcage.embedder.detector_graph import DetectorOutputs
from arcage.types import F32

_STRIDES = (8, 16, 32)

# The published score is the geometric mean of the class score and the objectness score.
OUTPUTS = DetectorOutputs(
    scores=tuple((f"cls_{stride}", f"obj_{stride}") for stride in _STRIDES),
    boxes=tuple(f"bbox_{stride}" for stride in _STRIDES),
    landmarks=tuple(f"kps_{stride}" for stride in _STRIDES),
    bgr=True,
)
"""Outputs of ``face_detection_yunet_2023mar.onnx``."""


def _decode(values: F32, cells: F32, strides: F32) -> tuple[F32, F32]:
    centre = (cells + values[:, :2]) * strides
    with np.errstate(over="ignore"):  # infinity is refused later
        half = np.exp(values[:, 2:4]) * strides / 2
    landmarks = (values[:, 4:].reshape(-1, 5, 2) + cells[:, None]) * strides[:, None]
    return np.concatenate([centre - half, centre + half], axis=1), landmarks


FORM = DetectorForm(_STRIDES, 1, _decode)
