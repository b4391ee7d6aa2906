"""Poor pictures made from good ones, for heads that are to bear them."""

from __future__ import annotations

import cv2
import numpy as np

from arcage.types import F32, F64, U8

RECIPE = 1
"""Raised whenever the same face would be degraded in another way."""


def degrade(canvas: U8, landmarks: F64, rng: np.random.Generator) -> tuple[U8, F64]:
    """One face as a worse camera, codec or detector would have given it.

    What happens, and how strongly, is drawn: low resolution (down to 8 pixels between the eyes), blur,
    exposure and contrast, a tint or grey, noise, JPEG blocks, something in front of the face; and landmarks
    that are a little off. About one face in twenty stays nearly as it was.

    Args:
        canvas: shape (side, side, 3), uint8, RGB, with one face.
        landmarks: shape (5, 2), pixels of ``canvas``.

    Returns:
        The picture, like ``canvas``, and the landmarks to align it by.
    """
    eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
    image = canvas.astype(np.float32)
    if rng.random() < 0.6:
        image = _coarser(image, min(1.0, np.exp(rng.uniform(np.log(8), np.log(60))) / eyes), rng)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), eyes * rng.uniform(0.006, 0.05)).astype(np.float32)
    if rng.random() < 0.6:
        image = _exposed(image, rng)
    if rng.random() < 0.15:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    elif rng.random() < 0.4:
        image = image * rng.uniform(0.75, 1.25, 3).astype(np.float32)
    if rng.random() < 0.3:
        image = image + rng.uniform(2, 14) * rng.standard_normal(image.shape, np.float32)
    if rng.random() < 0.3:
        image = _jpeg(image, int(rng.integers(15, 80)))
    if rng.random() < 0.2:
        image = _covered(image, landmarks, rng)
    return _to_uint8(image), _off(landmarks, eyes, rng)


def border(rng: np.random.Generator) -> int:
    """What goes on where the image ends, OpenCV's word for it.

    Tight crops, as in UTKFace, end at the forehead; a photo shows hair and background there. Mirrored
    outwards, a crop has something there too, and heads learn not to mind.
    """
    return int(
        rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE], p=[0.4, 0.4, 0.2])
    )


def _to_uint8(image: F32) -> U8:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _coarser(image: F32, factor: float, rng: np.random.Generator) -> F32:
    side = image.shape[0]
    small = max(8, round(side * factor))
    image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.5:
        image = _jpeg(image, int(rng.integers(30, 95)))
    how = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=how), np.float32)


def _exposed(image: F32, rng: np.random.Generator) -> F32:
    bent = 255 * cv2.pow(np.clip(image / 255, 0, 1), float(np.exp(rng.uniform(-0.7, 0.7))))
    contrast, middle = float(rng.uniform(0.5, 1.3)), float(bent.mean())
    return np.asarray(bent * contrast + (middle * (1 - contrast) + float(rng.uniform(-40, 40))), np.float32)


def _jpeg(image: F32, quality: int) -> F32:
    done, data = cv2.imencode(".jpg", _to_uint8(image)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert done
    assert decoded is not None
    return np.asarray(decoded[:, :, ::-1], np.float32)


def _covered(image: F32, landmarks: F64, rng: np.random.Generator) -> F32:
    """A rectangle of one colour somewhere on the face."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    size = (high - low) * rng.uniform(0.4, 1.2, 2)
    corner = rng.uniform(low - 0.5 * (high - low), high) - 0.25 * size
    x1, y1 = np.clip(corner, 0, image.shape[0]).astype(int)
    x2, y2 = np.clip(corner + size, 0, image.shape[0]).astype(int)
    image = image.copy()
    image[y1:y2, x1:x2] = rng.uniform(0, 255, 3) if rng.random() < 0.7 else 0
    return image


def _off(landmarks: F64, eyes: float, rng: np.random.Generator) -> F64:
    """Turned, scaled, shifted, and each by itself."""
    centre = landmarks.mean(axis=0)
    turn = np.exp(rng.normal(0, 0.03) + 1j * rng.normal(0, np.radians(3)))
    z = (landmarks - centre) @ [1, 1j] * turn
    moved = np.stack([z.real, z.imag], axis=1) + centre + rng.normal(0, 0.025 * eyes, 2)
    return np.asarray(moved + rng.normal(0, 0.012 * eyes, landmarks.shape), np.float64)
