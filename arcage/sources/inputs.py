"""The images that a user names: paths, URLs, a list, standard input, and a part of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from arcage.errors import UsageError
from arcage.files import check_exist
from arcage.sources.lists import read_list
from arcage.sources.shards import Shard, parse_shard
from arcage.sources.source import Source
from arcage.sources.suffixes import is_one_image, is_video
from arcage.sources.url import is_url
from arcage.sources.walk import is_whole_disk, walk

if TYPE_CHECKING:
    from arcage.sources.own_faces import OwnFaces
    from arcage.types import FacesFrom

STDIN = "-"
"""The argument for one image on standard input."""
_SHOWN = 3
_ENTRIES = 20
"""Number of entries of a folder that are examined for a cache: a folder of photos may have millions."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The images that a user named. Iterating walks through them, each time from the start."""

    arguments: tuple[str, ...]
    """Paths and URLs, including those of a list; ``-`` for one image on standard input."""
    listed: bool = False
    """Whether some of them are from a list."""
    shard: Shard | None = None
    """Only this part of the images is read."""
    data: bytes | None = field(default=None, repr=False)
    """The image on standard input."""
    own: OwnFaces | None = field(default=None, repr=False, compare=False)
    """The faces that the user gave; None to detect all."""

    def __iter__(self) -> Iterator[Source]:
        sources = iter([Source(STDIN, STDIN, data=self.data)]) if self.data is not None else self._walk()
        own = self.own
        if own is None:
            return sources
        return (replace(source, faces=own.faces_of(source)) for source in sources)

    def _walk(self) -> Iterator[Source]:
        sources = walk(self.arguments)
        if self.shard is None:
            return sources
        shard = self.shard
        return (source for source in sources if source in shard)

    def __str__(self) -> str:
        shown = ", ".join(self.arguments[:_SHOWN]) + (", ..." if len(self.arguments) > _SHOWN else "")
        return shown or "an empty list"

    @property
    def faces_from(self) -> FacesFrom:
        """Where the faces are from."""
        return "detector" if self.own is None else self.own.faces_from

    def remark(self) -> str:
        """Return what is to be said about the given faces after all images; empty if nothing is."""
        return self.own.remark() if self.own is not None and self.shard is None else ""

    @property
    def is_one_image(self) -> bool:
        """Whether a single image or video is named, as far as its name says."""
        return len(self.arguments) == 1 and is_one_image(self.arguments[0])

    @property
    def only(self) -> str | None:
        """The only argument; None if there are several, or a list."""
        return self.arguments[0] if len(self.arguments) == 1 and not self.listed else None


def named_inputs(
    paths: Sequence[str] | None, from_file: str | None = None, shard: str | None = None
) -> Inputs:
    """Check what a user named, before any work is done.

    Args:
        paths: files, folders and URLs, or only ``-`` for one image on standard input, which is read here.
        from_file: a list of more paths, see :func:`arcage.sources.lists.read_list`.
        shard: such as ``1/4``, see :func:`arcage.sources.shards.parse_shard`.

    Raises:
        UsageError: a path does not exist or holds no images, the list cannot be read, or nothing is named.
        RemoteError: the package for a URL is not installed.
    """
    arguments = list(paths or [])
    check_exist({"": [path for path in arguments if path != STDIN and not is_url(path)]})
    for path in arguments:
        _check_folder(path)
    listed: list[str] = []
    if from_file is not None:
        # - is standard input as an argument, and a file of this name in a list.
        listed = [os.path.join(".", path) if path == STDIN else path for path in read_list(from_file)]
    elif not arguments:
        raise UsageError("no images given: name files or folders, - for standard input, or `from_file` LIST")
    if STDIN in arguments and len(arguments + listed) > 1:
        raise UsageError(
            "- (one image on standard input) cannot be combined with paths: run arcage separately for them"
        )
    _check_schemes(arguments, listed)
    part = parse_shard(shard) if shard is not None else None
    if arguments != [STDIN]:
        return Inputs((*arguments, *listed), from_file is not None, part)
    if part is not None:
        raise UsageError("- is one image, which cannot be split: leave out `shard`")
    if sys.stdin.isatty():
        raise UsageError("no image on standard input: arcage predict - < photo.jpg")
    return Inputs((STDIN,), data=sys.stdin.buffer.read())


def _check_folder(path: str) -> None:
    """Raise UsageError for a folder that is not meant to be searched for images."""
    if is_whole_disk(path):
        raise UsageError(f"{path} is the whole disk: name the folders that have the photos")
    holds_heads = os.path.isfile(os.path.join(path, "heads.npz"))
    # There may be photos in the same folder.
    if (holds_heads or _is_cache(path)) and next(walk([path]), None) is None:
        if holds_heads:
            raise UsageError(f"{path} holds heads, not images: give it with `heads`")
        raise UsageError(f"{path} is a cache of descriptors, not of images: give it with `cache`")


def _is_cache(path: str) -> bool:
    """Return whether a folder is a descriptor cache, by its first entries."""
    if not os.path.isdir(path):
        return False
    with suppress(OSError), os.scandir(path) as entries:
        places = [path, *(entry.path for entry in islice(entries, _ENTRIES))]
        return any(os.path.isfile(os.path.join(place, "pipeline.json")) for place in places)
    return False


def _check_schemes(arguments: Sequence[str], listed: Sequence[str]) -> None:
    """Check the URLs. In a list, a URL with an unknown scheme is not refused; it becomes a row."""
    named = [url for url in arguments if is_url(url) and not is_video(url)]
    by_scheme = {url.split("://", 1)[0]: url for url in listed if is_url(url) and not is_video(url)}
    if not named and not by_scheme:
        return
    # Imported here because most inputs have no URL.
    from arcage.sources.filesystems import check_scheme

    for url in named:
        check_scheme(url)
    for url in by_scheme.values():
        with suppress(UsageError):
            check_scheme(url)
