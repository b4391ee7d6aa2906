"""Sections of the manifest of heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcage.data.labelled import LabelledFaces
from arcage.heads.model import Heads
from arcage.types import Array

if TYPE_CHECKING:
    from arcage.embedder.packs.record import Pack

SEPARATOR = " + "


def join_label_names(labels: Sequence[str]) -> str:
    """Join label names without directories, so that no path leaks into the model card."""
    return SEPARATOR.join(Path(name).name for name in labels)


def pack_section(pack: Pack) -> dict[str, Any]:
    """Return the manifest's description of the model pack."""
    return {
        "pack": pack.name,
        "models": [m.name for m in pack.models],
        "research_only": pack.research_only,
    }


def training_section(
    train: LabelledFaces, held_out: LabelledFaces, labels: str, holdout: float, has_split: bool
) -> dict[str, Any]:
    """Return the manifest's description of the training faces."""
    known = train.age[np.isfinite(train.age)]
    return {
        "labels": labels,
        "faces": len(train),
        "variants": 0,
        "ages": [float(known.min()), float(known.max())] if len(known) else None,
        "held_out": len(held_out),
        "held_out_share": holdout,
        "split": has_split,
        "sources": _sizes(train.source),
        "images": asdict(train.counts),
    }


def _sizes(source: Array) -> dict[str, int]:
    """Return the number of faces of each source; empty for a single source."""
    names, counts = np.unique(source, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True)) if len(names) > 1 else {}


def section(heads: Heads, name: str) -> dict[str, Any]:
    """Return a section of a manifest, which may be incomplete; empty if it is missing."""
    value = heads.manifest.get(name)
    return value if isinstance(value, dict) else {}
