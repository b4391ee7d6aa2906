"""Try a converted encoder on a face and on pictures without one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from arcage.embedder.align import SIDE
from arcage.embedder.engines.base import Network
from arcage.errors import ModelError
from arcage.images.decoder import decode
from arcage.types import F32, U8

PORTRAIT = Path(__file__).with_name("portrait.png")
"""An aligned face: NASA's portrait of Eileen Collins, in the public domain."""
MAX_ALIKE = 0.7
"""Cosine similarity of a face and pictures without one, above which a network is said to see no faces.

Of MobileFaceNet, SFace and DINOv2-S it is 0.05, 0.00 and 0.51 with the right pixels. With pixels of 0 to 255
instead of -1 to 1 it is 0.96 for MobileFaceNet, the other way round 0.76 for SFace. Smaller errors, such as
ImageNet's mean and deviation, give 0.20 and 0.57, and cannot be told from a right choice.
"""
_TOLERANCE = 0.02
"""Largest difference between batches, relative to the largest value: some processors compute in bfloat16."""


def pictures() -> U8:
    """Return a face and four pictures without one, shape (5, 112, 112, 3), uint8, RGB."""
    face = decode(PORTRAIT.read_bytes())
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    clouds = cv2.GaussianBlur(rng.uniform(-6000, 6000, (SIDE, SIDE, 3)), (0, 0), 12).clip(-127, 127) + 127
    ramp = np.broadcast_to(np.linspace(0, 255, SIDE)[:, None, None], (SIDE, SIDE, 3))
    board = (np.add.outer(np.arange(SIDE) // 14, np.arange(SIDE) // 14) % 2 * 255)[:, :, None]
    others = (noise, clouds, ramp, np.broadcast_to(board, (SIDE, SIDE, 3)))
    return np.stack([face, *(other.astype(np.uint8) for other in others)])


def try_encoder(network: Network, dimension: int, embedding: int) -> float:
    """Run a converted encoder, and return how alike a face and other pictures look to it.

    Args:
        network: from aligned faces to ``descriptors``, for any batch size.
        dimension: columns of its descriptors.
        embedding: how many of the last columns to compare.

    Returns:
        Mean cosine similarity, -1 to 1; a good encoder is far below :data:`MAX_ALIKE`.

    Raises:
        ModelError: its results are not finite, the same for all pictures, too large for float16, or depend on
            the other pictures of a batch.
    """
    given = pictures()
    together = _run(network, given, dimension)
    alone = np.concatenate([_run(network, one[None], dimension) for one in given])
    size = float(np.abs(alone).max())
    if size > float(np.finfo(np.float16).max):
        raise ModelError(
            f"the network's activations reach {size:,.0f}, more than arcage can store: check `scale`, which "
            "says how it expects its pixels"
        )
    if np.abs(together - alone).max() > _TOLERANCE * size:
        raise ModelError(
            "the network mixes the images of a batch, so it gives wrong results for more than one: export it "
            "again with a dynamic batch size"
        )
    if np.ptp(alone, axis=0).max() <= 1e-6 * size:
        raise ModelError("the network gives the same result for every picture: it is damaged, get it again")
    last = alone[:, -embedding:]
    last = last / np.maximum(np.linalg.norm(last, axis=1, keepdims=True), 1e-12)
    return float((last[1:] @ last[0]).mean())


def _run(network: Network, faces: U8, dimension: int) -> F32:
    descriptors = network(faces)["descriptors"]
    if descriptors.shape != (len(faces), dimension) or not np.isfinite(descriptors).all():
        raise ModelError("the network returns NaN or infinity: check `scale`, or get it again")
    return np.asarray(descriptors, np.float32)
