"""Face candidates, and non-maximum suppression compared with its definition."""

from __future__ import annotations

import time

import numpy as np
import pytest
from detectors import iou, same_candidates

from arcage.embedder import candidates as module
from arcage.embedder.candidates import (
    IOU_THRESHOLD,
    MAX_CANDIDATES,
    Candidates,
    joined,
    non_maximum_suppression,
)
from arcage.types import F32, Index


def make(boxes: F32, scores: F32, pictures: list[int] | Index | None = None) -> Candidates:
    """Return candidates with landmarks that are zero, by default all on picture 0."""
    n = len(boxes)
    numbers = np.zeros(n, np.intp) if pictures is None else np.array(pictures, np.intp)
    return Candidates(boxes, np.zeros((n, 5, 2), np.float32), scores, numbers)


def kept(boxes: F32, scores: F32, views: Index | None = None) -> list[int]:
    rows: list[int] = non_maximum_suppression(make(boxes, scores), views).tolist()
    return rows


def test_candidates_are_selected_moved_and_measured_together() -> None:
    boxes = np.float32([[0, 0, 10, 20], [5, 5, 9, 7]])
    found = Candidates(boxes, np.ones((2, 5, 2), np.float32), np.float32([0.9, 0.4]), np.array([0, 1]))
    assert len(found) == 2
    assert found.sizes().tolist() == [20, 4]
    ratios, offsets = np.float32([[9, 9], [2, 3]]), np.float32([[9, 9], [1, -1]])
    moved = found.select(np.array([1])).scaled(ratios).shifted(offsets)
    assert len(moved) == 1
    assert moved.boxes.tolist() == [[11, 14, 19, 20]]
    assert moved.landmarks.tolist() == [[[3, 2]] * 5]
    assert moved.scores.tolist() == [np.float32(0.4)]
    assert moved.pictures.tolist() == [1]
    assert (moved.boxes.dtype, moved.landmarks.dtype) == (np.float32,) * 2
    assert found.boxes is boxes
    none = found.select(found.scores > 1)
    assert (len(none), none.sizes().shape) == (0, (0,))


def test_each_picture_has_its_own_ratio_and_offset() -> None:
    boxes = np.tile(np.float32([1, 2, 3, 4]), (3, 1))
    found = Candidates(boxes, np.ones((3, 5, 2), np.float32), np.ones(3, np.float32), np.array([1, 0, 1]))
    scaled = found.scaled(np.float32([[1, 10], [2, 3]]))
    assert scaled.boxes.tolist() == [[2, 6, 6, 12], [1, 20, 3, 40], [2, 6, 6, 12]]
    assert scaled.landmarks[:, 0].tolist() == [[2, 3], [1, 10], [2, 3]]
    shifted = found.shifted(np.float32([[100, 0], [0, -1]]))
    assert shifted.boxes.tolist() == [[1, 1, 3, 3], [101, 2, 103, 4], [1, 1, 3, 3]]
    assert shifted.landmarks[:, 4].tolist() == [[1, 0], [101, 1], [1, 0]]
    assert found.numbered([7, 5]).pictures.tolist() == [5, 7, 5]


def test_parts_are_joined_in_their_order() -> None:
    first = make(np.float32([[0, 0, 1, 1]]), np.float32([0.5]), [2])
    second = make(np.float32([[0, 0, 2, 2], [0, 0, 3, 3]]), np.float32([0.9, 0.8]), [0, 1])
    together = joined([first, second])
    assert together.boxes[:, 2].tolist() == [1, 2, 3]
    assert together.scores.tolist() == np.float32([0.5, 0.9, 0.8]).tolist()
    assert together.pictures.tolist() == [2, 0, 1]
    same_candidates(together.select(np.array([0])), first)
    none = joined([])
    assert (none.boxes.shape, none.landmarks.shape, none.scores.shape) == ((0, 4), (0, 5, 2), (0,))
    assert none.pictures.dtype == np.intp
    same_candidates(joined([none, first]), first)


def reference_suppression(boxes: F32, scores: F32) -> list[int]:
    rows: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if all(iou(boxes[i], boxes[j]) <= IOU_THRESHOLD for j in rows):
            rows.append(i)
    return rows


def test_the_best_of_overlapping_boxes_is_kept() -> None:
    boxes = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [0, 5, 10, 15]])
    assert kept(boxes, np.float32([0.6, 0.9, 0.7, 0.8])) == [1, 3, 2]
    assert kept(np.empty((0, 4), np.float32), np.empty(0, np.float32)) == []
    # Empty boxes with equal scores: in their order.
    assert kept(np.zeros((3, 4), np.float32), np.ones(3, np.float32)) == [0, 1, 2]


def random_boxes(rng: np.random.Generator, count: int) -> tuple[F32, F32]:
    centre, half = rng.uniform(0, 300, (count, 2)), rng.uniform(1, 80, (count, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    return boxes, rng.random(count).round(1).astype(np.float32)


def test_suppression_equals_its_definition() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5, 40, 40, 80):
        boxes, scores = random_boxes(rng, count)
        assert kept(boxes, scores) == reference_suppression(boxes, scores)


@pytest.mark.parametrize("crowd", [10, 25, 256])
def test_suppression_of_many_pictures_is_that_of_each(crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With all pictures crowded, some, and none.
    monkeypatch.setattr(module, "_CROWD", crowd)
    rng = np.random.default_rng(1)
    boxes, scores = random_boxes(rng, 150)
    # Picture 3 has none.
    pictures = rng.choice([0, 1, 2, 4, 5], len(boxes), p=[0.3, 0.1, 0.15, 0.35, 0.1])
    views = rng.integers(0, 3, len(boxes))
    found = make(boxes, scores, pictures)
    for given in (None, views):
        expected: list[int] = []
        for picture in range(6):
            rows = np.flatnonzero(pictures == picture)
            part = kept(boxes[rows], scores[rows], None if given is None else given[rows])
            assert given is not None or part == reference_suppression(boxes[rows], scores[rows])
            expected += rows[part].tolist()
        assert non_maximum_suppression(found, given).tolist() == expected


def test_thousands_of_candidates_stay_fast() -> None:
    # As many as a canvas of 1,280 pixels can have, none of which overlap.
    rows, columns = np.divmod(np.arange(33_600), 184)
    corner = np.stack([columns, rows], axis=1) * 7.0
    boxes = np.concatenate([corner, corner + 6], axis=1).astype(np.float32)
    scores = np.random.default_rng(0).uniform(0.5, 1, len(boxes)).astype(np.float32)
    start = time.process_time()
    rows_kept = kept(boxes, scores)
    assert time.process_time() - start < 5
    assert rows_kept == np.argsort(-scores, kind="stable")[:MAX_CANDIDATES].tolist()


def test_the_limit_of_candidates_is_for_each_picture() -> None:
    # All boxes are one: the best of each picture remains, whatever the others have.
    count = MAX_CANDIDATES + 50
    boxes = np.tile(np.float32([0, 0, 10, 10]), (count + 1, 1))
    boxes[5] = 100, 100, 110, 110
    scores = np.linspace(1, 0.5, count + 1).astype(np.float32)
    scores[5] = 0.1  # the last of its picture, beyond the limit
    pictures = np.zeros(count + 1, np.intp)
    pictures[-1] = 1
    assert non_maximum_suppression(make(boxes, scores, pictures)).tolist() == [0, count]


def test_parts_of_a_face_are_removed_between_views_only() -> None:
    boxes = np.float32([[0, 0, 100, 100], [10, 10, 50, 50], [60, 60, 120, 120]])
    scores = np.float32([0.9, 0.6, 0.6])
    assert kept(boxes, scores, np.array([0, 1, 1])) == [0, 2]
    assert kept(boxes, scores, np.array([0, 0, 0])) == [0, 1, 2]
    # And on one picture only.
    found = make(boxes, scores, [0, 1, 0])
    assert non_maximum_suppression(found, np.array([0, 1, 1])).tolist() == [0, 2, 1]
