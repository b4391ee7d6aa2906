"""Degrade faces, to fit heads that also work on poor images."""

from __future__ import annotations

import cv2
import numpy as np

from arcage.embedder.align import SIDE, TEMPLATE, align, similarity, transform, warp
from arcage.types import F32, F64, U8

RECIPE = 1
"""Increased whenever the same face would be degraded in another way. Part of the pipeline's fingerprint."""


def degraded_crop(image: U8, landmarks: F32, rng: np.random.Generator) -> U8:
    """Return one face of an image, degraded and aligned.

    Args:
        image: shape (height, width, 3), uint8, RGB.
        landmarks: shape (5, 2), pixels of ``image``.
        rng: draws what is done to the face.

    Returns:
        Shape (112, 112, 3), uint8, RGB, as :func:`arcage.embedder.align.align`.
    """
    # At twice the resolution of the networks' input.
    matrix = similarity(landmarks, 2 * TEMPLATE)
    first = np.zeros(1, np.intp)
    (canvas,) = warp([image], first, matrix[None], 2 * SIDE, border_mode(rng))
    degraded, points = degrade(canvas, transform(landmarks, matrix), rng)
    crop: U8 = align([degraded], first, points[None])[0]
    return crop


def degrade(canvas: U8, landmarks: F64, rng: np.random.Generator) -> tuple[U8, F64]:
    """Return one face as a worse camera, codec or detector would give it.

    The changes and their strengths are drawn at random: low resolution (down to 8 pixels between the eyes),
    blur, exposure and contrast, a colour cast or grey, noise, JPEG artefacts, an occlusion, and shifted
    landmarks. About one face in twenty stays nearly unchanged.

    Args:
        canvas: shape (side, side, 3), uint8, RGB, with one face.
        landmarks: shape (5, 2), pixels of ``canvas``.
        rng: draws the changes.

    Returns:
        The picture, like ``canvas``, and the landmarks by which to align it.
    """
    # The order of the draws is part of the recipe.
    eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
    image = canvas.astype(np.float32)
    if rng.random() < 0.6:
        image = _reduce_resolution(image, min(1.0, np.exp(rng.uniform(np.log(8), np.log(60))) / eyes), rng)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), eyes * rng.uniform(0.006, 0.05)).astype(np.float32)
    if rng.random() < 0.6:
        image = _change_exposure(image, rng)
    if rng.random() < 0.15:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    elif rng.random() < 0.4:
        image = image * rng.uniform(0.75, 1.25, 3).astype(np.float32)
    if rng.random() < 0.3:
        image = image + rng.uniform(2, 14) * rng.standard_normal(image.shape, np.float32)
    if rng.random() < 0.3:
        image = _jpeg(image, int(rng.integers(15, 80)))
    if rng.random() < 0.2:
        image = _occlude(image, landmarks, rng)
    return _to_uint8(image), _disturb(landmarks, eyes, rng)


def border_mode(rng: np.random.Generator) -> int:
    """Draw what lies beyond the image's border: OpenCV's ``borderType``.

    Tight crops, as in UTKFace, end at the forehead, where a photo shows hair and background. With a mirrored
    border a crop shows something there too, and heads learn to ignore it.
    """
    return int(
        rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE], p=[0.4, 0.4, 0.2])
    )


def _to_uint8(image: F32) -> U8:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _reduce_resolution(image: F32, factor: float, rng: np.random.Generator) -> F32:
    side = image.shape[0]
    small = max(8, round(side * factor))
    image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.5:
        image = _jpeg(image, int(rng.integers(30, 95)))
    interpolation = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=interpolation), np.float32)


def _change_exposure(image: F32, rng: np.random.Generator) -> F32:
    """Apply a gamma curve, then contrast about the mean and a brightness offset."""
    curved = 255 * cv2.pow(np.clip(image / 255, 0, 1), float(np.exp(rng.uniform(-0.7, 0.7))))
    contrast, mean = float(rng.uniform(0.5, 1.3)), float(curved.mean())
    return np.asarray(curved * contrast + (mean * (1 - contrast) + float(rng.uniform(-40, 40))), np.float32)


def _jpeg(image: F32, quality: int) -> F32:
    """Encode and decode the picture as JPEG."""
    done, data = cv2.imencode(".jpg", _to_uint8(image)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert done
    assert decoded is not None
    return np.asarray(decoded[:, :, ::-1], np.float32)


def _occlude(image: F32, landmarks: F64, rng: np.random.Generator) -> F32:
    """Draw a rectangle of one colour over part of the face."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    size = (high - low) * rng.uniform(0.4, 1.2, 2)
    corner = rng.uniform(low - 0.5 * (high - low), high) - 0.25 * size
    x1, y1 = np.clip(corner, 0, image.shape[0]).astype(int)
    x2, y2 = np.clip(corner + size, 0, image.shape[0]).astype(int)
    image = image.copy()
    image[y1:y2, x1:x2] = rng.uniform(0, 255, 3) if rng.random() < 0.7 else 0
    return image


def _disturb(landmarks: F64, eyes: float, rng: np.random.Generator) -> F64:
    """Rotate, scale and shift all landmarks together, then shift each on its own."""
    centre = landmarks.mean(axis=0)
    rotation = np.exp(rng.normal(0, 0.03) + 1j * rng.normal(0, np.radians(3)))
    z = (landmarks - centre) @ [1, 1j] * rotation
    moved = np.stack([z.real, z.imag], axis=1) + centre + rng.normal(0, 0.025 * eyes, 2)
    return np.asarray(moved + rng.normal(0, 0.012 * eyes, landmarks.shape), np.float64)
