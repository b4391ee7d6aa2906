"""YuNet on the engines of arcage, compared with OpenCV's own decoder."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectors import iou, resize

from arcage.embedder.candidates import FaceDetector, non_maximum_suppression
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.embedder.yunet import FORM, OUTPUTS
from arcage.types import U8


def test_candidates_equal_those_of_opencv(yunet: FaceDetector, astronaut: U8) -> None:
    first = np.zeros((640, 640, 3), np.uint8)
    first[64:576, 64:576] = astronaut
    first[:200, :200] = resize(astronaut, 200, 200)
    second = np.zeros((640, 640, 3), np.uint8)
    second[100:500, 20:420] = resize(astronaut, 400, 400)[:, ::-1]
    canvases = np.stack([first, second, np.zeros_like(first)])
    path = str(BUNDLED_FOLDER / "face_detection_yunet_2023mar.onnx")
    theirs = cv2.FaceDetectorYN.create(path, "", (640, 640), score_threshold=0.5, nms_threshold=0.4)
    both = np.concatenate([canvases, canvases[:, :, ::-1]])
    found = yunet.candidates(both, 0.5)
    assert (found.boxes.dtype, found.landmarks.dtype, found.scores.dtype) == (np.float32,) * 3
    found = found.select(non_maximum_suppression(found))
    assert found.pictures.tolist() == [0, 0, 1, 3, 3, 4]
    for picture, canvas in enumerate(both):
        _, expected = theirs.detect(np.ascontiguousarray(canvas[:, :, ::-1]))
        ours = found.select(found.pictures == picture)
        assert len(ours) == (0 if expected is None else len(expected)) == [2, 1, 0][picture % 3]
        for i, row in enumerate(sorted(() if expected is None else expected, key=lambda row: -row[14])):
            box = np.concatenate([row[:2], row[:2] + row[2:4]])
            assert iou(ours.boxes[i], box) > 0.99
            assert np.abs(ours.landmarks[i] - row[4:14].reshape(5, 2)).max() < 0.5
            assert ours.scores[i] == pytest.approx(row[14], abs=1e-3)
    # With mirror images, which follow, only the face of 90 pixels is found, not those of 35 and 70.
    large = yunet.candidates(canvases, 0.5, mirrored=True)
    large = large.select(non_maximum_suppression(large))
    assert large.pictures.tolist() == [0, 3]
    for i, picture in enumerate((0, 3)):
        (box,) = found.boxes[(found.pictures == picture) & (found.sizes() > 80)]
        assert iou(large.boxes[i], box) > 0.8


def test_a_cell_is_decoded_as_by_hand() -> None:
    values = np.zeros((1, 14), np.float32)
    values[0, :4] = 0.5, -0.25, np.log(2), 0
    values[0, 4:] = np.arange(10) / 10
    boxes, landmarks = FORM.decode(values, np.float32([[3, 5]]), np.float32([[16]]))
    # The centre is at (3.5, 4.75) cells, the size is 2 x 1 cells.
    np.testing.assert_allclose(boxes, [[56 - 16, 76 - 8, 56 + 16, 76 + 8]], rtol=1e-6)
    x, y = np.arange(0, 10, 2) / 10, np.arange(1, 10, 2) / 10
    np.testing.assert_allclose(landmarks, [np.stack([16 * (3 + x), 16 * (5 + y)], axis=1)], rtol=1e-6)
    assert (boxes.dtype, landmarks.dtype) == (np.float32,) * 2
    assert (FORM.strides, FORM.anchors, OUTPUTS.bgr) == ((8, 16, 32), 1, True)


def test_a_size_that_overflows_is_infinite_without_a_warning() -> None:
    """The detector refuses it."""
    values = np.full((1, 14), 1000, np.float32)
    boxes, _ = FORM.decode(values, np.zeros((1, 2), np.float32), np.float32([[32]]))
    assert np.isinf(boxes).all()
