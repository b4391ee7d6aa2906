"""Find the images of a cache that an annotation tool calls by other paths."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath

MOST_FOLDERS = 16
"""Maximum number of folders in front of a path that are left out."""
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Label Studio puts eight digits in front of the name of an uploaded file."""
_NOT_IN_UPLOADED = re.compile(r"[^-\w.]")
"""And leaves out such characters, after it has replaced spaces."""


def cache_names(
    paths: Collection[str], names: Iterable[str], is_image: Callable[[str], bool]
) -> dict[str, str]:
    """Return the names in a cache of the images that an export calls by these paths.

    Tools put folders or a server in front of a path: ``upload/1/a/b.jpg`` for ``a/b.jpg``. The same number of
    folders is left out of all paths: the one that finds most images. Single paths could find others.

    Args:
        paths: in the export.
        names: all names in the cache.
        is_image: whether a name is that of one image in the cache.
    """
    best: dict[str, str] = {}
    depth = max((path.count("/") for path in paths), default=0)
    for folders in range(min(depth, MOST_FOLDERS) + 1):
        shorter = {path: "/".join(path.split("/")[folders:]) for path in paths}
        found = {path: name for path, name in shorter.items() if name and is_image(name)}
        best = max(best, found, key=len)
    uploaded = {path: match[1] for path in paths if (match := _UPLOADED.fullmatch(PurePosixPath(path).name))}
    if len(best) < len(uploaded):
        stored = defaultdict(set)
        for name in names:
            stored[_NOT_IN_UPLOADED.sub("", PurePosixPath(name).name.strip().replace(" ", "_"))].add(name)
        found = {path: min(stored[name]) for path, name in uploaded.items() if len(stored.get(name, ())) == 1}
        best = max(best, found, key=len)
    return best
