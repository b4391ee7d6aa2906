"""Join labels with the descriptors of a cache."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from arcage.cache import Cache, CacheTable, Names, join_tables, to_keys
from arcage.data import imdb_wiki
from arcage.data.label_source import LabelSource, name_sources
from arcage.data.labelled import LabelledFaces
from arcage.data.labels import FROM_NAMES, Label, merge
from arcage.data.main_face import labelled_row
from arcage.data.matching import Matches, explain_no_match, match_file_names, match_table
from arcage.data.notes import Counts, LabelEntry, Note
from arcage.errors import UsageError


def labelled_faces(cache: Cache, labels: str, columns: Mapping[str, str] | None = None) -> LabelledFaces:
    """Return the labelled faces of one cache; see :func:`join_labelled`.

    The arguments are the fields of :class:`arcage.data.label_source.LabelSource`.
    """
    return join_labelled([LabelSource(cache, labels, columns or {})])


def join_labelled(sources: Sequence[LabelSource]) -> LabelledFaces:
    """Return the labelled faces of several label sources.

    A face that several sources label is returned once, with the labels of all. If an image has several faces,
    its label belongs to the main one (large and close to the centre), unless a table of predictions names the
    face.

    Raises:
        UsageError: labels cannot be read, or those of a source match no image with a face.
        CacheError: a cache cannot be read.
        OutputError: the cleaned labels of IMDB-WIKI cannot be written.
    """
    read = {id(source.cache): (source.cache.table(), source.cache.names()) for source in sources}
    entries: dict[str, list[LabelEntry]] = defaultdict(list)
    notes: list[Note] = []
    rules: dict[str, dict[str, int]] = {}
    readings: list[str] = []
    for parts, source in zip(name_sources(sources), sources, strict=True):
        table, names = read[id(source.cache)]
        found: list[Matches] = []
        for name, labels in parts.items():
            path = Path(labels)
            if labels not in FROM_NAMES and path.suffix.lower() == ".mat":
                path = imdb_wiki.csv_of(path)
                rules[name] = imdb_wiki.counts(path)
            matches = (
                match_file_names(names, name, labels)
                if labels in FROM_NAMES
                else match_table(table, names, name, path, source.columns)
            )
            found.append(matches)
            readings += [f"{name}: {remark}" for remark in matches.remarks]
        _check_matches(found, table, names, source)
        for matches in found:
            notes += matches.notes
            for sha256, entry in matches.entries:
                entries[sha256].append(entry)
    table = join_tables([table for table, _ in read.values()])
    faces = replace(_choose_faces(table, entries, notes), rules=rules, readings=tuple(readings))
    if not len(faces):
        where = ", ".join(dict.fromkeys(str(source.cache.directory) for source in sources))
        raise UsageError(f"no labelled image of {where} has a face: {faces.counts}")
    return faces


def _check_matches(found: Sequence[Matches], table: CacheTable, names: Names, source: LabelSource) -> None:
    """Raise UsageError if no label of a source matches an image."""
    hashes = {sha256 for matches in found for sha256, _ in matches.entries}
    if not (table.find(to_keys(sorted(hashes))) >= 0).any():
        ambiguous = sum(note.kind == "ambiguous" for matches in found for note in matches.notes)
        raise UsageError(explain_no_match(source.cache, names, source.labels, ambiguous))


def _choose_faces(
    table: CacheTable, entries: Mapping[str, Sequence[LabelEntry]], notes: Sequence[Note]
) -> LabelledFaces:
    """Choose a face for each label, and merge the labels of each face.

    Args:
        table: the images and faces of all caches.
        entries: the labels by the image's sha256.
        notes: about labels that were left out while matching.
    """
    hashes = sorted(entries)
    start = table.find(to_keys(hashes))
    rows: list[int] = []
    labels: list[Label] = []
    sources: list[str] = []
    notes = list(notes)
    labelled = copies = 0
    for sha256, first in zip(hashes, start.tolist(), strict=True):
        if first < 0:
            notes.append(Note("missing", tuple(entries[sha256]), sha256))
            continue
        faces: dict[int, list[LabelEntry]] = defaultdict(list)
        for entry in entries[sha256]:
            row = labelled_row(table, first, entry)
            if row is None:
                notes.append(Note("no_such_face", (entry,), sha256))
            else:
                faces[row].append(entry)
        labelled += len(faces)
        for row in sorted(faces):
            same_face = tuple(faces[row])
            copies += len(same_face) - 1
            label = merge(entry.label for entry in same_face)
            if label is None:
                notes.append(Note("contradictory", same_face, sha256))
            elif table.face[row] < 0:
                notes.append(Note(table.status[row], same_face, sha256))
            else:
                if len({entry.path for entry in same_face}) > 1:
                    notes.append(Note("copies", same_face, sha256))
                rows.append(row)
                labels.append(label)
                sources.append(same_face[0].source)
    kinds = Counter(note.kind for note in notes)
    counts = Counts(
        labelled=labelled,
        used=len(rows),
        no_face=kinds["no_face"],
        unreadable=kinds["unreadable"],
        contradictory=kinds["contradictory"],
        copies=copies,
        unlabelled=int((table.face <= 0).sum()) - int((start >= 0).sum()),
        missing=kinds["missing"] + kinds["no_such_face"],
        ambiguous=kinds["ambiguous"],
    )
    return _labelled(rows, labels, sources, table=table, counts=counts, notes=tuple(notes))


def _labelled(
    rows: Sequence[int],
    labels: Sequence[Label],
    sources: Sequence[str],
    *,
    table: CacheTable,
    counts: Counts,
    notes: tuple[Note, ...],
) -> LabelledFaces:
    """Convert the rows, labels and sources of n faces to arrays."""
    return LabelledFaces(
        table,
        np.array(rows, np.int64),
        age=np.array([label.age for label in labels], np.float32),
        gender=np.array([label.gender for label in labels], np.float32),
        person=np.array([label.person for label in labels], dtype=np.str_),
        group=np.array([label.group for label in labels], dtype=np.str_),
        weight=np.array([label.weight for label in labels], np.float32),
        split=np.array([label.split for label in labels], dtype=np.str_),
        source=np.array(sources, dtype=np.str_),
        counts=counts,
        notes=notes,
    )
