"""Which images were asked for: files, folders, URLs and lists of them become a stream of sources."""

from __future__ import annotations

import heapq
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ImageError, UsageError
from .files import read_bytes, reason
from .unread import SUFFIXES as _NOT_READ

_PLAIN = {".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".png", ".apng", ".webp", ".gif"}
_RESEARCH = {".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
_BOXES = {".heic", ".heif", ".hif", ".avif"}
_RAW = {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".pef", ".srw", ".raf", ".rw2", ".orf"}
CLIP_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv"}
    | {".3gp", ".ogv"}
)
"""Files that are read as films where they are named; folders are not searched for them."""
IMAGE_SUFFIXES = frozenset(_PLAIN | _RESEARCH | _BOXES | _RAW | _NOT_READ)
"""What a folder is searched for, in lower case. Some need an extra to be decoded, and some formats of photos
are not read at all: a folder of them says so image by image, and does not look empty."""


@dataclass(frozen=True, slots=True)
class Source:
    """One image that was asked for, or a place where images could not be looked for."""

    path: str
    """To open and to show it: the argument as the user wrote it, joined with the way down from there. An
    image inside a Parquet file is ``file.parquet#row``."""
    name: str
    """Relative to the folder that was asked for, with forward slashes; for a file, its base name; for a row
    of a Parquet file, the name that the file gives it."""
    error: str = ""
    """Why there is nothing to read, such as ``cannot list folder: Permission denied``; empty for an image."""
    data: bytes | None = field(default=None, repr=False)
    """The encoded image itself, where it came by another way than a file; the path is then only shown."""
    opener: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)
    """Reads the encoded image, where ``path`` is not enough for that."""
    clip: bool = False
    """A film: many pictures, read by :mod:`arcage.video`."""
    unit: str = ""
    """What is read in one go with others, and stays together when a run is split: the row group of a Parquet
    file. Empty for an image that is read by itself."""

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            ImageError: it cannot be had.
            RemoteError: nothing can be had from there: no network, no credentials.
        """
        if self.error:
            raise ImageError(self.error)
        if self.data is not None:
            return self.data
        if self.clip:
            raise ImageError("a film, not an image: `arcage predict` reads it")
        if self.opener is not None:
            return self.opener()
        if is_url(self.path):
            from .remote import read

            return read(self.path)
        return read_bytes(self.path)


def is_url(path: str) -> bool:
    """Whether this is an address as in ``s3://bucket/photo.jpg``; one letter would be a drive of Windows."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def is_one_image(path: str) -> bool:
    """Whether an argument stands for one image, as far as can be told without asking a network."""
    suffix = os.path.splitext(path)[1].lower()
    if is_url(path):
        return suffix in IMAGE_SUFFIXES | CLIP_SUFFIXES
    return suffix != ".parquet" and not os.path.isdir(path)


def walk(paths: Iterable[str | Path]) -> Iterator[Source]:
    """Yield the images of ``paths``, ordered by the parts of their paths, over all arguments together.

    A file is taken whatever its suffix; a folder is searched recursively for :data:`IMAGE_SUFFIXES` in any
    case. Inside a folder, hidden files and folders and links to folders are passed over (so that no loop of
    links can be entered), links to files are followed. What is given twice comes twice. What is missing or
    cannot be listed is yielded with its ``error``.

    A URL is a folder or a file as well; where it ends as an image does, that is believed without asking. Of a
    file that ends in ``.parquet``, every row is an image (:func:`arcage.parquet.images`), in the order of the
    file; such files are only taken when they are given themselves, not in folders.

    Only the arguments and the names in the open folders are held in memory: a tree may have any size.

    Raises:
        UsageError: the columns of a Parquet file do not tell where its images are, or there is no such kind
            of URL.
        RemoteError: nothing can be had from a URL's place: no network, no credentials, no package for it.
    """
    arguments = sorted((os.fspath(path) for path in paths), key=_parts)
    start = 0
    while start < len(arguments):
        inside = _parts(arguments[start]) + "\0"
        end = start + 1
        while end < len(arguments) and _parts(arguments[end]).startswith(inside):
            end += 1
        sources = _expand(arguments[start])
        if end > start + 1:
            nested = walk(arguments[start + 1 : end])
            sources = heapq.merge(sources, nested, key=lambda source: _parts(source.path))
        yield from sources
        start = end


def read_list(path: str | Path) -> list[str]:
    """The paths in a list file, or in standard input for ``-``: UTF-8, one a line, blank lines skipped.

    Where the text holds a NUL (``find -print0``), NULs separate the paths instead of line ends. Bytes that
    are not UTF-8 survive as surrogate escapes. The order and duplicates are kept.

    Raises :class:`UsageError` where the list cannot be read.
    """
    try:
        text = sys.stdin.buffer.read() if os.fspath(path) == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the list of images {os.fspath(path)}: {reason(error)}") from None
    if b"\0" in text:
        entries = text.split(b"\0")
    else:
        lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        entries = [line.removesuffix(b"\r") for line in lines if line.strip()]
    return [entry.decode("utf-8", "surrogateescape") for entry in entries if entry]


def _parts(path: str) -> str:
    """A key that sorts as the path's parts do: NUL comes before every character that a name may hold."""
    if os.altsep:
        path = path.replace(os.altsep, os.sep)
    return path.rstrip(os.sep).replace(os.sep, "\0")


def _expand(argument: str) -> Iterator[Source]:
    if is_url(argument):
        yield from _expand_url(argument)
        return
    name = os.path.basename(os.path.normpath(argument))
    try:
        is_folder = stat.S_ISDIR(os.stat(argument).st_mode)
    except FileNotFoundError as error:
        # A link without a target is there, as it would be inside a folder: reading it will say what is wrong.
        yield Source(argument, name, "" if os.path.islink(argument) else reason(error))
    except (OSError, ValueError) as error:
        yield Source(argument, name, reason(error))
    else:
        if is_folder:
            yield from _search(argument, name, _list_folder, os.path.join)
        else:
            yield from _file(argument, name)


def _expand_url(url: str) -> Iterator[Source]:
    from .remote import is_folder, list_folder

    name = url.rstrip("/").rsplit("/", 1)[-1]
    if _is_clip(url):
        yield Source(url, name, "films are read from this machine's files only: download it first")
        return
    try:
        if is_one_image(url) or url.lower().endswith(".parquet") or not is_folder(url):
            yield from _file(url, name)
        else:
            yield from _search(url, name, list_folder, lambda folder, entry: f"{folder.rstrip('/')}/{entry}")
    except FileNotFoundError as error:
        yield Source(url, name, reason(error))


def _file(path: str, name: str) -> Iterator[Source]:
    if path.lower().endswith(".parquet"):
        from .parquet import images

        yield from images(path, name)
    else:
        yield Source(path, name, clip=_is_clip(path))


def _is_clip(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in CLIP_SUFFIXES


_List = Callable[[str], list[tuple[str, bool]]]
"""What is in a folder: names, and whether they are folders."""
_Entry = tuple[str, str, bool]
"""Path, name relative to the folder that was asked for, whether it is a folder."""


def _search(root: str, root_name: str, list_: _List, join: Callable[[str, str], str]) -> Iterator[Source]:
    # A stack, because nested generators would meet Python's recursion limit before the system's path limit.
    levels: list[Iterator[_Entry]] = [iter([(root, "", True)])]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            continue
        path, name, is_folder = entry
        if not is_folder:
            yield Source(path, name)
            continue
        try:
            found = sorted(filter(_is_wanted, list_(path)))
        except OSError as error:
            yield Source(path, name or root_name, f"cannot list folder: {reason(error)}")
        else:
            levels.append(_children(path, name, found, join))


def _is_wanted(entry: tuple[str, bool]) -> bool:
    name, is_folder = entry
    return not name.startswith(".") and (is_folder or os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES)


def _list_folder(folder: str) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _children(
    folder: str, folder_name: str, entries: list[tuple[str, bool]], join: Callable[[str, str], str]
) -> Iterator[_Entry]:
    for name, is_folder in entries:
        yield join(folder, name), f"{folder_name}/{name}" if folder_name else name, is_folder
