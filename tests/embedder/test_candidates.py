"""Face candidates, and non-maximum suppression compared with its definition."""

from __future__ import annotations

import time

import numpy as np
from detectors import iou

from arcage.embedder.candidates import (
    IOU_THRESHOLD,
    MAX_CANDIDATES,
    Candidates,
    non_maximum_suppression,
)
from arcage.types import F32


def test_candidates_are_selected_moved_and_measured_together() -> None:
    boxes = np.float32([[0, 0, 10, 20], [5, 5, 9, 7]])
    found = Candidates(boxes, np.ones((2, 5, 2), np.float32), np.float32([0.9, 0.4]))
    assert len(found) == 2
    assert found.sizes().tolist() == [20, 4]
    moved = found.select([1]).scaled(np.float32([2, 3])).shifted(np.float32([1, -1]))
    assert len(moved) == 1
    assert moved.boxes.tolist() == [[11, 14, 19, 20]]
    assert moved.landmarks.tolist() == [[[3, 2]] * 5]
    assert moved.scores.tolist() == [np.float32(0.4)]
    assert found.boxes is boxes
    none = found.select(found.scores > 1)
    assert (len(none), none.sizes().shape) == (0, (0,))


def reference_suppression(boxes: F32, scores: F32) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if all(iou(boxes[i], boxes[j]) <= IOU_THRESHOLD for j in kept):
            kept.append(i)
    return kept


def test_the_best_of_overlapping_boxes_is_kept() -> None:
    boxes = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [0, 5, 10, 15]])
    assert non_maximum_suppression(boxes, np.float32([0.6, 0.9, 0.7, 0.8])) == [1, 3, 2]
    assert non_maximum_suppression(np.empty((0, 4), np.float32), np.empty(0, np.float32)) == []
    # Empty boxes with equal scores: in their order.
    assert non_maximum_suppression(np.zeros((3, 4), np.float32), np.ones(3, np.float32)) == [0, 1, 2]


def test_suppression_equals_its_definition() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5, 40, 40, 80):
        centre, half = rng.uniform(0, 300, (count, 2)), rng.uniform(1, 80, (count, 2))
        boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
        scores = rng.random(count).round(1).astype(np.float32)
        assert non_maximum_suppression(boxes, scores) == reference_suppression(boxes, scores)


def test_thousands_of_candidates_stay_fast() -> None:
    # As many as a canvas of 1,280 pixels can have, none of which overlap.
    rows, columns = np.divmod(np.arange(33_600), 184)
    corner = np.stack([columns, rows], axis=1) * 7.0
    boxes = np.concatenate([corner, corner + 6], axis=1).astype(np.float32)
    scores = np.random.default_rng(0).uniform(0.5, 1, len(boxes)).astype(np.float32)
    start = time.process_time()
    kept = non_maximum_suppression(boxes, scores)
    assert time.process_time() - start < 5
    assert kept == np.argsort(-scores, kind="stable")[:MAX_CANDIDATES].tolist()


def test_parts_of_a_face_are_removed_between_views_only() -> None:
    boxes = np.float32([[0, 0, 100, 100], [10, 10, 50, 50], [60, 60, 120, 120]])
    scores = np.float32([0.9, 0.6, 0.6])
    assert non_maximum_suppression(boxes, scores, np.array([0, 1, 1])) == [0, 2]
    assert non_maximum_suppression(boxes, scores, np.array([0, 0, 0])) == [0, 1, 2]
