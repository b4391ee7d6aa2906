"""Labelled faces: rows of a cache with their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from arcage.cache import CacheTable
from arcage.data.labels import HELD_OUT, TRAIN, is_number, person_key
from arcage.data.notes import LEFT_OUT_OF_TABLES, Counts, Note
from arcage.files import sha256_bytes
from arcage.types import F32, F64, Array, Labels

SHOWN = 3
"""Maximum notes of each kind in :meth:`LabelledFaces.remarks`."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFaces:
    """n faces with labels, sorted by the sha256 of their images."""

    table: CacheTable
    """All faces of the caches."""
    rows: Array
    """Shape (n,), int64: the labelled faces in ``table``."""
    age: F32
    """Shape (n,), years; NaN where unknown."""
    gender: F32
    """Shape (n,), 0 male, 1 female; NaN where unknown."""
    person: Array
    """Shape (n,), str: name of the person as labelled; empty where unknown."""
    group: Array
    """Shape (n,), str: the subgroup that errors are reported for; empty where unknown."""
    weight: F32
    """Shape (n,), 0 or more; NaN where unknown."""
    split: Array
    """Shape (n,), str: ``train``, ``test`` (held out), or empty where the labels have no split."""
    source: Array
    """Shape (n,), str: name of the label source; the first one if several label the face."""
    counts: Counts
    """Numbers of images, before any selection."""
    notes: tuple[Note, ...] = ()
    """Labels that were left out, and copies."""
    rules: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By source, the number of entries that each rule of :mod:`arcage.data.imdb_wiki` left out."""
    readings: tuple[str, ...] = ()
    """How ambiguous values in tables were read."""

    def __len__(self) -> int:
        return len(self.rows)

    def descriptors(self) -> F32:
        """Return the descriptors, shape (n, dimension), float32."""
        x: F32 = self.table.descriptors(self.rows, dtype=np.float32)
        return x

    def descriptors_in(self, table: CacheTable) -> tuple[F32, Array]:
        """Return the same faces' descriptors by another pipeline.

        Args:
            table: of a cache of the same images, faces and dimension.

        Returns:
            The descriptors, shape (n, dimension), float32, and which faces ``table`` has, shape (n,), bool.
            Faces that ``table`` does not have keep their row of :meth:`descriptors`.
        """
        keys, face = self.table.keys[self.rows], self.table.face[self.rows]
        first = table.find(keys)
        row = first + face
        has = (first >= 0) & (row < len(table.face))
        has[has] = table.face[row[has]] == face[has]
        x = np.empty((len(self), table.dimension), np.float32)
        table.copy_descriptors(row[has], x, np.flatnonzero(has))
        self.table.copy_descriptors(self.rows[~has], x, np.flatnonzero(~has))
        return x, has

    def remarks(self) -> list[str]:
        """Describe how tables were read, what was left out, and errors in tables with their line numbers; at
        most :data:`SHOWN` of each kind."""
        out = list(self.readings)
        for source, counts in self.rules.items():
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            out.append(f"{source}: {listed}; the cleaned labels are next to it as CSV")
        for kind in LEFT_OUT_OF_TABLES:
            notes = [n for n in self.notes if n.kind == kind and any(e.label.line for e in n.entries)]
            out += [str(note) for note in notes[:SHOWN]]
            if len(notes) > SHOWN:
                more = f"{len(notes) - SHOWN:,} more like the last"
                out.append(f"... and {more}; the JSON output of `arcage data describe` lists all")
        return out

    def sha256(self) -> list[str]:
        """Return the hashes of the images, 64 hexadecimal digits each."""
        return self.table.sha256(self.rows)

    def labels(self) -> Labels:
        """Return the labels that heads are fitted on and evaluated with."""
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

    def select(self, rows: Array) -> LabelledFaces:
        """Return some of the faces, given as a boolean mask or as indices. The counts do not change."""
        return replace(
            self,
            rows=self.rows[rows],
            age=self.age[rows],
            gender=self.gender[rows],
            person=self.person[rows],
            group=self.group[rows],
            weight=self.weight[rows],
            split=self.split[rows],
            source=self.source[rows],
        )

    @property
    def has_split(self) -> bool:
        """Whether the labels hold out any face."""
        return bool((self.split == HELD_OUT).any())

    def held_out(self, share: float) -> Array:
        """Return which faces are held out, shape (n,), bool.

        These are the faces that the labels hold out, and a share of the faces without a split (of all faces
        if the labels hold out none). Faces are drawn by person if known and otherwise by the image's hash:
        persons and copies are never on both sides, and every run draws the same faces. All faces of a person
        are held out if one of them is.

        Args:
            share: from 0 to 1.
        """
        who, names = self._person_index()
        number = _uniform(self.sha256())
        if names:
            of_person = _uniform([sha256_bytes(name.encode()) for name in names])
            number = np.where(who >= 0, of_person[who], number)
        free = (self.split != TRAIN) | (not self.has_split)
        held_out = (self.split == HELD_OUT) | (free & (number < share))
        return np.asarray(held_out | np.isin(who, who[held_out & (who >= 0)]))

    def persons(self) -> Array | None:
        """Number the persons, to keep all faces of a person in one fold.

        Returns:
            Shape (n,), int64; a face of an unknown person has a number of its own. None if no person is
            known.
        """
        who, names = self._person_index()
        if not names:
            return None
        own = np.arange(len(names), len(names) + len(self))
        return np.asarray(np.where(who >= 0, who, own))

    def _person_index(self) -> tuple[Array, list[str]]:
        """Return an index for each face, shape (n,), int64, -1 where its person is unknown, and the list of
        persons that it points to.

        Spellings of a name are one person, across sources as well. A person that is only a number is valid
        within its own source.
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


def _uniform(hashes: list[str]) -> F64:
    """Map each hash to a number from 0 to 1."""
    return np.array([int(text[:8], 16) for text in hashes], np.float64) / 2**32
