"""Where labels come from: file names, folders or tables, each with the cache of its images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arcage.cache import Cache
from arcage.data import imdb_wiki
from arcage.data.labels import FROM_NAMES
from arcage.errors import UsageError


@dataclass(frozen=True, slots=True)
class LabelSource:
    """A set of labels, and the cache of its images."""

    cache: Cache
    labels: str
    """``utkface``, ``agedb``, ``folders``, ``imdb-wiki``, or the path of a table or a .mat file."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column names of a table; see :func:`arcage.data.tables.read_table`."""


def pair_sources(
    caches: Sequence[Cache], labels: Sequence[str], columns: Sequence[Mapping[str, str]] = ()
) -> list[LabelSource]:
    """Pair each set of labels with a cache and with column names.

    Args:
        caches: one for all sets of labels, or one for each.
        labels: as for :class:`LabelSource`.
        columns: none, one for all sets of labels, or one for each.

    Raises:
        UsageError: the lengths do not match.
    """
    for what, count in (("cache", len(caches)), ("columns", len(columns) or 1)):
        if count not in (1, len(labels)):
            raise UsageError(
                f"{len(labels)} `labels` and {count} `{what}`: give one `{what}` for all, or one for each, "
                "in the same order"
            )
    return [
        LabelSource(caches[i % len(caches)], one, columns[i % len(columns)] if columns else {})
        for i, one in enumerate(labels)
    ]


def name_sources(sources: Sequence[LabelSource]) -> list[dict[str, str]]:
    """Return the parts of each source by unique names: what ``labels`` of a part would be.

    ``imdb-wiki`` has a part for each file that is found; all others are their own only part.

    Raises:
        UsageError: the labels are unknown.
    """
    every = [_parts(source.labels) for source in sources]
    plain = [[part if part in FROM_NAMES else Path(part).name for part in parts] for parts in every]
    occurrences = Counter(name for names in plain for name in names)
    out: list[dict[str, str]] = []
    taken: set[str] = set()
    for source, parts, names in zip(sources, every, plain, strict=True):
        named: dict[str, str] = {}
        for name, part in zip(names, parts, strict=True):
            unique = name if occurrences[name] == 1 else f"{name} ({source.cache.directory.name})"
            number = 2
            while unique in taken:
                unique, number = f"{name} ({source.cache.directory.name}, {number})", number + 1
            taken.add(unique)
            named[unique] = part
        out.append(named)
    return out


def _parts(labels: str) -> list[str]:
    if labels in FROM_NAMES:
        return [labels]
    if labels == "imdb-wiki":
        return [str(path) for path in imdb_wiki.find(Path())]
    path = Path(labels)
    if os.path.isdir(path):
        raise UsageError(
            f"{labels} is a folder: give a file of labels, or `folders` for genders by the names of "
            "sub-folders (male, female)"
        )
    if not path.suffix and not os.path.isfile(path):
        known = ", ".join((*FROM_NAMES, "imdb-wiki"))
        raise UsageError(
            f"unknown labels {labels!r}: {known}, or a .csv, .xlsx, .parquet, .json or .mat file"
        )
    return [labels]
