"""A cache and labels -> one labelled face per image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from arcage.cache import Cache, CacheTable, to_keys
from arcage.data.labels import FROM_NAMES, Label, label_from_name, merge, read_table
from arcage.errors import ImageError, UsageError
from arcage.files import read_bytes, sha256_bytes
from arcage.types import F32, Array


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the images. Every figure is reported with these beside it."""

    labelled: int
    """Different images with a label, before anything is dropped."""
    used: int
    no_face: int
    unreadable: int
    contradictory: int
    """Copies of one image with different labels."""
    copies: int
    """Further exact copies of an image; one of them is used."""
    unlabelled: int
    """Images of the cache without a label."""
    missing: int
    """Labels without an image in the cache."""

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in asdict(self).items())


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFaces:
    """Faces with labels, sorted by the images' sha256."""

    table: CacheTable
    rows: Array
    """Shape (n,), int64: into the table."""
    age: F32
    """Shape (n,), years; NaN where unknown."""
    gender: F32
    """Shape (n,), 0 male, 1 female; NaN where unknown."""
    person: Array
    group: Array
    """Shape (n,), str; empty where unknown."""
    counts: Counts

    def __len__(self) -> int:
        return len(self.rows)

    def descriptors(self) -> F32:
        """Shape (n, dimension), float32."""
        x: F32 = self.table.descriptors(self.rows, dtype=np.float32)
        return x

    def sha256(self) -> list[str]:
        """The images' hashes."""
        return self.table.sha256(self.rows)

    def select(self, mask: Array) -> LabelledFaces:
        """Some of the faces; the counts stay those of all."""
        return LabelledFaces(
            self.table,
            self.rows[mask],
            self.age[mask],
            self.gender[mask],
            self.person[mask],
            self.group[mask],
            self.counts,
        )

    def held_out(self, share: float) -> Array:
        """Which faces belong to the held-out part: by content, so that copies never lie on both sides and
        every run chooses the same. Shape (n,), bool."""
        first = np.array([int(text[:8], 16) for text in self.sha256()], np.float64)
        return np.asarray(first / 2**32 < share)


def labelled_faces(cache: Cache, labels: str) -> LabelledFaces:
    """Find the labels of a cache's images.

    Of an image with several faces the one is taken that is largest and nearest to the centre: labels speak
    of the person whom the picture shows.

    Args:
        labels: ``utkface``, ``agedb``, or the path of a CSV file.

    Raises:
        UsageError: the labels cannot be read, or fit no image.
        CacheError: the cache cannot be read.
    """
    found: dict[str, list[Label]] = defaultdict(list)
    missing = 0
    names = cache.names()
    pairs = list(zip(names.names, names.sha256(), strict=True))
    if labels in FROM_NAMES:
        for name, sha256 in pairs:
            if (label := label_from_name(labels, name)) is not None:
                found[sha256].append(label)
    elif labels == "imdb-wiki":
        raise UsageError("imdb-wiki is not read yet; write its labels to a CSV file: path,age,gender")
    else:
        path = Path(labels)
        if not path.suffix:
            raise UsageError(f"unknown labels {labels!r}: {', '.join(FROM_NAMES)}, or a CSV file")
        by_name: dict[str, list[str]] = defaultdict(list)
        for name, sha256 in pairs:
            by_name[name].append(sha256)
        for name, label in read_table(path).items():
            hashes = by_name.get(name) or _hash_of(path.parent / name)
            missing += not hashes
            for sha256 in hashes:
                found[sha256].append(label)

    table = cache.table()
    hashes = sorted(found)
    start = table.find(to_keys(hashes)) if hashes else np.empty(0, np.int64)
    if not (start >= 0).any():
        raise UsageError(
            f"no image of the cache {cache.directory} has a label in {labels}: extract the images first, "
            "and give the labels' paths relative to the folder that was extracted"
        )
    return _choose(table, found, hashes, start, missing)


def _choose(
    table: CacheTable, found: dict[str, list[Label]], hashes: list[str], start: Array, missing: int
) -> LabelledFaces:
    rows, chosen = [], []
    dropped = {"no_face": 0, "unreadable": 0, "contradictory": 0}
    copies = 0
    for sha256, first in zip(hashes, start, strict=True):
        if first < 0:
            missing += 1
            continue
        copies += len(found[sha256]) - 1
        label = merge(found[sha256])
        if label is None:
            dropped["contradictory"] += 1
        elif table.face[first] < 0:
            dropped[str(table.status[first])] += 1
        else:
            rows.append(_main_face(table, int(first)))
            chosen.append(label)
    images = int((table.face <= 0).sum())
    present = int((start >= 0).sum())
    counts = Counts(
        labelled=present,
        used=len(rows),
        copies=copies,
        unlabelled=images - present,
        missing=missing,
        **dropped,
    )
    return LabelledFaces(
        table,
        np.array(rows, np.int64),
        np.array([label.age for label in chosen], np.float32),
        np.array([label.gender for label in chosen], np.float32),
        np.array([label.person for label in chosen], dtype=np.str_),
        np.array([label.group for label in chosen], dtype=np.str_),
        counts,
    )


def _main_face(table: CacheTable, first: int) -> int:
    count = int(table.faces[first])
    if count == 1:
        return first
    box = table.boxes[first : first + count]
    size = np.sqrt(np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1))
    middle = np.array([table.width[first], table.height[first]]) / 2
    distance = np.hypot(*((box[:, :2] + box[:, 2:]) / 2 - middle).T)
    return first + int(np.argmax(size - distance))


def _hash_of(path: Path) -> list[str]:
    """For images that were extracted without their names, or from another folder."""
    try:
        return [sha256_bytes(read_bytes(path))]
    except ImageError:
        return []
