"""Describe a set of labels, and list what to check before fitting heads on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from arcage.audit.duplicates import duplicates
from arcage.audit.heaping import heaping
from arcage.audit.label_errors import find_label_errors, suspicious_labels
from arcage.cache import Names
from arcage.data.labelled import LabelledFaces
from arcage.data.labels import HELD_OUT, TRAIN
from arcage.data.notes import Note
from arcage.types import Array

BAND = 10
"""Width of an age band, years."""
MOST_FREQUENT = 20
"""Maximum number of persons that are listed."""


def describe(
    faces: LabelledFaces, names: Names | None = None, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return the statistics and findings of a set of labels, ready for JSON.

    Args:
        faces: the labelled faces.
        names: the caches' file names.
        progress: called with a text before each slow step.

    Returns:
        ``images`` (see :class:`arcage.data.notes.Counts`), ``faces`` (number of faces with each label),
        ``sources``, ``rules`` (entries that each rule of :mod:`arcage.data.imdb_wiki` left out), ``ages``,
        ``heaping`` (see :func:`arcage.audit.heaping.heaping`), ``copies`` (``exact``, ``contradictory`` and
        ``near`` ones), ``persons``, ``look_alikes`` (see :func:`arcage.audit.duplicates.duplicates`),
        ``suspicious`` (see :func:`arcage.audit.label_errors.suspicious_labels`) and ``left_out`` (labels
        without a face, and why).
    """
    progress("comparing labels with out-of-fold predictions")
    errors = find_label_errors(faces)
    progress("comparing all faces with each other")
    near, look_alikes = duplicates(faces, errors.predictions, names)
    return {
        "images": asdict(faces.counts),
        "faces": _labels(faces),
        "sources": _frequencies(faces.source),
        "rules": {source: dict(counts) for source, counts in faces.rules.items()},
        "ages": _ages(faces),
        "heaping": heaping(faces.age),
        "copies": {
            "exact": [_note(note) for note in faces.notes if note.kind == "copies"],
            "contradictory": [_note(note) for note in faces.notes if note.kind == "contradictory"],
            "near": near,
        },
        "persons": _persons(faces),
        "look_alikes": look_alikes,
        "suspicious": suspicious_labels(errors, faces, names),
        "left_out": [_note(note) for note in faces.notes if note.kind not in ("copies", "contradictory")],
    }


def _labels(faces: LabelledFaces) -> dict[str, Any]:
    """Count the faces with each label."""
    return {
        "all": len(faces),
        "age": int(np.isfinite(faces.age).sum()),
        "male": int((faces.gender == 0).sum()),
        "female": int((faces.gender == 1).sum()),
        "person": int((faces.person != "").sum()),
        "group": int((faces.group != "").sum()),
        "weight": int(np.isfinite(faces.weight).sum()),
        "train": int((faces.split == TRAIN).sum()),
        "held_out": int((faces.split == HELD_OUT).sum()),
    }


def _frequencies(names: Array) -> dict[str, int]:
    """Count the faces with each name, the most frequent first."""
    return dict(Counter(name for name in names.tolist() if name).most_common())


def _ages(faces: LabelledFaces) -> dict[str, Any]:
    """Count the faces by age band and by year, for all faces with an age, by gender and by group."""
    known = np.isfinite(faces.age)
    years = np.floor(faces.age[known]).astype(int)
    if not len(years):
        return {"years": [], "bands": []}
    gender, group = faces.gender[known], faces.group[known]
    genders = {
        "male": gender == 0,
        "female": gender == 1,
        "unknown": np.isnan(gender),
    }
    groups = {name: group == name for name in _frequencies(group)}
    bands = []
    for low in range(0, int(years.max()) + 1, BAND):
        here = (years >= low) & (years < low + BAND)
        bands.append(
            {
                "from": low,
                "to": low + BAND - 1,
                "faces": int(here.sum()),
                **{name: int((here & mask).sum()) for name, mask in genders.items()},
                "groups": {name: int((here & mask).sum()) for name, mask in groups.items()},
            }
        )
    by_year = np.stack([np.bincount(years[mask], minlength=years.max() + 1) for mask in genders.values()], 1)
    return {
        "youngest": float(faces.age[known].min()),
        "median": float(np.median(faces.age[known])),
        "oldest": float(faces.age[known].max()),
        "bands": bands,
        "years": [
            {name: int(count) for name, count in zip(genders, counts, strict=True)} for counts in by_year
        ],
    }


def _persons(faces: LabelledFaces) -> dict[str, Any]:
    """Count the named persons; spellings of a name count as one person."""
    persons = faces.persons()
    known = faces.person != ""
    sizes = np.unique(persons[known], return_counts=True)[1] if persons is not None else np.empty(0, int)
    frequent = list(_frequencies(faces.person).items())[:MOST_FREQUENT]
    return {
        "named": len(sizes),
        "faces": int(known.sum()),
        "several": int((sizes > 1).sum()),
        "faces_of_several": int(sizes[sizes > 1].sum()),
        "most": [{"person": name, "faces": count} for name, count in frequent],
    }


def _note(note: Note) -> dict[str, Any]:
    return {
        "kind": note.kind,
        "sha256": note.sha256,
        "labels": [
            {
                "path": entry.path,
                "source": entry.source,
                "line": entry.label.line or None,
                "age": None if np.isnan(entry.label.age) else entry.label.age,
                "gender": None
                if np.isnan(entry.label.gender)
                else ("male", "female")[int(entry.label.gender)],
            }
            for entry in note.entries
        ],
        "text": str(note),
    }
