"""One image of the input, or the reason why it cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arcage.errors import ImageError
from arcage.files import read_bytes
from arcage.sources.url import is_url

if TYPE_CHECKING:
    from arcage.types import (
        U8,
        GivenFaces,
    )  # NumPy takes a while to import, and listing images does not need it


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Source:
    """One image or video of the input, or a folder or file that cannot be listed."""

    path: str
    """The path or URL to open and to show: the argument as the user wrote it, joined with the path below it.
    For an image in a Parquet file, ``file.parquet#row``."""
    name: str
    """Relative to the folder given by the user, with forward slashes. For a file, its base name; for a row of
    a Parquet file, its name in that file."""
    error: str = ""
    """Why there is nothing to read, such as ``cannot list folder: Permission denied``; empty for an image."""
    data: bytes | None = field(default=None, repr=False)
    """The encoded image, if it is already in memory; ``path`` is then only shown."""
    opener: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)
    """Reads the encoded image if it is not a file or URL of its own, or is being read in the background."""
    pixels: U8 | None = field(default=None, repr=False, compare=False)
    """The picture, if it is already decoded: shape (height, width, 3), uint8, RGB, upright. ``path`` is then
    only shown."""
    video: bool = False
    """Whether this is a video, which :mod:`arcage.video` reads."""
    unit: str = ""
    """Sources of the same unit stay together when a run is split. A row group of a Parquet file, which is
    read as a whole, is one unit. Empty for an image that is read on its own."""
    faces: GivenFaces | None = field(default=None, repr=False, compare=False)
    """The faces that the user gave; None to detect them."""

    @property
    def size(self) -> int:
        """Memory that the image takes before it is read, bytes."""
        return self.pixels.nbytes if self.pixels is not None else len(self.data or b"")

    def content(self) -> bytes | U8:
        """Return the pixels of a decoded picture, otherwise the encoded image. Raises like :meth:`read`."""
        return self.read() if self.pixels is None else self.pixels

    def read(self) -> bytes:
        """Return the encoded image.

        Raises:
            ImageError: the image cannot be read, or is already decoded.
            RemoteError: the server cannot be reached or refuses the credentials.
        """
        if self.error:
            raise ImageError(self.error)
        if self.data is not None:
            return self.data
        if self.pixels is not None:
            raise ImageError("a decoded picture, which has no encoded image")
        if self.video and self.faces is not None:
            raise ImageError("a video, not an image: the faces that are given are those of images")
        if self.video:
            raise ImageError("a video, not an image: `arcage predict` reads it")
        if self.opener is not None:
            return self.opener()
        if is_url(self.path):
            from arcage.sources.remote import read

            return read(self.path)
        return read_bytes(self.path)
