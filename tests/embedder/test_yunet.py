"""YuNet on the engines of arcage, compared with OpenCV's own decoder."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectors import iou, resize

from arcage.embedder.candidates import FaceDetector, non_maximum_suppression
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.types import U8


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
