"""Counts and notes: what was left out, in words."""

from __future__ import annotations

import pytest

from arcage.data.labels import Label
from arcage.data.notes import Counts, Kind, LabelEntry, Note

NAMED = LabelEntry("utkface", "a.jpg", Label(30))
LISTED = LabelEntry("labels.csv", "b.jpg", Label(31, line=7), face=2)


def test_an_entry_names_its_origin() -> None:
    assert str(NAMED) == "a.jpg (utkface)"
    assert str(LISTED) == "b.jpg, face 2 (labels.csv, line 7)"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "is not in the cache"),
        ("no_such_face", "is not among the faces of this image in the cache"),
        ("ambiguous", "matches several images"),
        ("contradictory", "are the same image with different labels"),
        ("no_face", "has no face"),
        ("unreadable", "cannot be read"),
        ("copies", "are the same image"),
    ],
)
def test_a_note_says_why(kind: Kind, words: str) -> None:
    assert str(Note(kind, (NAMED, LISTED))) == f"a.jpg (utkface), b.jpg, face 2 (labels.csv, line 7) {words}"


def test_counts_in_words() -> None:
    assert str(Counts(4000, 3990, 1, 2, 3, 4, 5, 6, 7)) == (
        "labelled 4,000, used 3,990, no face 1, unreadable 2, contradictory 3, copies 4, unlabelled 5, "
        "missing 6, ambiguous 7"
    )
