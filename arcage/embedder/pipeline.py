"""The pipeline: everything that determines a descriptor, and the fingerprint by which it is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from arcage._version import PIPELINE_SCHEMA
from arcage.embedder import align, degrade, views
from arcage.embedder.packs.record import Pack
from arcage.types import FacesFrom

THRESHOLD = 0.5
"""Minimum detector score of a face."""
OWN_FACES: Mapping[FacesFrom, str] = {"boxes": "own boxes", "aligned": "aligned crops"}
"""How faces that the detector has not found are named in a pipeline."""


def pipeline_of(pack: Pack, variant: int = 0, faces_from: FacesFrom = "detector") -> dict[str, Any]:
    """Return everything that determines a descriptor. Device, batch size and path do not affect it.

    Args:
        pack: the networks.
        variant: number of the degraded variant; 0 for none.
        faces_from: faces that the user gave have another pipeline, so that a cache never mixes their
            descriptors with those of detected faces.
    """
    # The fingerprint is computed from these keys and values.
    return {
        "schema": PIPELINE_SCHEMA,
        "decode": "RGB, 8 bits, EXIF orientation applied",
        "detector": {
            "sha256": pack.detector.sha256,
            "threshold": THRESHOLD,
            "views": [asdict(v) for v in (views.TIGHT, views.PHOTO, views.LARGE)],
        },
        "alignment": {
            "side": align.SIDE,
            "landmarks": "5, second look",
            "visible": align.VISIBLE,
            "mirror": True,
        },
        "embedders": [m.sha256 for m in pack.embedders],
        **({"degraded": {"recipe": degrade.RECIPE, "number": variant}} if variant else {}),
        **({"faces": OWN_FACES[faces_from]} if faces_from in OWN_FACES else {}),
    }


def fingerprint_of(pipeline: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify a pipeline."""
    text = json.dumps(pipeline, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
