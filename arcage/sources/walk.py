"""Which images were asked for: files, folders, URLs and lists of them become a stream of sources."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from arcage.errors import ImageError, RemoteError, UsageError
from arcage.files import reason
from arcage.sources.source import Source
from arcage.sources.suffixes import IMAGE_SUFFIXES, PARQUET_SUFFIX, is_one_image, is_video, suffix
from arcage.sources.url import file_url_path, is_http, is_url, join_url, url_name

SKIPPED_FOLDERS = frozenset(
    name.casefold()
    for name in (
        *("@eaDir", "@tmp", "@SynoResource", "@SynoEAStream", "#recycle", "#snapshot"),  # Synology
        *("@Recycle", "@Recently-Snapshot", "@Transcode"),  # QNAP
        *("$RECYCLE.BIN", "RECYCLER", "System Volume Information"),  # Windows
        *("~snapshot", "lost+found", "__MACOSX"),  # NetApp, ext4, zip files of a Mac
    )
)
"""Folders of thumbnails, deleted files and copies, in lower case, which are not searched for photos. Many
others begin with a dot."""


def is_whole_disk(path: str) -> bool:
    """Whether a path leads to the root of a disk."""
    real = os.path.realpath(file_url_path(path))
    return os.path.dirname(real) == real


def walk(paths: Iterable[str | Path]) -> Iterator[Source]:
    """Yield the images of ``paths``, ordered by the parts of their paths, over all arguments together.

    A file is taken whatever its suffix; a folder is searched recursively for :data:`IMAGE_SUFFIXES` in any
    case. Inside a folder, hidden files and folders and :data:`SKIPPED_FOLDERS` are left out. Links are
    followed; a link to a folder is entered unless that folder is searched anyway, or holds the link itself
    or the folder in which the search began. Duplicates are kept. What is missing or cannot be
    listed is yielded with its ``error``.

    A URL is a folder or a file as well; with an image suffix it is a file, without a request. An HTTP URL
    that ends in ``/`` is a folder, an index page of links. A URL that cannot be reached is yielded as well:
    its ``read`` raises the RemoteError. Every row of a ``.parquet`` file is an image
    (:func:`arcage.sources.parquet.images`), in the order of the file; such files are only read when they are
    named themselves, not when they lie in a folder.

    Only the arguments and the names in the open folders are held in memory: a tree may have any size.

    Raises:
        UsageError: the columns of a Parquet file do not tell where its images are.
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
            yield from _search(argument, name, _Folders(argument), os.path.join)
        else:
            yield from _file(argument, name)


def _expand_url(url: str) -> Iterator[Source]:
    from arcage.sources.remote import is_folder, list_folder

    name = url_name(url)
    if is_video(url):
        yield Source(url, name, "videos are read from local files only: download it first")
        return
    try:
        if is_one_image(url) or suffix(url) == PARQUET_SUFFIX or not is_folder(url):
            yield from _file(url, name)
        else:
            for source in _search(url, name, _wanted_of(list_folder), join_url):
                yield replace(source, name=unquote(source.name)) if is_http(url) else source
    except FileNotFoundError as error:
        yield Source(url, name, reason(error))
    except (ImageError, UsageError) as error:
        yield Source(url, name, str(error))
    except RemoteError as error:
        yield Source(url, name, opener=partial(_raise, error))


def _raise(error: RemoteError) -> NoReturn:
    raise error


def _file(path: str, name: str) -> Iterator[Source]:
    if suffix(path) == PARQUET_SUFFIX:
        from arcage.sources.parquet import images

        yield from images(path, name)
    else:
        yield Source(path, name, video=is_video(path))


_List = Callable[[str], list[tuple[str, bool]]]
"""Lists a folder: names, and whether they are folders."""
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
            found = sorted(list_(path))
        except OSError as error:
            yield Source(path, name or root_name, f"cannot list folder: {reason(error)}")
        else:
            levels.append(_children(path, name, found, join))


def _is_wanted(name: str, is_folder: bool) -> bool:
    if name.startswith("."):
        return False
    return name.casefold() not in SKIPPED_FOLDERS if is_folder else _has_image_suffix(name)


def _has_image_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _wanted_of(list_: _List) -> _List:
    return lambda folder: [entry for entry in list_(folder) if _is_wanted(*entry)]


class _Folders:
    """Lists the folders of one search, and follows links to folders without yielding anything twice.

    Memory grows with the number of links to folders, not with the tree.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._searched = {self._root}
        """Real paths of the root and of the targets of links."""

    def __call__(self, folder: str) -> list[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        links: list[tuple[str, bool]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                is_link = _is_link(entry)
                is_folder = _leads_to_folder(entry) if is_link else entry.is_dir(follow_symlinks=False)
                if _is_wanted(entry.name, is_folder):
                    (links if is_link and is_folder else found).append((entry.name, is_folder))
        # Without a link so far, no folder can be reached twice.
        if links or len(self._searched) > 1:
            place = os.path.realpath(folder)
            links = [link for link in sorted(links) if self._enter(place, link[0])]
            found = [
                entry
                for entry in found
                if not entry[1] or os.path.join(place, entry[0]) not in self._searched
            ]
        return found + links

    def _enter(self, place: str, link: str) -> bool:
        target = os.path.realpath(os.path.join(place, link))
        if not os.path.lexists(target):
            return True
        if self._is_searched(target) or any(_holds(target, inside) for inside in (place, self._root)):
            return False
        self._searched.add(target)
        return True

    def _is_searched(self, target: str) -> bool:
        """Whether the search reaches a folder from the root, or from the target of an earlier link."""
        while target not in self._searched:
            above, name = os.path.split(target)
            if above == target or not _is_wanted(name, True):
                return False
            target = above
        return True


def _holds(folder: str, inside: str) -> bool:
    return (inside + os.sep).startswith(folder.rstrip(os.sep) + os.sep)


def _is_link(entry: os.DirEntry[str]) -> bool:
    # Windows junctions, which Python 3.12 and later detect.
    return entry.is_symlink() or bool(getattr(entry, "is_junction", bool)())


def _leads_to_folder(link: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISDIR(os.stat(link.path).st_mode)
    except OSError as error:
        # The target may be a folder on a missing disk; a circular link leads nowhere.
        return isinstance(error, FileNotFoundError) and "." not in link.name


def _children(
    folder: str, folder_name: str, entries: list[tuple[str, bool]], join: Callable[[str, str], str]
) -> Iterator[_Entry]:
    for name, is_folder in entries:
        yield join(folder, name), f"{folder_name}/{name}" if folder_name else name, is_folder
