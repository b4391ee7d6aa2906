"""Five landmarks -> the 112x112 picture that ArcFace-family networks were trained on."""

from __future__ import annotations

import cv2
import numpy as np

from arcage.types import F32, F64, U8

SIDE = 112

TEMPLATE: F64 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the landmarks lie in the aligned picture (ArcFace, Deng et al., CVPR 2019; InsightFace's
``arcface_dst``), in pixels."""

VISIBLE = (3, 17, 109, 112)
"""x1, y1, x2, y2 of what the networks see of the aligned picture; the rest is black.

The bundled heads were fitted on crops that end at forehead, ears and chin. Where a photo shows hair and
background, the networks notice. So every source is cut to the region that tight crops have: the UTKFace
crop's square, brought into the aligned picture by its mean landmarks, spans x 9 to 104 and y 24 to the
lower border, for single faces more or less. This is about the most that any of them shows: less costs
gender accuracy on photos, more costs age (docs/evidence/method.md)."""


def similarity(points: F32 | F64, target: F64 = TEMPLATE) -> F64:
    """The rotation, uniform scale and shift that bring ``points`` nearest to ``target``.

    Closed form of Umeyama (PAMI 1991) for the plane and without reflection: with the points as
    complex numbers, ``target ~ a * points + b`` is a linear least-squares problem in ``a`` and ``b``.

    Args:
        points: shape (n, 2), pixels.
        target: shape (n, 2), pixels.

    Returns:
        Shape (2, 3), float64: the affine matrix from ``points`` to ``target``.
    """
    z = points[:, 0].astype(np.float64) + 1j * points[:, 1].astype(np.float64)
    w = target[:, 0] + 1j * target[:, 1]
    z0, w0 = z.mean(), w.mean()
    a = np.vdot(z - z0, w - w0) / max(np.vdot(z - z0, z - z0).real, 1e-12)
    b = w0 - a * z0
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def move(points: F32 | F64, matrix: F64) -> F64:
    """Where ``points``, shape (n, 2), come to lie by an affine ``matrix``, shape (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


def align(image: U8, landmarks: F32 | F64) -> U8:
    """Cut one face out of an image, upright and at the size of the networks' input.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        landmarks: shape (5, 2), pixels of ``image``.

    Returns:
        Shape (112, 112, 3), uint8, RGB; black outside ``VISIBLE`` and where the image has no pixels.
    """
    warped = warp(image, similarity(landmarks), SIDE)
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    left, top, right, bottom = VISIBLE
    crop[top:bottom, left:right] = warped[top:bottom, left:right]
    return crop


def warp(image: U8, matrix: F64, side: int, border: int = cv2.BORDER_CONSTANT) -> U8:
    """A square cut out of an image.

    Where the image is more than twice as fine as the square it is first reduced by averaging whole
    pixels: sampling a large picture at few points would turn its detail into noise.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        matrix: shape (2, 3): the similarity from the image's pixels to the square's.
        side: of the square, pixels.
        border: OpenCV's word for what lies where the image has no pixels; black unless told.

    Returns:
        Shape (side, side, 3), uint8, RGB.
    """
    # Only the part of the picture that the square can show is touched.
    corners = move(np.array([[0, 0], [side, 0], [side, side], [0, side]]), cv2.invertAffineTransform(matrix))
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(axis=0)) - 2, 0, [width - 1, height - 1]).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)) + 2, [x0 + 1, y0 + 1], [width, height]).astype(int)
    part = image[y0:y1, x0:x1]
    linear, shift = matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ [x0, y0]
    scale = float(np.hypot(*linear[0]))
    if 2 * scale < 1:
        size = (max(1, round(part.shape[1] * 2 * scale)), max(1, round(part.shape[0] * 2 * scale)))
        ratio = np.array(size) / [part.shape[1], part.shape[0]]
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        # Pixel centres: x in the reduced picture is (x + 0.5) / ratio - 0.5 in the part.
        linear, shift = linear / ratio, shift + linear @ (0.5 / ratio - 0.5)
    reduced = np.concatenate([linear, shift[:, None]], axis=1)
    return np.asarray(
        cv2.warpAffine(part, reduced, (side, side), flags=cv2.INTER_LINEAR, borderMode=border), np.uint8
    )
