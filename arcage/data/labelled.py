"""Join caches and labels to labelled faces: one per image, or those in a table of predictions."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from arcage.cache import Cache, CacheTable, Names, join_tables, to_hex, to_keys
from arcage.data import imdb_wiki
from arcage.data.labels import (
    FROM_NAMES,
    HELD_OUT,
    TRAIN,
    Label,
    is_number,
    label_from_name,
    merge,
    person_key,
)
from arcage.data.tables import Place, read_table
from arcage.errors import ImageError, UsageError
from arcage.files import read_bytes, sha256_bytes, spelled_on_disk
from arcage.types import F32, F64, Array, Labels

SAME_FACE = 0.5
"""Minimum overlap (intersection over union) of two boxes of one face."""
SHOWN = 3
"""Notes of each kind that are said in words."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the images. Every figure is reported with these beside it."""

    labelled: int
    """Distinct images with a label, or faces if labels distinguish the faces of an image, before anything is
    dropped."""
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
    """Labels whose image or face is not in the cache."""
    ambiguous: int
    """Labels for a path under which different images were extracted, from several folders."""

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in asdict(self).items())


@dataclass(frozen=True, slots=True)
class Given:
    """A label, and where it was given."""

    source: str
    path: str
    """The file name or the path in a table."""
    label: Label
    face: int | None = None
    box: tuple[float, ...] | None = None
    """See :class:`arcage.data.tables.Place`."""

    def __str__(self) -> str:
        face = "" if self.face is None else f", face {self.face}"
        line = f", line {self.label.line}" if self.label.line else ""
        return f"{self.path}{face} ({self.source}{line})"


Kind = Literal["missing", "no_such_face", "ambiguous", "contradictory", "no_face", "unreadable", "copies"]


@dataclass(frozen=True, slots=True)
class Note:
    """Labels that are left out and why, or ``copies``: paths of one image, which is counted once."""

    kind: Kind
    given: tuple[Given, ...]
    sha256: str = ""
    """Of the image, where there is one."""

    def __str__(self) -> str:
        paths = ", ".join(map(str, self.given))
        return {
            "missing": f"{paths} is not in the cache",
            "no_such_face": f"{paths} is not among the faces of this image in the cache",
            "ambiguous": f"{paths} fits several images",
            "contradictory": f"{paths} are the same image with different labels",
            "no_face": f"{paths} gave no face",
            "unreadable": f"{paths} cannot be read",
            "copies": f"{paths} are the same image",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Source:
    """Labels, and the cache of the images that they speak of."""

    cache: Cache
    labels: str
    """``utkface``, ``agedb``, ``folders``, ``imdb-wiki``, or the path of a .csv, .parquet or .mat file."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What a table calls its columns; see :func:`arcage.data.tables.read_table`."""


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
    weight: F32
    """Shape (n,), 0 or more; NaN where unknown."""
    split: Array
    """Shape (n,), str: ``train``, ``test`` (held out), or empty where no label says."""
    source: Array
    """Shape (n,), str: which labels speak of the face; of several the first."""
    counts: Counts
    notes: tuple[Note, ...] = ()
    """What was left out, and copies."""
    rules: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By source, what each rule of :mod:`arcage.data.imdb_wiki` left out."""
    readings: tuple[str, ...] = ()
    """How ambiguous values in tables were read."""

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

    def remarks(self) -> list[str]:
        """How tables were read, what was left out, and what is wrong in tables, with line numbers; the first
        of each kind."""
        out = list(self.readings)
        for source, counts in self.rules.items():
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            out.append(f"{source}: {listed}; the cleaned labels are beside it as CSV")
        for kind in ("missing", "no_such_face", "ambiguous", "contradictory"):
            notes = [n for n in self.notes if n.kind == kind and any(given.label.line for given in n.given)]
            out += [str(note) for note in notes[:SHOWN]]
            if len(notes) > SHOWN:
                more = f"{len(notes) - SHOWN:,} more like the last"
                out.append(f"... and {more}: `arcage data describe --format json` lists them")
        return out

    def sha256(self) -> list[str]:
        """The images' hashes."""
        return self.table.sha256(self.rows)

    def labels(self) -> Labels:
        """Return the labels as arrays."""
        return Labels(self.age, self.gender, self.group, self.persons(), self.source)

    def keys(self) -> Array:
        """Return the sha256 of the images, shape (n,), dtype S32."""
        return self.table.keys[self.rows]

    def without(self, attributes: Collection[str]) -> LabelledFaces:
        """Return the faces with the labels of some attributes (``age``, ``gender``) removed."""
        unknown = np.full(len(self), np.nan, np.float32)
        return replace(
            self,
            age=unknown if "age" in attributes else self.age,
            gender=unknown if "gender" in attributes else self.gender,
        )

    def only(self, attribute: Literal["age", "gender"]) -> LabelledFaces:
        """Return the faces that have a label of one attribute, with the labels of the other removed."""
        if attribute == "age":
            return self.without(["gender"]).select(np.isfinite(self.age))
        return self.without(["age"]).select(np.isfinite(self.gender))

    def select(self, mask: Array) -> LabelledFaces:
        """Some of the faces; the counts stay those of all."""
        return replace(
            self,
            rows=self.rows[mask],
            age=self.age[mask],
            gender=self.gender[mask],
            person=self.person[mask],
            group=self.group[mask],
            weight=self.weight[mask],
            split=self.split[mask],
            source=self.source[mask],
        )

    @property
    def has_split(self) -> bool:
        """Whether a label says of any face that it is held out."""
        return bool((self.split == HELD_OUT).any())

    def held_out(self, share: float) -> Array:
        """Which faces belong to the held-out part, shape (n,), bool: those whose labels say so, and of the
        faces of which no label says anything this share (where nothing is held out by name, of all).

        They are drawn by person where known, otherwise by content, so that neither persons nor copies lie
        on both sides and every run chooses the same. Whoever has a face held out is held out altogether.
        """
        who, names = self._who()
        first = _draw(self.sha256())
        if names:
            drawn = _draw([sha256_bytes(name.encode()) for name in names])
            first = np.where(who >= 0, drawn[who], first)
        free = (self.split != TRAIN) | (not self.has_split)
        aside = (self.split == HELD_OUT) | (free & (first < share))
        return np.asarray(aside | np.isin(who, who[aside & (who >= 0)]))

    def persons(self) -> Array | None:
        """A number for each person, shape (n,), int64: faces of one person must not be split. A face whose
        person is unknown has a number of its own. None where no person is known."""
        who, names = self._who()
        if not names:
            return None
        alone = np.arange(len(names), len(names) + len(self))
        return np.asarray(np.where(who >= 0, who, alone))

    def _who(self) -> tuple[Array, list[str]]:
        """An index for each face, shape (n,), int64, -1 where its person is unknown; and what it points to.

        Spellings of a name are joined, across sources as well. A mere number tells nobody in another
        source.
        """
        several = len(np.unique(self.source)) > 1
        pairs, index = np.unique(np.stack([self.person, self.source]), axis=1, return_inverse=True)
        keys = [
            (f"{source}:" if several and is_number(person) else "") + person_key(person) if person else ""
            for person, source in pairs.T.tolist()
        ]
        names = sorted(set(keys) - {""})
        number = {name: i for i, name in enumerate(names)} | {"": -1}
        return np.array([number[key] for key in keys], np.int64)[index.reshape(-1)], names


def pair(
    caches: Sequence[Cache], labels: Sequence[str], columns: Sequence[Mapping[str, str]] = ()
) -> list[Source]:
    """Sources of labels with a cache each, or one for all; and with columns of their own, or one for all.

    Raises:
        UsageError: the numbers do not fit.
    """
    for what, count in (("--cache", len(caches)), ("--columns", len(columns) or 1)):
        if count not in (1, len(labels)):
            raise UsageError(
                f"{len(labels)} --labels and {count} {what}: give one {what} for all, or one for each, in "
                "the same order"
            )
    return [
        Source(caches[i % len(caches)], one, columns[i % len(columns)] if columns else {})
        for i, one in enumerate(labels)
    ]


def labelled_faces(cache: Cache, labels: str, columns: Mapping[str, str] | None = None) -> LabelledFaces:
    """Find the labels of a cache's images; as :func:`join_labelled` of one :class:`Source`."""
    return join_labelled([Source(cache, labels, columns or {})])


def join_labelled(sources: Sequence[Source]) -> LabelledFaces:
    """Find the labels of all sources' images.

    A face in several sources is returned once, with its labels from all of them. Of an
    image with several faces the one is taken that is largest and nearest to the centre: labels speak of the
    person whom the picture shows, unless a table of predictions says which face is meant.

    Raises:
        UsageError: labels cannot be read, or those of a source fit no image with a face.
        CacheError: a cache cannot be read.
        OutputError: the cleaned labels of IMDB-WIKI cannot be written.
    """
    read = {id(source.cache): (source.cache.table(), source.cache.names()) for source in sources}
    found: dict[str, list[Given]] = defaultdict(list)
    notes: list[Note] = []
    rules: dict[str, dict[str, int]] = {}
    readings: list[str] = []
    for names, source in zip(_names_of_sources(sources), sources, strict=True):
        table, files = read[id(source.cache)]
        given: list[tuple[str, Given]] = []
        here: list[Note] = []
        for name, labels in names.items():
            if labels in FROM_NAMES:
                given += _from_names(files, name, labels)
            else:
                path = Path(labels)
                if path.suffix.lower() == ".mat":
                    path = imdb_wiki.csv_of(path)
                    rules[name] = imdb_wiki.counts(path)
                more, left_out, remarks = _from_table(table, files, name, path, source.columns)
                given, here = given + more, here + left_out
                readings += [f"{name}: {remark}" for remark in remarks]
        hashes = {sha256 for sha256, _ in given}
        if not (table.find(to_keys(sorted(hashes))) >= 0).any():
            ambiguous = sum(note.kind == "ambiguous" for note in here)
            raise UsageError(_nothing_fits(source.cache, files, source.labels, ambiguous))
        notes += here
        for sha256, one in given:
            found[sha256].append(one)
    table = join_tables([table for table, _ in read.values()])
    faces = replace(_choose(table, found, notes), rules=rules, readings=tuple(readings))
    if not len(faces):
        where = ", ".join(dict.fromkeys(str(source.cache.directory) for source in sources))
        raise UsageError(f"no labelled image of {where} gave a face: {faces.counts}")
    return faces


def _names_of_sources(sources: Sequence[Source]) -> list[dict[str, str]]:
    """By each source's names, which tell one from another, what its labels are read from."""
    every = [_parts(source.labels) for source in sources]
    plain = [[part if part in FROM_NAMES else Path(part).name for part in parts] for parts in every]
    twice = Counter(name for names in plain for name in names)
    out: list[dict[str, str]] = []
    for source, parts, names in zip(sources, every, plain, strict=True):
        own: dict[str, str] = {}
        for name, part in zip(names, parts, strict=True):
            clear = name if twice[name] == 1 else f"{name} ({source.cache.directory.name})"
            taken = {other for before in (*out, own) for other in before}
            number = 2
            while clear in taken:
                clear, number = f"{name} ({source.cache.directory.name}, {number})", number + 1
            own[clear] = part
        out.append(own)
    return out


def _parts(labels: str) -> list[str]:
    if labels in FROM_NAMES:
        return [labels]
    if labels == "imdb-wiki":
        return [str(path) for path in imdb_wiki.find(Path())]
    path = Path(labels)
    if os.path.isdir(path):
        raise UsageError(
            f"{labels} is a folder: give a file of labels, or --labels folders for genders by the names of "
            "sub-folders (male, female)"
        )
    if not path.suffix and not os.path.isfile(path):
        known = ", ".join((*FROM_NAMES, "imdb-wiki"))
        raise UsageError(f"unknown labels {labels!r}: {known}, or a .csv, .parquet or .mat file")
    return [labels]


def _from_names(names: Names, source: str, kind: str) -> list[tuple[str, Given]]:
    return [
        (sha256, Given(source, str(name), label))
        for name, sha256 in zip(names.names, names.sha256(), strict=True)
        if (label := label_from_name(kind, name)) is not None
    ]


def _from_table(
    table: CacheTable, names: Names, source: str, path: Path, columns: Mapping[str, str]
) -> tuple[list[tuple[str, Given]], list[Note], tuple[str, ...]]:
    """Return labels by sha256, labels with no image or several, and how values were read."""
    images = _Images(table, names)
    read = read_table(path, columns)
    # Predictions have file paths, relative to the folder where `arcage predict` ran.
    folders = [Path(), path.parent] if read.predictions else [path.parent]
    content = lru_cache(maxsize=1)(lambda name: images.by_content(folders, name))
    found: list[tuple[str, Given]] = []
    notes: list[Note] = []
    for place, label in read.labels.items():
        if not label.known:
            continue
        given = Given(source, place.path, label, place.face, place.box)
        hashes = images.named(place.path)
        if len(hashes) != 1 and place.box is not None:
            hashes = images.with_face(place, hashes)
        if len(hashes) != 1:
            beside = content(place.path)
            if hashes and beside not in hashes:
                notes.append(Note("ambiguous", (given,)))
                continue
            hashes = [beside] if beside else []
        if not hashes:
            notes.append(Note("missing", (given,)))
        found += [(sha256, given) for sha256 in hashes]
    return found, notes, read.remarks


class _Images:
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

    def named(self, name: str) -> list[str]:
        """Return the images with a name, or else with the name in another Unicode normalisation (macOS
        decomposes accents)."""
        exact = self._exact.get(name)
        return exact or list(dict.fromkeys(self._composed.get(unicodedata.normalize("NFC", name), ())))

    def with_face(self, place: Place, hashes: list[str]) -> list[str]:
        """Return those of ``hashes`` that have the face, or else images whose name matches without its first
        folders. A box to a tenth of a pixel is more specific than a name."""
        # Before # is a Parquet file, whose rows have their own names.
        parts = place.path.replace("#", "/#", 1).split("/")
        shorter = ["/".join(parts[n:]).replace("/#", "#").removeprefix("#") for n in range(1, len(parts))]
        for few in (hashes, *map(self.named, shorter)):
            there = [sha256 for sha256 in few if self._has(sha256, place.box)]
            if there:
                return there
        return hashes

    def _has(self, sha256: str, box: tuple[float, ...] | None) -> bool:
        first = int(self._table.find(to_keys([sha256]))[0])
        boxes = self._table.boxes[first : first + int(self._table.faces[first])]
        return bool((np.abs(boxes - np.array(box)) <= 0.1).all(axis=1).any())

    def by_content(self, folders: Sequence[Path], name: str) -> str:
        """Return the hash of the file of that name in the first folder whose file the cache has, or else in
        any folder; empty if there is none. This finds images that were extracted without names or from
        another folder."""
        hashes = [_hash_of(spelled_on_disk(folder, name)) for folder in folders]
        there = [sha256 for sha256 in hashes if sha256]
        known = [sha256 for sha256 in there if self._table.find(to_keys([sha256]))[0] >= 0]
        return (known or there or [""])[0]


def _nothing_fits(cache: Cache, names: Names, labels: str, ambiguous: int) -> str:
    what = f"no image of the cache {cache.directory} has a label"
    if not len(names):
        lacking = (
            "the cache keeps no file names (`arcage predict` keeps none)"
            if labels in FROM_NAMES
            else "the cache keeps no file names (`arcage predict` keeps none), and no file at the labels' "
            "paths is one of its images"
        )
        return (
            f"{what} in {labels}: {lacking}; run `arcage extract` on the same images with this cache, which "
            "adds their names and computes nothing again"
        )
    if labels in FROM_NAMES:
        if labels == "folders":
            return (
                f"{what}: no image lies in a folder called male, female, man or woman, as {names.names[0]!r} "
                "shows; extract the folder above those"
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


def _choose(table: CacheTable, found: dict[str, list[Given]], notes: list[Note]) -> LabelledFaces:
    hashes = sorted(found)
    start = table.find(to_keys(hashes))
    rows: list[int] = []
    chosen: list[tuple[Label, str]] = []
    notes = list(notes)
    labelled = copies = 0
    for sha256, first in zip(hashes, start.tolist(), strict=True):
        if first < 0:
            notes.append(Note("missing", tuple(found[sha256]), sha256))
            continue
        faces: dict[int, list[Given]] = defaultdict(list)
        for one in found[sha256]:
            row = _row_of(table, first, one)
            if row is None:
                notes.append(Note("no_such_face", (one,), sha256))
            else:
                faces[row].append(one)
        labelled += len(faces)
        for row in sorted(faces):
            given = tuple(faces[row])
            copies += len(given) - 1
            label = merge(one.label for one in given)
            if label is None:
                notes.append(Note("contradictory", given, sha256))
            elif table.face[row] < 0:
                notes.append(Note(table.status[row], given, sha256))
            else:
                if len({one.path for one in given}) > 1:
                    notes.append(Note("copies", given, sha256))
                rows.append(row)
                chosen.append((label, given[0].source))
    lost = Counter(note.kind for note in notes)
    present = int((start >= 0).sum())
    counts = Counts(
        labelled=labelled,
        used=len(rows),
        no_face=lost["no_face"],
        unreadable=lost["unreadable"],
        contradictory=lost["contradictory"],
        copies=copies,
        unlabelled=int((table.face <= 0).sum()) - present,
        missing=lost["missing"] + lost["no_such_face"],
        ambiguous=lost["ambiguous"],
    )
    labels = [label for label, _ in chosen]
    return LabelledFaces(
        table,
        np.array(rows, np.int64),
        age=np.array([label.age for label in labels], np.float32),
        gender=np.array([label.gender for label in labels], np.float32),
        person=np.array([label.person for label in labels], dtype=np.str_),
        group=np.array([label.group for label in labels], dtype=np.str_),
        weight=np.array([label.weight for label in labels], np.float32),
        split=np.array([label.split for label in labels], dtype=np.str_),
        source=np.array([source for _, source in chosen], dtype=np.str_),
        counts=counts,
        notes=tuple(notes),
    )


def _row_of(table: CacheTable, first: int, given: Given) -> int | None:
    """Return the row of a labelled face, where the image's rows begin at ``first``; None if no face of the
    image matches. Boxes come before numbers, which depend on the detector."""
    count = int(table.faces[first])
    if given.face is None or not count:
        return _main_face(table, first)
    if given.box is None:
        return first + given.face if given.face < count else None
    boxes, box = table.boxes[first : first + count], np.array(given.box)
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    both = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    overlap = common / np.maximum(both - common, 1e-9)
    best = int(np.argmax(overlap))
    return first + best if overlap[best] >= SAME_FACE else None


def _main_face(table: CacheTable, first: int) -> int:
    count = int(table.faces[first])
    if count <= 1:
        return first
    box = table.boxes[first : first + count]
    size = np.sqrt(np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1))
    middle = np.array([table.width[first], table.height[first]]) / 2
    distance = np.hypot(*((box[:, :2] + box[:, 2:]) / 2 - middle).T)
    return first + int(np.argmax(size - distance))


def _hash_of(path: Path) -> str:
    try:
        return sha256_bytes(read_bytes(path))
    except ImageError:
        return ""


def _draw(hashes: list[str]) -> F64:
    """A number from 0 to 1 for each hash."""
    return np.array([int(text[:8], 16) for text in hashes], np.float64) / 2**32
