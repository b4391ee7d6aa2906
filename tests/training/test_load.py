"""Labelled faces from the caches and labels that a user names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from caches import FINGERPRINT
from projects import FakeExtractor, Run

from arcage.data.boxes_file import LANDMARKS
from arcage.embedder import extractor
from arcage.errors import UsageError
from arcage.heads.store import load_heads
from arcage.training.load import (
    LabelledRequest,
    faces_from,
    label_files,
    load_labelled,
    select_held_out,
)


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


def test_heads_are_fitted_on_own_boxes_and_used_on_detected_faces(
    project: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a given face, the fake descriptor is the height of the box, and 1 if it has landmarks."""
    monkeypatch.chdir(tmp_path)
    photos = sorted((project / "photos").iterdir())
    rows = [
        f"{photo},0,0,50,{int(photo.name.split('_')[0]) + 1}"
        + (",1" * 9 + ",9" if "_1_" in photo.name else "," * 10)
        for photo in photos
    ]
    Path("boxes.csv").write_text("\n".join([f"path,x1,y1,x2,y2,{','.join(LANDMARKS)}", *rows]))
    own = ("--boxes", "boxes.csv", "--cache", "own")
    assert run("extract", *own, "--augment", 1, "-q").exit_code == 0
    extractor_ = FakeExtractor()
    assert faces_from(Path("own"), extractor_) == "boxes"
    done = run(
        "fit", "--cache", "own", "--labels", "utkface", "--kind", "linear", "--augment", 1, "--out", "heads"
    )
    assert done.exit_code == 0, done.stderr
    assert "used 160" in done.stderr
    assert load_heads("heads").fingerprint == FINGERPRINT
    done = run("predict", photos[0], "--heads", "heads", "--format", "jsonl")
    assert json.loads(done.stdout)["status"] == "ok"
    assert run("evaluate", "--cache", "own", "--labels", "utkface", "--heads", "heads").exit_code == 0
    # Detected faces come first, and are not mixed with own boxes.
    assert run("extract", *photos[:120], "--cache", "own", "-q").exit_code == 0
    assert faces_from(Path("own"), extractor_) == "detector"
    request = LabelledRequest(caches=[Path("own")], labels=["utkface"])
    assert len(load_labelled(request, extractor_).faces) == 120
    assert faces_from(Path("nowhere"), extractor_) == "detector"
