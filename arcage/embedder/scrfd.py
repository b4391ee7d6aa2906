"""The SCRFD face detectors of InsightFace's packs (Guo et al., ICLR 2022).

Outputs are decoded as in InsightFace's ``model_zoo/scrfd.py``.
"""

from __future__ import annotations

import numpy as np

from arcage.embedder.detector import DetectorForm
from arcage.embedder.detector_graph import DetectorOutputs
from arcage.errors import ModelError
from arcage.types import F32


def _decode(values: F32, cells: F32, strides: F32) -> tuple[F32, F32]:
    # Distances from the anchor to the box's sides (left, top, right, bottom) and to the landmarks.
    centre, values = cells * strides, values * strides
    boxes = np.concatenate([centre - values[:, :2], centre + values[:, 2:4]], axis=1)
    return boxes, values[:, 4:].reshape(-1, 5, 2) + centre[:, None]


# By the number of outputs. The scores of all scales come first, then their boxes, then their landmarks.
_FORMS = {
    9: DetectorForm((8, 16, 32), 2, _decode),
    15: DetectorForm((8, 16, 32, 64, 128), 1, _decode),
}
_WITHOUT_LANDMARKS = (6, 10)


def form_of(names: list[str]) -> tuple[DetectorOutputs, DetectorForm]:
    """Return the outputs and the form of an SCRFD network.

    Args:
        names: of all outputs of the published network, in its order: they are named by numbers.

    Raises:
        ModelError: it is not an SCRFD network with landmarks.
    """
    check_outputs(len(names))
    form = _FORMS[len(names)]
    scales = len(form.strides)
    scores, boxes, landmarks = (tuple(names[i * scales : (i + 1) * scales]) for i in range(3))
    outputs = DetectorOutputs(
        tuple((name,) for name in scores), boxes, landmarks, bgr=False, mean=127.5, std=128.0
    )
    return outputs, form


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
