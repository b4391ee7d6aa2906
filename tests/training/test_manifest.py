"""Sections of the manifest of heads."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from caches import FINGERPRINT
from projects import PACK

from arcage.data.labelled import LabelledFaces
from arcage.heads.model import Heads
from arcage.training.manifest import join_label_names, pack_section, section, training_section


def test_names_of_labels_without_their_folders() -> None:
    assert join_label_names(["utkface"]) == "utkface"
    assert (
        join_label_names(["utkface", "/home/ada/mine.csv", "sets/imdb.mat"])
        == "utkface + mine.csv + imdb.mat"
    )


def test_the_pack() -> None:
    expected = {"pack": "compact", "models": ["made up", "embedder"], "research_only": False}
    assert pack_section(PACK) == expected
    assert pack_section(replace(PACK, research_only=True)) == {**expected, "research_only": True}


def test_the_training_faces(everyone: LabelledFaces) -> None:
    source = np.where(np.arange(400) < 150, "agedb", "utkface")
    age = np.full(400, np.nan, np.float32)
    age[10:13] = 40, 3.5, 101
    train = replace(everyone, source=source, age=age)
    held_out = everyone.select(np.arange(400) < 9)
    assert training_section(train, held_out, "agedb + utkface", 0.1, True) == {
        "labels": "agedb + utkface",
        "faces": 400,
        "variants": 0,
        "ages": [3.5, 101],
        "held_out": 9,
        "held_out_share": 0.1,
        "split": True,
        "sources": {"agedb": 150, "utkface": 250},
        "images": asdict(everyone.counts),
    }
    one = training_section(everyone.without(["age"]), held_out, "utkface", 0, False)
    assert (one["ages"], one["sources"]) == (None, {})


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [({"training": {"faces": 3}}, {"faces": 3}), ({}, {}), ({"training": None}, {}), ({"training": [1]}, {})],
)
def test_a_section_that_may_be_missing(manifest: dict[str, Any], expected: dict[str, Any]) -> None:
    assert section(Heads(FINGERPRINT, 8, None, None, manifest), "training") == expected
