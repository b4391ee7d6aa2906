"""Which images were asked for: files, folders and lists of paths become a stream of sources."""

from __future__ import annotations

import heapq
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ImageError, UsageError
from .files import read_bytes, reason

_DECODED = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
_REFUSED = {".heic", ".heif", ".avif"}
IMAGE_SUFFIXES = frozenset(_DECODED | _REFUSED)
"""What a folder is searched for, in lower case. Some cannot be decoded: they are here so that a folder of
phone photos says so image by image, and does not look empty."""


@dataclass(frozen=True, slots=True)
class Source:
    """One image that was asked for, or a place where images could not be looked for."""

    path: str
    """To open and to show it: the argument as the user wrote it, joined with the way down from there."""
    name: str
    """Relative to the folder that was asked for, with forward slashes; for a file, its base name."""
    error: str = ""
    """Why there is nothing to read, such as ``cannot list folder: Permission denied``; empty for an image."""
    data: bytes | None = field(default=None, repr=False)
    """The encoded image itself, where it came by another way than a file; the path is then only shown."""

    def read(self) -> bytes:
        """The encoded image. Raises :class:`ImageError` where it cannot be had."""
        if self.error:
            raise ImageError(self.error)
        return read_bytes(self.path) if self.data is None else self.data


def walk(paths: Iterable[str | Path]) -> Iterator[Source]:
    """Yield the images of ``paths``, ordered by the parts of their paths, over all arguments together.

    A file is taken whatever its suffix; a folder is searched recursively for :data:`IMAGE_SUFFIXES` in any
    case. Inside a folder, hidden files and folders and links to folders are passed over (so that no loop of
    links can be entered), links to files are followed. What is given twice comes twice. What is missing or
    cannot be listed is yielded with its ``error``; nothing is raised.

    Only the arguments and the names in the open folders are held in memory: a tree may have any size.
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
            yield from _search(argument, name)
        else:
            yield Source(argument, name)


_Entry = tuple[str, str, bool]
"""Path, name relative to the folder that was asked for, whether it is a folder."""


def _search(root: str, root_name: str) -> Iterator[Source]:
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
            levels.append(_children(path, name, *_list_folder(path)))
        except OSError as error:
            yield Source(path, name or root_name, f"cannot list folder: {reason(error)}")


def _list_folder(folder: str) -> tuple[list[str], set[str]]:
    """The names of the images and folders in a folder, sorted, and those of them that are folders."""
    names: list[str] = []
    folders: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            elif os.path.splitext(entry.name)[1].lower() not in IMAGE_SUFFIXES:
                continue
            names.append(entry.name)
    names.sort()
    return names, folders


def _children(folder: str, folder_name: str, names: list[str], folders: set[str]) -> Iterator[_Entry]:
    for name in names:
        relative = f"{folder_name}/{name}" if folder_name else name
        yield os.path.join(folder, name), relative, name in folders
