"""Folders of empty files, and the names of the images that are found in them."""

from __future__ import annotations

from pathlib import Path

from arcage.sources.walk import walk


def touch(root: Path, *names: str) -> None:
    """Create empty files, with their folders."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(*paths: str | Path) -> list[str]:
    """Return the names of the images in ``paths``."""
    return [source.name for source in walk(paths)]
