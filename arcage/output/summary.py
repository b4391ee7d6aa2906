"""Count the results of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arcage.heads.familiarity import UNFAMILIAR
from arcage.text import counted

if TYPE_CHECKING:
    from arcage.errors import ArcageError
    from arcage.types import GivenFaces, Status


@dataclass(slots=True)
class Summary:
    """Counts of a run over images; ``str`` gives a sentence."""

    ok: int = 0
    """Images with a face."""
    no_face: int = 0
    unreadable: int = 0
    faces: int = 0
    """Faces in the output."""
    unfamiliar: int = 0
    """Faces that are unlike the training faces; see :data:`arcage.heads.familiarity.UNFAMILIAR`."""
    without_box: int = 0
    """Images for which the user gave no box, though for others."""
    unconfirmed: int = 0
    """Boxes of the user in which no face was confirmed."""
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
    error: ArcageError | None = None
    """Why images could not be read, if a whole server failed."""

    @property
    def images(self) -> int:
        """Number of images."""
        return self.ok + self.no_face + self.unreadable

    def add(self, path: str, status: Status, faces: int) -> None:
        """Count one image."""
        setattr(self, status, getattr(self, status) + 1)
        self.faces += faces
        self.last = path

    def add_given(self, given: GivenFaces | None, scores: Iterable[float | None]) -> None:
        """Count what is special about the faces of an image that the user gave.

        Args:
            given: the faces; None if they were detected.
            scores: of its faces.
        """
        if given is not None and not given.aligned:
            self.without_box += not len(given)
            self.unconfirmed += sum(score == 0 for score in scores)

    def __str__(self) -> str:
        rate = f" ({self.images / self.seconds:,.1f} a second)" if self.seconds else ""
        text = (
            f"{counted(self.images, 'image')} in {self.seconds:,.1f} s{rate}: {self.ok:,} with a face, "
            f"{self.no_face:,} without, {self.unreadable:,} unreadable; {counted(self.faces, 'face')}"
        )
        if self.from_cache:
            text += f"; {counted(self.from_cache, 'image was', 'images were')} in the cache"
        return text

    def messages(self, asked: str, *, quiet: bool = False) -> list[str]:
        """Return what to report at the end of a run. A single image needs no counts.

        Args:
            asked: what the user named, for the message that it holds no images.
            quiet: report only that there are no images.
        """
        if not self.images:
            return [f"no images found in {asked}"]
        if quiet:
            return []
        out = [str(self)] if self.images > 1 else []
        if self.multi_frame:
            have = "an image has" if self.multi_frame == 1 else f"{self.multi_frame:,} images have"
            out.append(f"{have} more than one picture (an animation or pages): the first was read")
        if self.without_box:
            have = "1 image has" if self.without_box == 1 else f"{self.without_box:,} images have"
            out.append(f"{have} no box in `boxes`")
        if self.unconfirmed:
            out.append(
                f"no face was confirmed in {counted(self.unconfirmed, 'box', 'boxes')}: det_score is 0, and "
                "a face was assumed there"
            )
        if self.unfamiliar:
            are = "1 face is" if self.unfamiliar == 1 else f"{self.unfamiliar:,} faces are"
            out.append(
                f"{are} unlike the faces that the heads were fitted on (familiarity below {UNFAMILIAR:.5f}): "
                "do not rely on what is predicted for them"
            )
        return out

    def exit_code(self, *, only: str | None = None, strict: bool = False, shard: bool = False) -> int:
        """Return 1 if the run counts as failed, otherwise 0.

        Args:
            only: the only path that the user named; None if there were several or a list. It fails if it is
                an image without a face, or an unreadable one; a folder with one image does not.
            strict: fail if any image has no face or is unreadable.
            shard: the run had a part of the images, which may be empty.
        """
        failed = self.no_face + self.unreadable > 0
        asked_for_one = self.images == 1 and only == self.last
        empty = not self.images and (strict or not shard)
        return int((failed and (strict or asked_for_one)) or empty)
