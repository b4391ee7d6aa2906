"""Write label tables, and check labelled faces."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from arcage.data.labelled import LabelledFaces

TIME = "20170116174525125.jpg"


def counted(faces: LabelledFaces) -> dict[str, int]:
    """Return the counts that are not zero."""
    counts = asdict(faces.counts)
    lost = sum(counts[name] for name in ("no_face", "unreadable", "contradictory"))
    assert counts["labelled"] == counts["used"] + lost
    assert counts["used"] == len(faces) == len(faces.rows) == len(faces.age) == len(faces.gender)
    return {name: count for name, count in counts.items() if count}


def by_content(faces: LabelledFaces, *contents: str) -> list[int]:
    """Return the rows of the images with these bytes."""
    hashes = faces.sha256()
    assert hashes == sorted(hashes)
    return [hashes.index(hashlib.sha256(content.encode()).hexdigest()) for content in contents]


def table(folder: Path, text: str) -> str:
    """Write ``labels.csv``."""
    path = folder / "labels.csv"
    path.write_text(text, "utf-8")
    return str(path)
