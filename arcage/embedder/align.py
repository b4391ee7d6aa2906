"""Align faces: from five landmarks to the 112x112 picture that ArcFace-family networks are trained on."""

from __future__ import annotations

import cv2
import numpy as np

from arcage.types import F32, F64, U8

SIDE = 112
"""Side of the aligned picture, pixels."""

TEMPLATE: F64 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Landmarks in the aligned picture, pixels (ArcFace: Deng et al., CVPR 2019; ``arcface_dst`` of
InsightFace)."""

VISIBLE = (3, 17, 109, 112)
"""x1, y1, x2, y2 of the region of the aligned picture that is shown to the networks; the rest is black.

The bundled heads were fitted on crops that end at forehead, ears and chin. Photos also show hair and
background, which changes the descriptors. Every image is therefore cut to the region that tight crops have:
in the aligned picture, an average UTKFace crop spans x 9 to 104 and y 24 to the lower border. This region is
about the largest that any of these crops shows. A smaller one costs gender accuracy on photos, a larger one
age accuracy (docs/evidence/method.md)."""


def similarity(points: F32 | F64, target: F64 = TEMPLATE) -> F64:
    """Return the rotation, uniform scale and shift that bring ``points`` nearest to ``target``.

    Umeyama's closed form (PAMI 1991) in the plane, without reflection: with the points as complex numbers,
    ``target ~ a * points + b`` is a linear least-squares problem in ``a`` and ``b``.

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


def transform(points: F32 | F64, matrix: F64) -> F64:
    """Apply an affine ``matrix``, shape (2, 3), to ``points``, shape (n, 2)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


def align(image: U8, landmarks: F32 | F64) -> U8:
    """Return one face of an image, upright and at the size of the networks' input.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        landmarks: shape (5, 2), pixels of ``image``.

    Returns:
        Shape (112, 112, 3), uint8, RGB; black outside :data:`VISIBLE` and beyond the image's border.
    """
    warped = warp(image, similarity(landmarks), SIDE)
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    left, top, right, bottom = VISIBLE
    crop[top:bottom, left:right] = warped[top:bottom, left:right]
    return crop


def warp(image: U8, matrix: F64, side: int, border_mode: int = cv2.BORDER_CONSTANT) -> U8:
    """Return a square region of an image.

    If the image has more than twice the resolution of the square, it is first reduced by averaging:
    sampling a large picture at few points would turn its detail into noise.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        matrix: shape (2, 3): the similarity transform from pixels of the image to pixels of the square.
        side: of the square, pixels.
        border_mode: OpenCV's ``borderType`` for what lies beyond the image's border; black by default.

    Returns:
        Shape (side, side, 3), uint8, RGB.
    """
    # Only the part of the image that the square can show is read.
    corners = transform(
        np.array([[0, 0], [side, 0], [side, side], [0, side]]), cv2.invertAffineTransform(matrix)
    )
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
        cv2.warpAffine(part, reduced, (side, side), flags=cv2.INTER_LINEAR, borderMode=border_mode), np.uint8
    )
