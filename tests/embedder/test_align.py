"""Alignment: similarity transforms, and crops compared with a plain warp of the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from detectors import LANDMARKS, align_one, cosine, find_in, resize

from arcage.embedder import align as module
from arcage.embedder.align import SIDE, TEMPLATE, VISIBLE, align, inverse, similarity, transform, warp
from arcage.types import F32, F64, U8

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

UTKFACE = np.array([[60.0, 61.2], [140.0, 61.8], [98.3, 102.5], [65.0, 137.8], [130.4, 138.1]])
"""Average landmarks of UTKFace's crops of 200x200 pixels."""
LEFT, TOP, RIGHT, BOTTOM = VISIBLE


def make_similarity(degrees: float, scale: float, shift: tuple[float, float]) -> F64:
    a = scale * np.exp(1j * np.radians(degrees))
    return np.array([[a.real, -a.imag, shift[0]], [a.imag, a.real, shift[1]]])


def warp_all(image: U8, landmarks: F32) -> U8:
    """Align by warping the whole image."""
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    warped = cv2.warpAffine(image, similarity(landmarks), (SIDE, SIDE))
    crop[TOP:BOTTOM, LEFT:RIGHT] = warped[TOP:BOTTOM, LEFT:RIGHT]
    return crop


def difference(a: U8, b: U8) -> tuple[float, float]:
    """Return the mean and the 99th percentile of the differences in the visible region, grey levels."""
    delta = np.abs(a.astype(int) - b)[TOP:BOTTOM, LEFT:RIGHT]
    return float(delta.mean()), float(np.quantile(delta, 0.99))


@pytest.mark.parametrize("degrees", [0, 17, 90, 180, -135])
@pytest.mark.parametrize("scale", [0.02, 1, 40])
def test_a_given_similarity_is_found_exactly(degrees: float, scale: float) -> None:
    known = make_similarity(degrees, scale, (-30, 7000))
    np.testing.assert_allclose(similarity(TEMPLATE, transform(TEMPLATE, known)), known, atol=1e-8 * scale)
    # And the inverse, from the points to the template.
    back = similarity(transform(TEMPLATE, known))
    np.testing.assert_allclose(transform(transform(TEMPLATE, known), back), TEMPLATE, atol=1e-8)


def test_the_similarity_is_the_best_one_and_never_a_reflection() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.uniform(0, 500, (5, 2))
        found = similarity(points)
        error = np.square(transform(points, found) - TEMPLATE).sum()
        assert np.linalg.det(found[:, :2]) > 0
        for i in range(6):
            # A step in any direction of the four parameters increases the error.
            step = np.zeros(4)
            step[i % 4] = 1e-3 if i < 4 else -1e-3
            a, b, x, y = step
            other = found + np.array([[a, -b, x], [b, a, y]])
            assert np.square(transform(points, other) - TEMPLATE).sum() > error


def test_many_faces_have_the_similarities_of_each_alone() -> None:
    points = np.random.default_rng(2).uniform(0, 500, (2, 3, 5, 2))
    points[1, 2] = 7  # all at one point
    found = similarity(points)
    assert found.shape == (2, 3, 2, 3)
    back = inverse(found)
    moved = transform(points, found)
    for i in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[i], similarity(points[i]))
        np.testing.assert_array_equal(back[i], inverse(found[i]))
        np.testing.assert_array_equal(moved[i], transform(points[i], found[i]))
    assert similarity(points[0, :0]).shape == (0, 2, 3)


def test_the_inverse_is_the_inverse() -> None:
    known = np.stack([make_similarity(d, s, (-30, 7000)) for d, s in ((0, 0.02), (17, 1), (-135, 40))])
    for matrix, found in zip(known, inverse(known), strict=True):
        np.testing.assert_allclose(found, cv2.invertAffineTransform(matrix), rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(transform(transform(TEMPLATE, matrix), found), TEMPLATE, atol=1e-6)
    # As OpenCV's, that of a matrix without one is zero.
    flat = np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 6.0]])
    np.testing.assert_array_equal(inverse(flat), np.zeros((2, 3)))
    np.testing.assert_array_equal(inverse(flat), cv2.invertAffineTransform(flat))


def test_faces_of_several_images_are_aligned_together(astronaut: U8) -> None:
    large = resize(astronaut, 1500, 1500)
    images = [astronaut, large, np.ascontiguousarray(astronaut[:, 150:])]
    shift = LANDMARKS - np.float32([150, 0])
    pictures = np.array([1, 0, 2, 0])
    points = np.stack([LANDMARKS * 1500 / 512, LANDMARKS, shift, LANDMARKS + np.float32([9, -4])])
    crops = align(images, pictures, points)
    assert (crops.shape, crops.dtype) == ((4, SIDE, SIDE, 3), np.uint8)
    for crop, picture, landmarks in zip(crops, pictures, points, strict=True):
        np.testing.assert_array_equal(crop, align_one(images[picture], landmarks))
    assert difference(crops[0], crops[1])[0] < 4
    assert difference(crops[2], crops[1])[0] < 1
    assert difference(crops[3], crops[1])[0] > 5
    assert align(images, pictures[:0], points[:0]).shape == (0, SIDE, SIDE, 3)


def test_squares_of_several_images_have_their_border_mode(astronaut: U8) -> None:
    # The corner of each image is in the middle of its square.
    matrices = np.array([[[1.0, 0, 32], [0, 1, 32]], [[0.2, 0, 32], [0, 0.2, 32]]])
    images = [astronaut, resize(astronaut, 900, 900)]
    black, repeated = (
        warp(images, np.array([0, 1]), matrices, 64, mode)
        for mode in (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE)
    )
    for k in range(2):
        assert not black[k, :30].any()
        np.testing.assert_array_equal(black[k, 34:, 34:], repeated[k, 34:, 34:])
        np.testing.assert_array_equal(repeated[k, :30], np.broadcast_to(repeated[k, :1], (30, 64, 3)))
        assert repeated[k, :30].any()
    np.testing.assert_array_equal(black[0, 32:, 32:], astronaut[:32, :32])


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")
def test_the_similarity_equals_that_of_skimage() -> None:
    transform = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(1)
    faces = [LANDMARKS, *(LANDMARKS + rng.normal(0, 4, (10, 5, 2)).astype(np.float32))]
    for points in faces:
        theirs = transform.SimilarityTransform()
        theirs.estimate(points.astype(np.float64), TEMPLATE)
        np.testing.assert_allclose(similarity(points), theirs.params[:2], atol=1e-6)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")
def test_the_similarity_equals_that_of_insightface() -> None:
    face_align = pytest.importorskip("insightface.utils.face_align")
    np.testing.assert_allclose(face_align.arcface_dst, TEMPLATE, atol=1e-4)
    np.testing.assert_allclose(similarity(LANDMARKS), face_align.estimate_norm(LANDMARKS), atol=1e-4)


def test_small_faces_equal_a_plain_warp(astronaut: U8) -> None:
    for degrees, scale in ((0, 1.0), (30, 0.7), (-160, 1.3), (0, 0.3)):
        # Scale of the face in the picture; up to 2 it is not reduced first.
        move = make_similarity(degrees, scale, (250, 200))
        picture = cv2.warpAffine(astronaut, move, (700, 600))
        points = transform(LANDMARKS, move).astype(np.float32)
        mean, high = difference(align_one(picture, points), warp_all(picture, points))
        # OpenCV rounds sampling points to 1/32 pixel, relative to another origin.
        assert mean < 0.5
        assert high <= 4


def test_rotating_scaling_and_shifting_the_picture_changes_nothing(astronaut: U8) -> None:
    reference = align_one(astronaut, LANDMARKS)
    for degrees, scale in ((0, 1.5), (25, 1.2), (90, 1.0), (180, 2.0)):
        # About the face, so that it stays in the picture.
        centre = np.array([220.0, 120.0])
        move = make_similarity(degrees, scale, (0, 0))
        move[:, 2] = [500, 450] - move[:, :2] @ centre
        picture = cv2.warpAffine(astronaut, move, (1000, 900), flags=cv2.INTER_CUBIC)
        mean, high = difference(align_one(picture, transform(LANDMARKS, move).astype(np.float32)), reference)
        assert mean < 2.5
        assert high < 20


def test_large_faces_equal_small_ones(astronaut: U8) -> None:
    reference = align_one(astronaut, LANDMARKS)
    head = np.ascontiguousarray(astronaut[20:220, 120:320])
    side = 4000
    ratio = side / len(head)
    large = cv2.resize(head, (side, side), interpolation=cv2.INTER_LINEAR)
    points = ((LANDMARKS - [120, 20] + 0.5) * ratio - 0.5).astype(np.float32)
    mean, high = difference(align_one(large, points), reference)
    assert mean < 2.5
    assert high < 12
    # Fine detail, here a checkerboard of single pixels, is averaged instead of sampled.
    y, x = np.mgrid[:side, :side]
    noisy = cv2.multiply(large, cv2.merge([((x + y) % 2 * 255).astype(np.uint8)] * 3), scale=1 / 255)
    halved = align_one(noisy, points).astype(int) * 2
    assert difference(np.clip(halved, 0, 255).astype(np.uint8), reference)[0] < 3.5
    assert (
        difference(np.clip(2 * warp_all(noisy, points).astype(int), 0, 255).astype(np.uint8), reference)[0]
        > 10
    )


def test_only_the_region_of_a_tight_crop_is_visible() -> None:
    white = np.full((600, 600, 3), 255, np.uint8)
    crop = align_one(white, LANDMARKS)
    assert (crop.shape, crop.dtype) == ((SIDE, SIDE, 3), np.uint8)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[TOP:BOTTOM, LEFT:RIGHT] = True
    assert (crop[inside] == 255).all()
    assert (crop[~inside] == 0).all()
    # Symmetric, so that the mirror image of a crop is a crop of the mirrored face.
    assert LEFT == SIDE - RIGHT
    # Approximately the square of UTKFace's crops.
    square = transform(np.array([[0.0, 0.0], [200.0, 200.0]]), similarity(UTKFACE))
    assert np.abs(square[0] - [LEFT, TOP]).max() < 8
    assert abs(square[1, 0] - RIGHT) < 8
    assert square[1, 1] > BOTTOM


def test_pixels_outside_the_image_are_black(astronaut: U8) -> None:
    reference = align_one(astronaut, LANDMARKS)
    cut = 222
    half = np.ascontiguousarray(astronaut[:, cut:])
    crop = align_one(half, LANDMARKS - np.float32([cut, 0]))
    # The face is slightly rotated, so the edge is at another column at the crop's top and bottom.
    edge = transform(np.array([[cut, 70.0], [cut, 170.0]]), similarity(LANDMARKS))[:, 0]
    assert edge.max() - edge.min() < 10
    assert (crop[:, : int(edge.min()) - 2] == 0).all()
    right = slice(int(edge.max()) + 3, RIGHT)
    assert np.abs(crop[TOP:, right].astype(int) - reference[TOP:, right]).mean() < 1
    # Entirely outside, on every side and far away.
    for shift in ([-2000, 0], [2000, 0], [0, -2000], [0, 2000], [1e6, 1e6]):
        assert not align_one(astronaut, LANDMARKS + np.float32(shift)).any()
    large = LANDMARKS * 20 + np.float32([-9000, 0])
    assert not align_one(astronaut, large).any()


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
def test_impossible_landmarks_do_not_crash(points: F64, astronaut: U8) -> None:
    for image in (astronaut, astronaut[:1, :1], astronaut[:1], astronaut[:, :1]):
        crop = align_one(np.ascontiguousarray(image), points.astype(np.float32))
        assert (crop.shape, crop.dtype) == ((SIDE, SIDE, 3), np.uint8)


def test_a_tight_crop_and_its_photo_have_similar_descriptors(
    astronaut: U8, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A crop like UTKFace's: 200x200, with forehead and chin at the border.
    tight = cv2.warpAffine(astronaut, similarity(LANDMARKS, UTKFACE), (200, 200))
    networks = extractor.networks

    def similarity_of_descriptors() -> float:
        crops = [align_one(im, find_in(networks.detector, im, 0.5)[0].landmarks) for im in (astronaut, tight)]
        a, b = (networks.embed(crop[None])[0] for crop in crops)
        return cosine(a, b)

    with_mask = similarity_of_descriptors()
    assert with_mask > 0.9
    # Without the mask, only the photo shows hair and background.
    monkeypatch.setattr(module, "VISIBLE", (0, 0, SIDE, SIDE))
    assert similarity_of_descriptors() < with_mask - 0.03
