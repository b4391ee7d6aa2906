"""Count the results of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from arcage.text import counted

if TYPE_CHECKING:
    from arcage.types import Status


@dataclass(slots=True)
class Summary:
    """Counts of a run over images; ``str`` gives a sentence."""

    ok: int = 0
    """Images with a face."""
    no_face: int = 0
    unreadable: int = 0
    faces: int = 0
    """Faces in the output."""
    from_cache: int = 0
    """Images whose descriptors were in the cache."""
    multi_frame: int = 0
    """Animations and files of several pages, of which the first frame or page was read."""
    drawn: int = 0
    """Annotated pictures and videos that were written."""
    seconds: float = 0.0
    """Duration."""
    last: str = ""
    """The path of the last image."""

    @property
    def images(self) -> int:
        """Number of images."""
        return self.ok + self.no_face + self.unreadable

    def add(self, path: str, status: Status, faces: int) -> None:
        """Count one image."""
        setattr(self, status, getattr(self, status) + 1)
        self.faces += faces
        self.last = path

    def __str__(self) -> str:
        rate = f" ({self.images / self.seconds:,.1f} a second)" if self.seconds else ""
        text = (
            f"{counted(self.images, 'image')} in {self.seconds:,.1f} s{rate}: {self.ok:,} with a face, "
            f"{self.no_face:,} without, {self.unreadable:,} unreadable; {counted(self.faces, 'face')}"
        )
        if self.from_cache:
            text += f"; {counted(self.from_cache, 'image was', 'images were')} in the cache"
        return text
