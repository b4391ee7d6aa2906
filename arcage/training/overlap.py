"""Find out whether heads were fitted on the faces that they are evaluated on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arcage.data.labelled import LabelledFaces
from arcage.heads.layers import gaussian
from arcage.heads.model import BATCH, Heads
from arcage.heads.store import are_among, fitted_images
from arcage.training.manifest import SEPARATOR, section

SAME = 0.1
"""Maximum distance between a center and the same face. Half precision moves a face by at most 0.003,
re-encoding (JPEG of quality 50, or three quarters of the size) by at most 0.08. The nearest of 1,194 faces of
other data sets is at 0.22."""
FEW_COPIES = 0.1
"""Share of the faces up to which re-encoded copies are not reported: data sets contain some on both sides of
a fair split."""
CERTAIN = 7
"""Minimum expected number of centers among the faces if all were fitted on; the probability of finding none
is then 0.1 %."""


def fitted_words(
    heads: Heads, faces: LabelledFaces, labels: str, holdout: float, has_split: bool = False
) -> str:
    """Describe on how many of the faces heads were fitted; empty for none.

    Training images are recognised by their digests, which heads of older versions do not have. The number of
    re-encoded copies is estimated from the centers of the kernel stage among the other faces. If too few
    centers are expected and there are no digests, the names of the labels decide, as in :func:`fitted_on`.

    Returns:
        For example ``were fitted on 120 of these 400 faces``.
    """
    images = fitted_images(heads)
    same = np.zeros(len(faces), bool) if images is None else are_among(faces.keys(), images)
    others, known = faces.select(~same), int(same.sum())
    centers = _centers_among(heads, others)
    copies = min(len(others), round(centers.found / centers.share)) if centers.found else 0
    if copies and (images is None or copies >= FEW_COPIES * len(others)):
        about = f"were fitted on about {known + copies:,} of these {len(faces):,} faces"
        return about if images is None else f"{about}, some as re-encoded copies"
    if known:
        return f"were fitted on {known:,} of these {len(faces):,} faces"
    expected = centers.share * len(faces)
    if images is None and expected < CERTAIN and fitted_on(heads, labels, holdout, has_split):
        return "were fitted on labels of this name, which may be these images"
    return ""


def fitted_on(heads: Heads, labels: str, holdout: float, has_split: bool = False) -> bool:
    """Return whether the label names allow that heads were fitted on the faces of an evaluation.

    This is the case if the heads, or those they were adapted from, were fitted on labels of the same name
    without holding out the same share or split.

    Args:
        labels: names, joined by :func:`~arcage.training.manifest.join_label_names`.
        holdout: the share of the evaluation.
        has_split: whether the labels hold out faces.
    """
    trainings = [heads.manifest.get("training"), section(heads, "adapted").get("training")]
    return any(_trained_on(training, labels, holdout, has_split) for training in trainings)


def _trained_on(training: object, labels: str, holdout: float, has_split: bool) -> bool:
    if not isinstance(training, dict):
        return False
    fitted = training.get("labels")
    if not isinstance(fitted, str) or not set(fitted.split(SEPARATOR)) & set(labels.split(SEPARATOR)):
        return False
    if has_split != bool(training.get("split")):
        return True
    share = training.get("held_out_share")
    return not (isinstance(share, int | float) and (holdout > 0 or has_split) and holdout <= share)


class _Centers(NamedTuple):
    found: int
    """Number of centers among the faces."""
    share: float
    """Share of the training faces that are centers."""


def _centers_among(heads: Heads, faces: LabelledFaces) -> _Centers:
    model = heads.age or heads.gender
    training = section(heads, "adapted").get("training") or section(heads, "training")
    size = training.get("faces") if isinstance(training, dict) else None
    if model is None or not model.stack.kernels or not isinstance(size, int) or size < 1:
        return _Centers(0, 0.0)
    kernel = model.stack.kernels[0]
    variants = training.get("variants")
    rows = size * (1 + (variants if isinstance(variants, int) else 0))
    x = faces.descriptors()
    found = 0
    for start in range(0, len(x), BATCH):
        near = gaussian(kernel.project(x[start : start + BATCH]), kernel.centers)
        found += int((near.max(axis=1) > np.exp(-(SAME**2))).sum())
    return _Centers(found, min(1.0, len(kernel.centers) / rows))
