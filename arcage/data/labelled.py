"""A cache and labels -> one labelled face per image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from arcage.cache import Cache, CacheTable, Names, to_hex, to_keys
from arcage.data.labels import FROM_NAMES, Label, label_from_name, merge, read_table
from arcage.errors import ImageError, UsageError
from arcage.files import read_bytes, sha256_bytes
from arcage.types import F32, F64, Array


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
    """Further labelled paths of the same image, which is counted once."""
    unlabelled: int
    """Images of the cache without a label."""
    missing: int
    """Labels without an image in the cache."""
    ambiguous: int
    """Labels for a path under which different images were extracted, from several folders."""

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

    def descriptors_in(self, table: CacheTable) -> tuple[F32, Array]:
        """The same faces' descriptors by another pipeline.

        Args:
            table: of a cache of the same images, faces and dimension.

        Returns:
            Shape (n, dimension), float32, and which faces ``table`` has, shape (n,), bool; the rows of the
            others are those of :meth:`descriptors`.
        """
        keys, face = self.table.keys[self.rows], self.table.face[self.rows]
        first = table.find(keys)
        there = first + face
        has = (first >= 0) & (there < len(table.face))
        has[has] = table.face[there[has]] == face[has]
        x = np.empty((len(self), table.dimension), np.float32)
        table.copy_descriptors(there[has], x, np.flatnonzero(has))
        self.table.copy_descriptors(self.rows[~has], x, np.flatnonzero(~has))
        return x, has

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
        """Which faces belong to the held-out part: by person where known, otherwise by content, so that
        neither persons nor copies lie on both sides and every run chooses the same. Shape (n,), bool."""
        first = _draw(self.sha256())
        names, index = np.unique(self.person, return_inverse=True)
        if (names != "").any():
            drawn = _draw([sha256_bytes(name.encode()) for name in names.tolist()])
            first = np.where(self.person != "", drawn[index], first)
        return np.asarray(first < share)

    def persons(self) -> Array | None:
        """A number for each person, shape (n,), int64: faces of one person must not be split. A face whose
        person is unknown has a number of its own. None where no person is known."""
        names, index = np.unique(self.person, return_inverse=True)
        if not (names != "").any():
            return None
        alone = np.arange(len(names), len(names) + len(self))
        return np.asarray(np.where(self.person != "", index, alone))


def labelled_faces(cache: Cache, labels: str) -> LabelledFaces:
    """Find the labels of a cache's images.

    Of an image with several faces the one is taken that is largest and nearest to the centre: labels speak
    of the person whom the picture shows.

    Args:
        labels: ``utkface``, ``agedb``, or the path of a CSV file.

    Raises:
        UsageError: the labels cannot be read, or fit no image with a face.
        CacheError: the cache cannot be read.
    """
    table, names = cache.table(), cache.names()
    missing = ambiguous = 0
    if labels in FROM_NAMES:
        found = _from_names(names, labels)
    elif labels == "imdb-wiki":
        raise UsageError("imdb-wiki is not read yet; write its labels to a CSV file: path,age,gender")
    elif not (path := Path(labels)).suffix and not path.is_file():
        raise UsageError(f"unknown labels {labels!r}: {', '.join(FROM_NAMES)}, or a CSV file")
    else:
        found, missing, ambiguous = _from_table(table, names, path)

    hashes = sorted(found)
    start = table.find(to_keys(hashes))
    if not (start >= 0).any():
        raise UsageError(_nothing_fits(cache, names, labels, ambiguous))
    faces = _choose(table, found, hashes, start, missing, ambiguous)
    if not len(faces):
        raise UsageError(f"no labelled image of {cache.directory} gave a face: {faces.counts}")
    return faces


def _from_names(names: Names, labels: str) -> dict[str, list[Label]]:
    found: dict[str, list[Label]] = defaultdict(list)
    for name, sha256 in zip(names.names, names.sha256(), strict=True):
        if (label := label_from_name(labels, name)) is not None:
            found[sha256].append(label)
    return found


def _from_table(table: CacheTable, names: Names, path: Path) -> tuple[dict[str, list[Label]], int, int]:
    """Labels by sha256, how many have no image, and how many could belong to several."""
    by_name: dict[str, list[str]] = defaultdict(list)
    here = table.find(names.keys) >= 0
    for name, sha256 in zip(names.names[here], to_hex(names.keys[here]), strict=True):
        by_name[name].append(sha256)
    found: dict[str, list[Label]] = defaultdict(list)
    missing = ambiguous = 0
    for name, label in read_table(path).items():
        if not label.known:
            continue
        hashes = by_name.get(name, [])
        if len(hashes) != 1:
            beside = _hash_of(path.parent / name)
            if hashes and beside not in hashes:
                ambiguous += 1
                continue
            hashes = [beside] if beside else []
        missing += not hashes
        for sha256 in hashes:
            found[sha256].append(label)
    return found, missing, ambiguous


def _nothing_fits(cache: Cache, names: Names, labels: str, ambiguous: int) -> str:
    what = f"no image of the cache {cache.directory} has a label"
    if labels in FROM_NAMES:
        if not len(names):
            return (
                f"{what}: the cache keeps no file names; run `arcage extract` again without --no-names "
                "(what it has is not computed anew), or give the labels as a CSV file beside the images"
            )
        return f"{what}: no file name is of the form of {labels}, as is {names.names[0]!r}; give a CSV file"
    if ambiguous:
        return (
            f"{what} in {labels} that fits one image alone ({ambiguous:,} fit several): extract the folder "
            "that holds all the others, and give the labels' paths relative to it"
        )
    return (
        f"{what} in {labels}: extract the images first, and give the labels' paths relative to the folder "
        "that was extracted"
    )


def _choose(
    table: CacheTable,
    found: dict[str, list[Label]],
    hashes: list[str],
    start: Array,
    missing: int,
    ambiguous: int,
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
        ambiguous=ambiguous,
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


def _hash_of(path: Path) -> str:
    """For images that were extracted without their names, or from another folder; empty where unreadable."""
    try:
        return sha256_bytes(read_bytes(path))
    except ImageError:
        return ""


def _draw(hashes: list[str]) -> F64:
    """A number from 0 to 1 for each hash."""
    return np.array([int(text[:8], 16) for text in hashes], np.float64) / 2**32
