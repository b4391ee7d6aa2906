"""What was left out when labels were joined with a cache, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from arcage.data.labels import Label


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of images, reported with every metric."""

    labelled: int
    """Distinct images with a label, or faces if the labels distinguish the faces of an image, before any are
    left out."""
    used: int
    no_face: int
    unreadable: int
    contradictory: int
    """Copies of one image with different labels."""
    copies: int
    """Further labelled paths of an image, which is counted once."""
    unlabelled: int
    """Images in the cache without a label."""
    missing: int
    """Labels whose image or face is not in the cache."""
    ambiguous: int
    """Labels for a path that several images have, because several folders were extracted."""

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in asdict(self).items())


@dataclass(frozen=True, slots=True)
class LabelEntry:
    """A label and its origin."""

    source: str
    """Name of the label source."""
    path: str
    """File name, or path in a table."""
    label: Label
    face: int | None = None
    """See :class:`arcage.data.tables.Place`."""
    box: tuple[float, ...] | None = None
    """See :class:`arcage.data.tables.Place`."""
    drawn: bool = False
    """Whether somebody drew the box, instead of the detector of arcage."""

    def __str__(self) -> str:
        face = "" if self.face is None else f", face {self.face}"
        line = f", line {self.label.line}" if self.label.line else ""
        return f"{self.path}{face} ({self.source}{line})"


Kind = Literal["missing", "no_such_face", "ambiguous", "contradictory", "no_face", "unreadable", "copies"]

LEFT_OUT_OF_TABLES: tuple[Kind, ...] = ("missing", "no_such_face", "ambiguous", "contradictory")
"""Kinds that point to an error in a table."""


@dataclass(frozen=True, slots=True)
class Note:
    """Labels that are left out and why; for ``copies``, the paths of one image, which is used once."""

    kind: Kind
    entries: tuple[LabelEntry, ...]
    sha256: str = ""
    """Hash of the image; empty if there is none."""

    def __str__(self) -> str:
        paths = ", ".join(map(str, self.entries))
        return {
            "missing": f"{paths} is not in the cache",
            "no_such_face": f"{paths} is not among the faces of this image in the cache",
            "ambiguous": f"{paths} matches several images",
            "contradictory": f"{paths} are the same image with different labels",
            "no_face": f"{paths} has no face",
            "unreadable": f"{paths} cannot be read",
            "copies": f"{paths} are the same image",
        }[self.kind]
