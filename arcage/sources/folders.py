"""List local folders: which entries are searched, and links to folders."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from arcage.sources.suffixes import IMAGE_SUFFIXES

SKIPPED_FOLDERS = frozenset(
    name.casefold()
    for name in (
        *("@eaDir", "@tmp", "@SynoResource", "@SynoEAStream", "#recycle", "#snapshot"),  # Synology
        *("@Recycle", "@Recently-Snapshot", "@Transcode"),  # QNAP
        *("$RECYCLE.BIN", "RECYCLER", "System Volume Information"),  # Windows
        *("~snapshot", "lost+found", "__MACOSX"),  # NetApp, ext4, zip files made on macOS
    )
)
"""Folders of thumbnails, deleted files and copies, in lower case, which are not searched.

Many other such folders are hidden: their names begin with a dot.
"""


class Entry(NamedTuple):
    """A file or folder in a folder."""

    name: str
    is_folder: bool

    @property
    def is_wanted(self) -> bool:
        """Whether a search includes the entry: a folder to search, or a file with the suffix of an image."""
        if self.name.startswith("."):
            return False
        if self.is_folder:
            return self.name.casefold() not in SKIPPED_FOLDERS
        return os.path.splitext(self.name)[1].lower() in IMAGE_SUFFIXES


class LocalFolders:
    """List the wanted entries of the folders of one search, so that no folder is listed twice.

    A link to a folder is followed unless the search reaches that folder anyway, or the folder holds the link
    or the root of the search. Memory grows with the number of links to folders, not with the tree.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._searched = {self._root}
        """Real paths of the root and of the targets of links."""

    def __call__(self, folder: str) -> list[Entry]:
        """Return the wanted entries of a folder, in any order. Raises OSError if it cannot be listed."""
        found: list[Entry] = []
        links: list[Entry] = []
        with os.scandir(folder) as entries:
            for scanned in entries:
                if scanned.name.startswith("."):
                    continue
                is_link = _is_link(scanned)
                is_folder = _leads_to_folder(scanned) if is_link else scanned.is_dir(follow_symlinks=False)
                entry = Entry(scanned.name, is_folder)
                if entry.is_wanted:
                    (links if is_link and is_folder else found).append(entry)
        # Without a link so far, no folder can be reached twice.
        if links or len(self._searched) > 1:
            real = os.path.realpath(folder)
            links = [link for link in sorted(links) if self._enter(real, link.name)]
            found = [
                entry
                for entry in found
                if not entry.is_folder or os.path.join(real, entry.name) not in self._searched
            ]
        return found + links

    def _enter(self, folder: str, link: str) -> bool:
        target = os.path.realpath(os.path.join(folder, link))
        if not os.path.lexists(target):
            return True
        if self._is_searched(target) or any(_holds(target, inside) for inside in (folder, self._root)):
            return False
        self._searched.add(target)
        return True

    def _is_searched(self, target: str) -> bool:
        """Return whether the search reaches a folder from the root, or from the target of an earlier link."""
        while target not in self._searched:
            above, name = os.path.split(target)
            if above == target or not Entry(name, True).is_wanted:
                return False
            target = above
        return True


def _holds(folder: str, inside: str) -> bool:
    return (inside + os.sep).startswith(folder.rstrip(os.sep) + os.sep)


def _is_link(entry: os.DirEntry[str]) -> bool:
    # Python 3.12 and later detect Windows junctions.
    return entry.is_symlink() or bool(getattr(entry, "is_junction", bool)())


def _leads_to_folder(link: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISDIR(os.stat(link.path).st_mode)
    except OSError as error:
        # A link without a target may lead to a folder on a missing disk. A circular link leads nowhere.
        return isinstance(error, FileNotFoundError) and "." not in link.name
