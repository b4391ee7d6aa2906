"""Alignment: the similarity against what it must be, the crop against a plain warp of the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from arcage.embedder import align as module
from arcage.embedder.align import SIDE, TEMPLATE, VISIBLE, align, similarity
from arcage.embedder.detect import find_faces
from arcage.types import F32, F64, U8

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

LANDMARKS = np.float32([[200.1, 101.6], [247.0, 102.4], [220.1, 124.3], [198.7, 142.3], [239.5, 143.3]])
"""Of the astronaut, as YuNet finds them."""
UTKFACE = np.array([[60.0, 61.2], [140.0, 61.8], [98.3, 102.5], [65.0, 137.8], [130.4, 138.1]])
"""Where the landmarks lie in UTKFace's crops of 200x200 pixels, on average."""
LEFT, TOP, RIGHT, BOTTOM = VISIBLE


def apply(matrix: F64, points: F32 | F64) -> F64:
    return points @ matrix[:, :2].T + matrix[:, 2]


def turn(degrees: float, scale: float, shift: tuple[float, float]) -> F64:
    a = scale * np.exp(1j * np.radians(degrees))
    return np.array([[a.real, -a.imag, shift[0]], [a.imag, a.real, shift[1]]])


def plain(image: U8, landmarks: F32) -> U8:
    """The whole image warped at once."""
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    warped = cv2.warpAffine(image, similarity(landmarks), (SIDE, SIDE))
    crop[TOP:BOTTOM, LEFT:RIGHT] = warped[TOP:BOTTOM, LEFT:RIGHT]
    return crop


def difference(a: U8, b: U8) -> tuple[float, float]:
    """Grey levels: the mean over what is visible, and the 99th percentile."""
    delta = np.abs(a.astype(int) - b)[TOP:BOTTOM, LEFT:RIGHT]
    return float(delta.mean()), float(np.quantile(delta, 0.99))


@pytest.mark.parametrize("degrees", [0, 17, 90, 180, -135])
@pytest.mark.parametrize("scale", [0.02, 1, 40])
def test_a_known_similarity_is_found_exactly(degrees: float, scale: float) -> None:
    known = turn(degrees, scale, (-30, 7000))
    np.testing.assert_allclose(similarity(TEMPLATE, apply(known, TEMPLATE)), known, atol=1e-8 * scale)
    # Back again: from the points to the template.
    back = similarity(apply(known, TEMPLATE))
    np.testing.assert_allclose(apply(back, apply(known, TEMPLATE)), TEMPLATE, atol=1e-8)


def test_it_is_the_best_of_all_similarities_and_never_a_reflection() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.uniform(0, 500, (5, 2))
        found = similarity(points)
        error = np.square(apply(found, points) - TEMPLATE).sum()
        assert np.linalg.det(found[:, :2]) > 0
        for i in range(6):
            # A step in any direction of the four parameters makes it worse.
            step = np.zeros(4)
            step[i % 4] = 1e-3 if i < 4 else -1e-3
            a, b, x, y = step
            other = found + np.array([[a, -b, x], [b, a, y]])
            assert np.square(apply(other, points) - TEMPLATE).sum() > error


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")
def test_it_equals_skimage() -> None:
    transform = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(1)
    faces = [LANDMARKS, *(LANDMARKS + rng.normal(0, 4, (10, 5, 2)).astype(np.float32))]
    for points in faces:
        theirs = transform.SimilarityTransform()
        theirs.estimate(points.astype(np.float64), TEMPLATE)
        np.testing.assert_allclose(similarity(points), theirs.params[:2], atol=1e-6)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")
def test_it_equals_insightface() -> None:
    face_align = pytest.importorskip("insightface.utils.face_align")
    np.testing.assert_allclose(face_align.arcface_dst, TEMPLATE, atol=1e-4)
    np.testing.assert_allclose(similarity(LANDMARKS), face_align.estimate_norm(LANDMARKS), atol=1e-4)


def test_small_faces_are_cut_as_a_plain_warp_does(astronaut: U8) -> None:
    for degrees, scale in ((0, 1.0), (30, 0.7), (-160, 1.3), (0, 0.3)):
        # Scale: of the face in the picture; up to 2 it is not reduced first.
        move = turn(degrees, scale, (250, 200))
        picture = cv2.warpAffine(astronaut, move, (700, 600))
        points = apply(move, LANDMARKS).astype(np.float32)
        mean, high = difference(align(picture, points), plain(picture, points))
        # OpenCV rounds sampling points to 1/32 pixel, from another origin.
        assert mean < 0.5
        assert high <= 4


def test_turning_scaling_and_shifting_the_picture_changes_nothing(astronaut: U8) -> None:
    reference = align(astronaut, LANDMARKS)
    for degrees, scale in ((0, 1.5), (25, 1.2), (90, 1.0), (180, 2.0)):
        # About the face, so that all of it stays in the picture.
        centre = np.array([220.0, 120.0])
        move = turn(degrees, scale, (0, 0))
        move[:, 2] = [500, 450] - move[:, :2] @ centre
        picture = cv2.warpAffine(astronaut, move, (1000, 900), flags=cv2.INTER_CUBIC)
        mean, high = difference(align(picture, apply(move, LANDMARKS).astype(np.float32)), reference)
        assert mean < 2.5
        assert high < 20


def test_large_faces_equal_small_ones(astronaut: U8) -> None:
    reference = align(astronaut, LANDMARKS)
    head = np.ascontiguousarray(astronaut[20:220, 120:320])
    side = 4000
    ratio = side / len(head)
    large = cv2.resize(head, (side, side), interpolation=cv2.INTER_LINEAR)
    points = ((LANDMARKS - [120, 20] + 0.5) * ratio - 0.5).astype(np.float32)
    mean, high = difference(align(large, points), reference)
    assert mean < 2.5
    assert high < 12
    # Fine detail averages out instead of being sampled: here, a checkerboard of single pixels.
    y, x = np.mgrid[:side, :side]
    noisy = cv2.multiply(large, cv2.merge([((x + y) % 2 * 255).astype(np.uint8)] * 3), scale=1 / 255)
    halved = align(noisy, points).astype(int) * 2
    assert difference(np.clip(halved, 0, 255).astype(np.uint8), reference)[0] < 3.5
    assert (
        difference(np.clip(2 * plain(noisy, points).astype(int), 0, 255).astype(np.uint8), reference)[0] > 10
    )


def test_only_what_a_tight_crop_has_is_visible() -> None:
    white = np.full((600, 600, 3), 255, np.uint8)
    crop = align(white, LANDMARKS)
    assert (crop.shape, crop.dtype) == ((SIDE, SIDE, 3), np.uint8)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[TOP:BOTTOM, LEFT:RIGHT] = True
    assert (crop[inside] == 255).all()
    assert (crop[~inside] == 0).all()
    # The same from the left and the right, so that a face's mirror image is another face's crop.
    assert LEFT == SIDE - RIGHT
    # About UTKFace's square, which single faces show more or less of.
    square = apply(similarity(UTKFACE), np.array([[0.0, 0.0], [200.0, 200.0]]))
    assert np.abs(square[0] - [LEFT, TOP]).max() < 8
    assert abs(square[1, 0] - RIGHT) < 8
    assert square[1, 1] > BOTTOM


def test_what_lies_outside_the_image_is_black(astronaut: U8) -> None:
    reference = align(astronaut, LANDMARKS)
    cut = 222
    half = np.ascontiguousarray(astronaut[:, cut:])
    crop = align(half, LANDMARKS - np.float32([cut, 0]))
    # The face is turned a little, and so is the edge: at the crop's top and bottom it lies elsewhere.
    edge = apply(similarity(LANDMARKS), np.array([[cut, 70.0], [cut, 170.0]]))[:, 0]
    assert edge.max() - edge.min() < 10
    assert (crop[:, : int(edge.min()) - 2] == 0).all()
    right = slice(int(edge.max()) + 3, RIGHT)
    assert np.abs(crop[TOP:, right].astype(int) - reference[TOP:, right]).mean() < 1
    # Wholly outside, on every side and far away: nothing but black, and no crash.
    for shift in ([-2000, 0], [2000, 0], [0, -2000], [0, 2000], [1e6, 1e6]):
        assert not align(astronaut, LANDMARKS + np.float32(shift)).any()
    large = LANDMARKS * 20 + np.float32([-9000, 0])
    assert not align(astronaut, large).any()


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2)),
        np.full((5, 2), 1e7),
        np.array([[10.0, 20.0]] * 4 + [[10.0, 20.001]]),
        np.array([[i, i] for i in range(5)]),
        np.array([[1e6 * i, -1e6 * i] for i in range(5)]),
        -LANDMARKS,
    ],
    ids=["origin", "far", "almost one point", "a line", "a huge line", "upside down"],
)
def test_landmarks_without_sense_do_not_crash(points: F64, astronaut: U8) -> None:
    for image in (astronaut, astronaut[:1, :1], astronaut[:1], astronaut[:, :1]):
        crop = align(np.ascontiguousarray(image), points.astype(np.float32))
        assert (crop.shape, crop.dtype) == ((SIDE, SIDE, 3), np.uint8)


def test_a_tight_crop_and_the_photo_it_is_from_look_the_same(
    astronaut: U8, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Cut as UTKFace's crops are: brought to its geometry, 200x200, forehead and chin at the border.
    tight = cv2.warpAffine(astronaut, similarity(LANDMARKS, UTKFACE), (200, 200))
    stage = extractor.networks

    def cosine() -> float:
        crops = [align(im, find_faces(stage.detector, im, 0.5)[0].landmarks) for im in (astronaut, tight)]
        a, b = stage.embed_batch(np.stack(crops[:1])), stage.embed_batch(np.stack(crops[1:]))
        a, b = a[0].astype(np.float64), b[0].astype(np.float64)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    with_mask = cosine()
    assert with_mask > 0.9
    # Without the mask, hair and background show in the one and not in the other.
    monkeypatch.setattr(module, "VISIBLE", (0, 0, SIDE, SIDE))
    assert cosine() < with_mask - 0.03
