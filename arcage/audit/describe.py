"""What a labelled set holds, and what in it should be looked at before anything is fitted on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from arcage.audit.duplicates import similar_pairs
from arcage.audit.label_errors import Suspicion, suspicion
from arcage.cache import Names
from arcage.data.labelled import LabelledFaces, Note
from arcage.data.labels import HELD_OUT, TRAIN
from arcage.data.rows import Rows, face_rows, names_of
from arcage.heads.model import Predictions
from arcage.types import F32, Array

BAND = 10
"""Years in a row of the ages."""
WHIPPLE = (23, 62)
"""Ages that Whipple's index is taken over, as demographers do: both included."""
PEAK, PEAK_FACES = 2.0, 20
"""An age is called heaped if it has so many times the faces of its neighbours, and so many at least."""
NEAR_COPY = 0.95
"""Cosine of two descriptors of one picture, saved twice (docs/guide/data.md)."""
LOOK_ALIKE = 0.8
"""Cosine from which on two grown-ups are likely to be one person (docs/guide/data.md)."""
COMPARED = 500_000
"""Faces that are compared with one another; of more, the first by content."""
SHARE = 0.05
"""Of the labels, at most, that are called suspicious."""
FAR = 10.0
"""Years outside the interval that are far."""
SURE = 0.95
"""The doubt from which on a gender is called contradicted."""
MOST = 20


def describe(
    faces: LabelledFaces, names: Names | None = None, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Figures and lists, ready for JSON.

    Args:
        names: the caches' file names.

    Returns:
        ``images`` (what became of them), ``faces`` (how many have which label), ``sources``, ``rules`` (what
        each rule of :mod:`arcage.data.imdb_wiki` left out), ``ages``,
        ``heaping``, ``copies`` (exact and near ones), ``persons``, ``look_alikes``, ``suspicious``
        (``age`` and ``gender``, the most suspicious first) and ``left_out`` (labels without a face, and
        why).
    """
    progress("comparing labels with the answers of heads that have not seen them")
    doubts = suspicion(faces)
    progress("comparing faces with one another")
    near, look_alikes = _pairs(faces, doubts.answers, names)
    return {
        "images": asdict(faces.counts),
        "faces": _labels(faces),
        "sources": _sizes(faces.source),
        "rules": {source: dict(counts) for source, counts in faces.rules.items()},
        "ages": _ages(faces),
        "heaping": _heaping(faces.age),
        "copies": {
            "exact": [_note(note) for note in faces.notes if note.kind == "copies"],
            "contradictory": [_note(note) for note in faces.notes if note.kind == "contradictory"],
            "near": near,
        },
        "persons": _persons(faces),
        "look_alikes": look_alikes,
        "suspicious": _suspicious(faces, doubts, names),
        "left_out": [_note(note) for note in faces.notes if note.kind not in ("copies", "contradictory")],
    }


def _labels(faces: LabelledFaces) -> dict[str, Any]:
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


def _sizes(names: Array) -> dict[str, int]:
    """How many faces have each name, the commonest first."""
    return dict(Counter(name for name in names.tolist() if name).most_common())


def _ages(faces: LabelledFaces) -> dict[str, Any]:
    """By band and by single years, of all faces with an age, by gender and by group."""
    known = np.isfinite(faces.age)
    years = np.floor(faces.age[known]).astype(int)
    if not len(years):
        return {"years": [], "bands": []}
    gender, group = faces.gender[known], faces.group[known]
    sets = {
        "male": gender == 0,
        "female": gender == 1,
        "unknown": np.isnan(gender),
    }
    groups = {name: group == name for name in _sizes(group)}
    bands = []
    for low in range(0, int(years.max()) + 1, BAND):
        here = (years >= low) & (years < low + BAND)
        bands.append(
            {
                "from": low,
                "to": low + BAND - 1,
                "faces": int(here.sum()),
                **{name: int((here & mask).sum()) for name, mask in sets.items()},
                "groups": {name: int((here & mask).sum()) for name, mask in groups.items()},
            }
        )
    return {
        "youngest": float(faces.age[known].min()),
        "median": float(np.median(faces.age[known])),
        "oldest": float(faces.age[known].max()),
        "bands": bands,
        "years": [
            {name: int(count) for name, count in zip(("male", "female", "unknown"), row, strict=True)}
            for row in np.stack([np.bincount(years[m], minlength=years.max() + 1) for m in sets.values()], 1)
        ],
    }


def _heaping(age: F32) -> dict[str, Any]:
    """Whipple's index (100: no preference for ages that end in 0 or 5; 500: no other ages), and ages that
    have many more faces than their neighbours."""
    counts = np.bincount(np.floor(age[np.isfinite(age)]).astype(int), minlength=1)
    low, high = WHIPPLE
    adults = counts[low : high + 1]
    round_ = np.arange(low, low + len(adults)) % 5 == 0
    peaks = []
    for year, count in enumerate(counts.tolist()):
        beside = [n for n in (year - 2, year - 1, year + 1, year + 2) if 0 <= n < len(counts)]
        usual = float(counts[beside].mean()) if beside else 0.0
        if count >= PEAK_FACES and count >= PEAK * usual and usual:
            peaks.append({"age": year, "faces": count, "times": count / usual})
    # Most faces too many first.
    peaks.sort(key=lambda peak: -peak["faces"] * (1 - 1 / peak["times"]))
    enough = adults.sum() >= PEAK_FACES
    return {"whipple": 500 * float(adults[round_].sum() / adults.sum()) if enough else None, "peaks": peaks}


def _persons(faces: LabelledFaces) -> dict[str, Any]:
    """Whom labels name: spellings of a name count as one person."""
    persons = faces.persons()
    known = faces.person != ""
    sizes = np.unique(persons[known], return_counts=True)[1] if persons is not None else np.empty(0, int)
    return {
        "named": len(sizes),
        "faces": int(known.sum()),
        "several": int((sizes > 1).sum()),
        "faces_of_several": int(sizes[sizes > 1].sum()),
        "most": [{"person": name, "faces": n} for name, n in list(_sizes(faces.person).items())[:MOST]],
    }


def _pairs(faces: LabelledFaces, answers: Predictions, names: Names | None) -> tuple[Rows, dict[str, Any]]:
    """Near copies, those with different labels first, and faces that are alike without being one picture."""
    some = faces.select(np.arange(len(faces)) < COMPARED)
    first, second, cosine, count = similar_pairs(some.descriptors(), LOOK_ALIKE)
    persons = some.persons()
    # Two faces of one person may be alike; of two persons, one of the names is likely to be wrong.
    strangers = np.ones(len(first), bool) if persons is None else persons[first] != persons[second]
    near = cosine >= NEAR_COPY
    age_gap = np.abs(some.age[first] - some.age[second])
    other_gender = np.abs(some.gender[first] - some.gender[second]) == 1
    differs = (age_gap > 0) | other_gender | (strangers & (persons is not None))

    called = names_of(names, some.table.sha256(some.rows[np.unique([first, second])]))

    def listed(chosen: Array) -> Rows:
        pairs = [face_rows(rows[chosen], some, answers, called) for rows in (first, second)]
        return [
            {"cosine": float(c), "differs": bool(d), "faces": [one, other]}
            for c, d, one, other in zip(cosine[chosen], differs[chosen], *pairs, strict=True)
        ]

    copies = np.flatnonzero(near)
    gap = np.nan_to_num(age_gap[copies])
    copies = copies[np.lexsort((-gap, ~other_gender[copies], ~differs[copies]))]
    alike = np.flatnonzero(~near & strangers)
    return listed(copies), {
        "compared": len(some),
        "cosine": LOOK_ALIKE,
        "pairs": len(alike),
        "complete": len(first) == count,
        "faces": len(np.unique([first[alike], second[alike]])),
        "most": listed(alike[:MOST]),
    }


def _suspicious(faces: LabelledFaces, doubts: Suspicion, names: Names | None) -> dict[str, Any]:
    chosen = {
        "age": most_suspicious(doubts.years, 0),
        "gender": most_suspicious(doubts.doubt, 0.5),
    }
    called = names_of(names, faces.table.sha256(faces.rows[np.concatenate(list(chosen.values()))]))
    scores = {"age": ("years_outside", doubts.years), "gender": ("doubt", doubts.doubt)}
    out: dict[str, Any] = {
        "by": "out-of-fold answers of linear heads",
        "not_compared": list(doubts.reasons),
        "far": int((doubts.years >= FAR).sum()),
        "contradicted": int((doubts.doubt >= SURE).sum()),
    }
    for which, rows in chosen.items():
        name, score = scores[which]
        out[which] = [
            {name: float(score[row]), **face, "source": str(faces.source[row])}
            for row, face in zip(rows, face_rows(rows, faces, doubts.answers, called), strict=True)
        ]
    return out


def most_suspicious(score: Array, least: float) -> Array:
    """The rows with the highest scores above ``least``, in order: :data:`SHARE` of all known at most."""
    order = np.argsort(-score, kind="stable")
    known = int(np.isfinite(score).sum())
    order = order[: int(np.ceil(SHARE * known))]
    return order[score[order] > least]


def _note(note: Note) -> dict[str, Any]:
    return {
        "kind": note.kind,
        "sha256": note.sha256,
        "labels": [
            {
                "path": given.path,
                "source": given.source,
                "line": given.label.line or None,
                "age": None if np.isnan(given.label.age) else given.label.age,
                "gender": None
                if np.isnan(given.label.gender)
                else ("male", "female")[int(given.label.gender)],
            }
            for given in note.given
        ],
        "text": str(note),
    }
