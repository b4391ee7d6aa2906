"""Find the images in files, folders and URLs."""

from __future__ import annotations

import heapq
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import unquote

from arcage.errors import ImageError, RemoteError, UsageError
from arcage.files import reason
from arcage.sources.folders import Entry, LocalFolders
from arcage.sources.source import Source
from arcage.sources.suffixes import PARQUET_SUFFIX, is_one_image, is_video, suffix
from arcage.sources.url import file_url_path, is_http, is_url, join_url, url_name

MAX_PAGES = 10_000
"""Maximum number of folders that are read below one HTTP URL."""


def is_whole_disk(path: str) -> bool:
    """Return whether a path or ``file://`` URL is the root folder of a disk."""
    real = os.path.realpath(file_url_path(path))
    return os.path.dirname(real) == real


def walk(paths: Iterable[str | Path]) -> Iterator[Source]:
    """Yield the images in ``paths``, in the order of the parts of their paths.

    A file is included regardless of its suffix. A folder is searched recursively for files with
    :data:`~arcage.sources.suffixes.IMAGE_SUFFIXES` in any case, without hidden files and folders and
    :data:`~arcage.sources.folders.SKIPPED_FOLDERS`. Links are followed; no folder is searched twice within
    an argument (:class:`~arcage.sources.folders.LocalFolders`). Duplicates over several arguments are kept.
    A path that does not exist or cannot be listed is a source with an ``error``.

    A URL is a file or a folder too. With the suffix of an image, it is a file, which is not requested here.
    An HTTP URL that ends in ``/`` is an index page of links, and is read as a folder. If a server cannot be
    reached, ``read`` of the source raises the RemoteError.

    Every row of a ``.parquet`` file is an image (:func:`arcage.sources.parquet.images`), in the order of the
    file. A folder is not searched for Parquet files.

    Only the arguments and the names in the open folders are held in memory.

    Raises:
        UsageError: the column of images in a Parquet file is ambiguous.
    """
    arguments = sorted((os.fspath(path) for path in paths), key=_sort_key)
    start = 0
    while start < len(arguments):
        inside = _sort_key(arguments[start]) + "\0"
        end = start + 1
        while end < len(arguments) and _sort_key(arguments[end]).startswith(inside):
            end += 1
        sources = _expand(arguments[start])
        if end > start + 1:
            nested = walk(arguments[start + 1 : end])
            sources = heapq.merge(sources, nested, key=lambda source: _sort_key(source.path))
        yield from sources
        start = end


def _sort_key(path: str) -> str:
    """Return a key that sorts like the parts of a path: NUL is less than all characters of a name."""
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
        # A broken link is a source without an error, as it is inside a folder: reading it raises the error.
        yield Source(argument, name, "" if os.path.islink(argument) else reason(error))
    except (OSError, ValueError) as error:
        yield Source(argument, name, reason(error))
    else:
        if is_folder:
            yield from _search(argument, name, LocalFolders(argument), os.path.join)
        else:
            yield from _expand_file(argument, name)


def _expand_url(url: str) -> Iterator[Source]:
    from arcage.sources.remote import is_folder, list_folder

    numbers = itertools.count(1)

    def list_wanted(folder: str) -> list[Entry]:
        # A server may invent folders without an end.
        if is_http(url) and next(numbers) > MAX_PAGES:
            raise ImageError(f"more than {MAX_PAGES:,} folders: name the folders below it, a few at a time")
        return [entry for entry in list_folder(folder) if entry.is_wanted]

    name = url_name(url)
    if is_video(url):
        yield Source(url, name, "videos are read from local files only: download it first")
        return
    try:
        if is_one_image(url) or suffix(url) == PARQUET_SUFFIX or not is_folder(url):
            yield from _expand_file(url, name)
        else:
            for source in _search(url, name, list_wanted, join_url):
                yield replace(source, name=unquote(source.name)) if is_http(url) else source
    except FileNotFoundError as error:
        yield Source(url, name, reason(error))
    except (ImageError, UsageError) as error:
        yield Source(url, name, str(error))
    except RemoteError as error:
        yield Source(url, name, opener=partial(_raise, error))


def _raise(error: RemoteError) -> NoReturn:
    raise error


def _expand_file(path: str, name: str) -> Iterator[Source]:
    if suffix(path) == PARQUET_SUFFIX:
        from arcage.sources.parquet import images

        yield from images(path, name)
    else:
        yield Source(path, name, video=is_video(path))


class _Found(NamedTuple):
    path: str
    name: str
    """Relative to the root of the search."""
    is_folder: bool


def _search(
    root: str,
    root_name: str,
    list_folder: Callable[[str], list[Entry]],
    join: Callable[[str, str], str],
) -> Iterator[Source]:
    """Yield the files below a folder in sorted order.

    Args:
        root: path or URL of the folder.
        root_name: its name, for an error.
        list_folder: returns the wanted entries of a folder.
        join: joins the path of a folder and the name of an entry.
    """
    # A stack, because nested generators would reach Python's recursion limit before the system's path limit.
    levels: list[Iterator[_Found]] = [iter([_Found(root, "", True)])]
    while levels:
        found = next(levels[-1], None)
        if found is None:
            levels.pop()
            continue
        if not found.is_folder:
            yield Source(found.path, found.name)
            continue
        try:
            entries = sorted(list_folder(found.path))
        except OSError as error:
            yield Source(found.path, found.name or root_name, f"cannot list folder: {reason(error)}")
        else:
            levels.append(_children(found, entries, join))


def _children(folder: _Found, entries: list[Entry], join: Callable[[str, str], str]) -> Iterator[_Found]:
    for entry in entries:
        name = f"{folder.name}/{entry.name}" if folder.name else entry.name
        yield _Found(join(folder.path, entry.name), name, entry.is_folder)
