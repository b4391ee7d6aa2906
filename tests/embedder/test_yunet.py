"""YuNet on the engines of arcage, compared with OpenCV's own decoder."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from detectors import iou, resize

from arcage.embedder.candidates import FaceDetector, non_maximum_suppression
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.embedder.yunet import YuNet
from arcage.errors import ModelError
from arcage.types import U8, Array


def test_candidates_equal_those_of_opencv(yunet: FaceDetector, astronaut: U8) -> None:
    canvas = np.zeros((640, 640, 3), np.uint8)
    canvas[64:576, 64:576] = astronaut
    canvas[:200, :200] = resize(astronaut, 200, 200)
    path = str(BUNDLED_FOLDER / "face_detection_yunet_2023mar.onnx")
    theirs = cv2.FaceDetectorYN.create(path, "", (640, 640), score_threshold=0.5, nms_threshold=0.4)
    _, expected = theirs.detect(np.ascontiguousarray(canvas[:, :, ::-1]))
    found = yunet.candidates(canvas, 0.5)
    assert (found.boxes.dtype, found.landmarks.dtype, found.scores.dtype) == (np.float32,) * 3
    found = found.select(non_maximum_suppression(found.boxes, found.scores))
    assert len(found) == len(expected) == 2
    for i, row in enumerate(sorted(expected, key=lambda row: -row[14])):
        box = np.concatenate([row[:2], row[:2] + row[2:4]])
        assert iou(found.boxes[i], box) > 0.99
        assert np.abs(found.landmarks[i] - row[4:14].reshape(5, 2)).max() < 0.5
        assert found.scores[i] == pytest.approx(row[14], abs=1e-3)


class WrongEngine:
    """An engine whose network returns given outputs."""

    def __init__(self, outputs: dict[str, Array]) -> None:
        self.outputs = outputs

    def load(self, *_: object, **__: object) -> Any:
        return lambda batch: self.outputs


def outputs(**changed: Array) -> dict[str, Array]:
    """Return YuNet's outputs for a canvas of 64 pixels, all ones, with some changed."""
    widths = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    right = {
        f"{part}_{stride}": np.ones((1, (64 // stride) ** 2, width), np.float32)
        for part, width in widths.items()
        for stride in (8, 16, 32)
    }
    return {**right, **changed}


def test_a_network_with_other_outputs_is_a_model_error() -> None:
    canvas = np.zeros((64, 64, 3), np.uint8)
    found = YuNet(WrongEngine(outputs()), b"").candidates(canvas, 0.5)  # type: ignore[arg-type]
    assert len(found) == 64 + 16 + 4
    missing = outputs()
    del missing["obj_16"]
    nan, huge = (np.full((1, 4, 4), value, np.float32) for value in (np.nan, 1000))
    wrong = {
        "other outputs": [{}, missing, outputs(cls_8=np.ones((1, 63, 1), np.float32))],
        "NaN or infinity": [outputs(bbox_32=nan), outputs(bbox_32=huge), outputs(cls_32=nan[..., :1])],
    }
    for message, cases in wrong.items():
        for case in cases:
            with pytest.raises(ModelError, match=message):
                YuNet(WrongEngine(case), b"").candidates(canvas, 0.5)  # type: ignore[arg-type]
