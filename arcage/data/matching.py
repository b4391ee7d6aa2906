"""Find the images of a cache that labels belong to."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from arcage.cache import Cache, CacheTable, Names, to_hex, to_keys
from arcage.data.exported_names import cache_names
from arcage.data.labels import FROM_NAMES, label_from_name
from arcage.data.notes import LabelEntry, Note
from arcage.data.tables import Place, read_table
from arcage.files import MAX_FILE_BYTES, spelled_on_disk
from arcage.readers.regular_file import check_regular

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Matches:
    """The labels of one source, matched with images."""

    entries: tuple[tuple[str, LabelEntry], ...]
    """Each label with the sha256 of its image."""
    notes: tuple[Note, ...] = ()
    """Labels that match no image, or several."""
    remarks: tuple[str, ...] = ()
    """How ambiguous values were read."""


def match_file_names(names: Names, source: str, kind: str) -> Matches:
    """Read labels from the file names of cached images.

    Args:
        names: the cache's file names.
        source: name of the label source.
        kind: one of :data:`arcage.data.labels.FROM_NAMES`.
    """
    return Matches(
        tuple(
            (sha256, LabelEntry(source, str(name), label))
            for name, sha256 in zip(names.names, names.sha256(), strict=True)
            if (label := label_from_name(kind, name)) is not None
        )
    )


def match_table(
    table: CacheTable, names: Names, source: str, path: Path, columns: Mapping[str, str]
) -> Matches:
    """Read labels from a table, and match its paths with the images of a cache.

    Args:
        table, names: the cache's images and file names.
        source: name of the label source.
        path, columns: as for :func:`arcage.data.tables.read_table`.

    Raises:
        UsageError: the table cannot be read.
    """
    images = _ImageIndex(table, names)
    read = read_table(path, columns)
    paths = {place.path for place in read.labels} if read.exported else ()
    called = cache_names(paths, names.names.tolist(), lambda name: len(images.by_name(name)) == 1)
    # Predictions have file paths relative to the folder where `arcage predict` ran.
    folders = [Path(), path.parent] if read.predictions else [path.parent]
    by_content = lru_cache(maxsize=1)(lambda name: images.by_content(folders, name))
    entries: list[tuple[str, LabelEntry]] = []
    notes: list[Note] = []
    for place, label in read.labels.items():
        if not label.known:
            continue
        entry = LabelEntry(source, place.path, label, place.face, place.box, read.exported)
        hashes = images.by_name(called.get(place.path, place.path))
        if len(hashes) != 1 and place.box is not None and not read.exported:
            hashes = images.by_face(place, hashes)
        if len(hashes) != 1:
            found = by_content(place.path)
            if hashes and found not in hashes:
                notes.append(Note("ambiguous", (entry,)))
                continue
            hashes = [found] if found else []
        if not hashes:
            notes.append(Note("missing", (entry,)))
        entries += [(sha256, entry) for sha256 in hashes]
    return Matches(tuple(entries), tuple(notes), read.remarks)


def explain_no_match(cache: Cache, names: Names, labels: str, ambiguous: int) -> str:
    """Say why no image of a cache has a label, and what to do.

    Args:
        cache, names: the cache and its file names.
        labels: as in :class:`arcage.data.label_source.LabelSource`.
        ambiguous: number of labels that match several images.
    """
    start = f"no image of the cache {cache.directory} has a label"
    if not len(names):
        reason = "the cache keeps no file names (`arcage predict` stores none)"
        if labels not in FROM_NAMES:
            reason += ", and no file at the labels' paths is one of its images"
        return (
            f"{start} in {labels}: {reason}; run `arcage extract` on the same images with this cache, which "
            "adds their names without computing anything again"
        )
    if labels == "folders":
        return (
            f"{start}: no image is in a folder called male, female, man or woman, see {names.names[0]!r}; "
            "extract the folder that contains these folders"
        )
    if labels in FROM_NAMES:
        return f"{start}: no file name has the form of {labels}, see {names.names[0]!r}; give a CSV file"
    if ambiguous:
        return (
            f"{start} in {labels} that matches a single image ({ambiguous:,} match several): extract the "
            "folder that contains all others, and give the labels' paths relative to it"
        )
    return (
        f"{start} in {labels}: extract the images first, and give the labels' paths relative to the folder "
        "that was extracted"
    )


class _ImageIndex:
    """The images of a cache, by their paths in a table."""

    def __init__(self, table: CacheTable, names: Names) -> None:
        self._table = table
        self._exact: dict[str, list[str]] = defaultdict(list)
        self._composed: dict[str, list[str]] = defaultdict(list)
        here = table.find(names.keys) >= 0
        for name, sha256 in zip(names.names[here], to_hex(names.keys[here]), strict=True):
            self._exact[name].append(sha256)
            if not name.isascii():
                self._composed[unicodedata.normalize("NFC", name)].append(sha256)

    def by_name(self, name: str) -> list[str]:
        """Return the images with a name, or else with the name in another Unicode normalisation (macOS
        decomposes accents), or else with this sha256, by which `arcage data next` calls an image without a
        name."""
        found = self._exact.get(name) or self._composed.get(unicodedata.normalize("NFC", name))
        if not found and _SHA256.fullmatch(name) and self._table.find(to_keys([name]))[0] >= 0:
            return [name]
        return list(dict.fromkeys(found or ()))

    def by_face(self, place: Place, hashes: list[str]) -> list[str]:
        """Return those of ``hashes`` that have the face, or else images whose name matches without its first
        folders. A box to a tenth of a pixel is more specific than a name."""
        # The part before # is a Parquet file, whose rows have their own names.
        parts = place.path.replace("#", "/#", 1).split("/")
        shorter = ["/".join(parts[n:]).replace("/#", "#").removeprefix("#") for n in range(1, len(parts))]
        for candidates in (hashes, *map(self.by_name, shorter)):
            matches = [sha256 for sha256 in candidates if self._has_box(sha256, place.box)]
            if matches:
                return matches
        return hashes

    def _has_box(self, sha256: str, box: tuple[float, ...] | None) -> bool:
        first = int(self._table.find(to_keys([sha256]))[0])
        boxes = self._table.boxes[first : first + int(self._table.faces[first])]
        return bool((np.abs(boxes - np.array(box)) <= 0.1).all(axis=1).any())

    def by_content(self, folders: Sequence[Path], name: str) -> str:
        """Return the hash of the file of that name in the first folder whose file the cache has, or else in
        any folder; empty if there is none. This finds images that were extracted without names or from
        another folder."""
        hashes = [hash_ for folder in folders if (hash_ := _hash_of(spelled_on_disk(folder, name)))]
        known = [sha256 for sha256 in hashes if self._table.find(to_keys([sha256]))[0] >= 0]
        return (known or hashes or [""])[0]


def _hash_of(path: Path) -> str:
    """Return the sha256 of a file; empty if it cannot be read. A table can name any file."""
    try:
        if check_regular(path).st_size > MAX_FILE_BYTES:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""
