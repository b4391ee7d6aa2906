"""Align faces: from five landmarks to the 112x112 picture that ArcFace-family networks are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from arcage.types import F32, F64, U8, Index

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
        points: shape (..., n, 2), pixels.
        target: shape (n, 2), pixels.

    Returns:
        Shape (..., 2, 3), float64: the affine matrices from ``points`` to ``target``.
    """
    z = points[..., 0].astype(np.float64) + 1j * points[..., 1].astype(np.float64)
    w = target[:, 0] + 1j * target[:, 1]
    z0, w0 = z.mean(axis=-1), w.mean()
    deviation = z - z0[..., None]
    norm = np.maximum((deviation.real**2 + deviation.imag**2).sum(axis=-1), 1e-12)
    a = (deviation.conj() * (w - w0)).sum(axis=-1) / norm
    b = w0 - a * z0
    rows = np.stack([a.real, -a.imag, b.real, a.imag, a.real, b.imag], axis=-1)
    return np.asarray(rows.reshape(*rows.shape[:-1], 2, 3), np.float64)


def transform(points: F32 | F64, matrix: F64) -> F64:
    """Apply affine matrices, shape (..., 2, 3), to ``points``, shape (..., n, 2)."""
    return np.asarray(points @ matrix[..., :2].swapaxes(-1, -2) + matrix[..., None, :, 2], np.float64)


def inverse(matrix: F64) -> F64:
    """Return the inverses of affine matrices, shape (..., 2, 3); zeros for those that have none."""
    (a, b), (c, d) = np.moveaxis(matrix[..., :2], (-2, -1), (0, 1))
    determinant = a * d - b * c
    factor = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=determinant != 0)
    linear = np.stack([d, -b, -c, a], axis=-1).reshape(*matrix.shape[:-2], 2, 2) * factor[..., None, None]
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def align(images: Sequence[U8], pictures: Index, landmarks: F32 | F64) -> U8:
    """Return faces upright and at the size of the networks' input.

    Args:
        images: each (height, width, 3), uint8, RGB.
        pictures: shape (n,): the index of each face's image.
        landmarks: shape (n, 5, 2), pixels of the image.

    Returns:
        Shape (n, 112, 112, 3), uint8, RGB; black outside :data:`VISIBLE` and beyond the image's border.
    """
    crops = warp(images, pictures, similarity(landmarks), SIDE)
    left, top, right, bottom = VISIBLE
    crops[:, :top] = crops[:, bottom:] = 0
    crops[:, :, :left] = crops[:, :, right:] = 0
    return crops


def warp(
    images: Sequence[U8],
    pictures: Index,
    matrices: F64,
    side: int,
    border_mode: int = cv2.BORDER_CONSTANT,
) -> U8:
    """Return square regions of images.

    If an image has more than twice the resolution of its square, it is first reduced by averaging: sampling a
    large picture at few points would turn its detail into noise.

    Args:
        images: each (height, width, 3), uint8, RGB.
        pictures: shape (n,): the index of the image of each square.
        matrices: shape (n, 2, 3): the similarity transforms from pixels of the image to pixels of the square.
        side: of the squares, pixels.
        border_mode: OpenCV's ``borderType`` for what lies beyond the image's border; black by default.

    Returns:
        Shape (n, side, side, 3), uint8, RGB.
    """
    squares = np.empty((len(matrices), side, side, 3), np.uint8)
    if not len(matrices):
        return squares
    # Only the part of the image that the square can show is read.
    frame = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float64)
    corners = transform(np.broadcast_to(frame, (len(matrices), 4, 2)), inverse(matrices))
    sizes = np.array([images[i].shape[1::-1] for i in pictures])
    low = np.clip(np.floor(corners.min(axis=1)) - 2, 0, sizes - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=1)) + 2, low + 1, sizes).astype(int)
    linear = matrices[:, :, :2]
    shift = matrices[:, :, 2] + (linear @ low[:, :, None])[:, :, 0]
    scales = np.hypot(linear[:, 0, 0], linear[:, 0, 1])
    reduced = np.where(
        (2 * scales < 1)[:, None], np.maximum(1, np.rint((high - low) * 2 * scales[:, None])), high - low
    ).astype(int)
    # Pixel centres: x in the reduced picture is (x + 0.5) / ratio - 0.5 in the part.
    ratio = reduced / (high - low)
    shift = shift + (linear @ (0.5 / ratio - 0.5)[:, :, None])[:, :, 0]
    placed = np.concatenate([linear / ratio[:, None, :], shift[:, :, None]], axis=2)
    rows = zip(pictures, low.tolist(), high.tolist(), reduced.tolist(), scales.tolist(), strict=True)
    for square, matrix, (picture, (x0, y0), (x1, y1), size, scale) in zip(squares, placed, rows, strict=True):
        part = images[picture][y0:y1, x0:x1]
        if 2 * scale < 1:
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        cv2.warpAffine(part, matrix, (side, side), dst=square, flags=cv2.INTER_LINEAR, borderMode=border_mode)
    return squares
