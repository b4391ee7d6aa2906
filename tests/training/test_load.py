"""Labelled faces from the caches and labels that a user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from arcage.embedder import extractor
from arcage.errors import UsageError
from arcage.training.load import LabelledRequest, label_files, load_labelled, select_held_out


def test_labels_that_are_files() -> None:
    assert label_files(["utkface", "a.csv", "folder/agedb", "imdb.mat"]) == [
        "a.csv",
        "folder/agedb",
        "imdb.mat",
    ]


def test_load_and_hold_out(ready: Path) -> None:
    reported: list[str] = []
    request = LabelledRequest(caches=[Path("cache")], labels=["utkface"])
    labelled = load_labelled(request, extractor.Extractor(), report=reported.append)
    assert (len(labelled.faces), labelled.labels, labelled.split) == (160, "utkface", False)
    assert reported == [f"images: {labelled.faces.counts}"]
    assert len(labelled.names()) >= 160
    assert select_held_out(labelled, 0) is labelled
    held_out = select_held_out(labelled, 0.25)
    assert 0 < len(held_out.faces) < 160
    assert not held_out.split
    with pytest.raises(UsageError, match="held out: increase `holdout`"):
        select_held_out(labelled, 1e-9)
