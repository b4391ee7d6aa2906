"""Faces that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arcage.errors import UsageError
from arcage.sources.own_faces import AlignedCrops, aligned_crop, as_aligned, own_faces
from arcage.sources.source import Source

BOX = (10, 20, 50, 80)
POINTS = [[20, 40], [40, 40], [30, 50], [22, 65], [38, 65]]
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize("boxes", [BOX, [BOX], np.array([BOX], float), [list(map(str, BOX))]])
def test_boxes(boxes: Any) -> None:
    faces = own_faces(boxes)
    assert faces.boxes.dtype == faces.landmarks.dtype == np.float32
    assert faces.boxes.tolist() == [list(BOX)]
    assert faces.landmarks.shape == (1, 5, 2)
    assert np.isnan(faces.landmarks).all()
    assert len(faces) == 1
    assert not faces.aligned


@pytest.mark.parametrize("landmarks", [POINTS, [POINTS], [np.ravel(POINTS)], np.ravel(POINTS)])
def test_landmarks(landmarks: Any) -> None:
    assert own_faces(BOX, landmarks).landmarks.tolist() == [POINTS]


def test_landmarks_of_some_faces() -> None:
    faces = own_faces([BOX, BOX], [POINTS, np.full((5, 2), NAN)])
    assert np.isnan(faces.landmarks).all(axis=(1, 2)).tolist() == [False, True]


@pytest.mark.parametrize("none", [[], np.empty((0, 4)), ()])
def test_no_faces(none: Any) -> None:
    assert own_faces(none).boxes.shape == (0, 4)
    assert own_faces(none, []).landmarks.shape == (0, 5, 2)


def test_boxes_are_copied() -> None:
    boxes = np.array([BOX], np.float32)
    faces = own_faces(boxes)
    boxes[:] = 0
    assert faces.boxes.tolist() == [list(BOX)]


@pytest.mark.parametrize(
    ("boxes", "landmarks", "words"),
    [
        ((1, 2, 3), None, r"`boxes` has the shape \(3,\): give 4 numbers, x1, y1, x2, y2 for each face"),
        ([[1, 2, 3, 4, 5]], None, r"the shape \(1, 5\)"),
        ([[]], None, r"the shape \(1, 0\)"),
        (5, None, r"the shape \(\)"),
        ([[1, 2, 3, 4], [1, 2]], None, "not all numbers"),
        (["a", "b"], None, "not all numbers"),
        (None, None, "the shape|not all numbers"),
        ([(10, 20, 10, 80)], None, "face 0: the box 10, 20, 10, 80 has no area: x1 must be less than x2"),
        ([BOX, (50, 20, 10, 80)], None, "face 1: the box 50, 20, 10, 80 has no area"),
        ([(0, 0, 1, 1)], None, "is within two pixels: give pixels, not parts of the image"),
        ([(NAN, 20, 50, 80)], None, "the box nan, 20, 50, 80 is not four numbers of pixels"),
        ([(0, 0, INFINITY, 80)], None, "not four numbers of pixels"),
        ([(0, 0, 1e300, 80)], None, "not four numbers of pixels"),
        ([(0, 0, 2e6, 80)], None, "not four numbers of pixels"),
        ([BOX], [POINTS[:4]], r"`landmarks` has the shape \(1, 4, 2\): give 5 points, x and y"),
        ([BOX, BOX], [POINTS], "2 `boxes` and 1 `landmarks`: give as many"),
        (
            [BOX],
            [[[NAN, 40], *POINTS[1:]]],
            "some of its landmarks are missing: give all five points, or none",
        ),
        ([BOX], [[[1e9, 40], *POINTS[1:]]], "are not numbers of pixels"),
        ([BOX], [np.full((5, 2), 30)], "the landmarks 30, 30, .* are one point"),
    ],
)
def test_wrong_values(boxes: Any, landmarks: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        own_faces(boxes, landmarks)


def test_aligned_crops() -> None:
    sources = [Source("a.jpg", "a.jpg"), Source("b.jpg", "b.jpg")]
    for source in as_aligned(sources):
        assert source.faces is not None
        assert source.faces.aligned
        assert len(source.faces) == 0
    crops = AlignedCrops()
    assert crops.faces_from == "aligned"
    assert crops.faces_of(sources[0]).aligned
    assert crops.remark() == ""
    assert aligned_crop().aligned
