"""The manifest of heads: what is needed is checked, and descriptions of another form are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arcage._version import HEADS_SCHEMA
from arcage.heads.manifest import SchemaError, parse_manifest
from arcage.heads.store import BUNDLED, MANIFEST

RECORD = {"file": "heads.npz", "bytes": 9, "sha256": "0" * 64}
NEEDED: dict[str, Any] = {"schema": HEADS_SCHEMA, "fingerprint": "f", "dimension": 8, "arrays": RECORD}


def read(folder: Path, **change: Any) -> dict[str, Any]:
    path = folder / MANIFEST
    path.write_text(json.dumps({name: v for name, v in {**NEEDED, **change}.items() if v != "missing"}))
    return parse_manifest(path.read_bytes())


def test_a_manifest_is_read_whole(tmp_path: Path) -> None:
    assert parse_manifest((BUNDLED / MANIFEST).read_bytes()) == json.loads(
        (BUNDLED / MANIFEST).read_text("utf-8")
    )
    assert read(tmp_path, images=None, more={"a": [1]}) == {**NEEDED, "images": None, "more": {"a": [1]}}


@pytest.mark.parametrize("name", ["fingerprint", "dimension", "arrays"])
@pytest.mark.parametrize("value", ["missing", None, [], {"sha256": 5}, -1, 1.5, True])
def test_what_is_needed_is_checked(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        read(tmp_path, **{name: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimension": 0}, "dimension is 0"),
        ({"dimension": 2**40}, "dimension is"),
        ({"images": "x"}, "images in the manifest"),
        ({"images": {"sha256": 1}}, "images in the manifest"),
        ({"schema": "missing"}, "no schema"),
    ],
)
def test_values_out_of_range(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(tmp_path, **change)


@pytest.mark.parametrize("schema", [1, 99, 4.0, True, "4", [4], None])
def test_other_schemas_are_told_apart_from_damage(tmp_path: Path, schema: Any) -> None:
    with pytest.raises(SchemaError):
        read(tmp_path, schema=schema)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pack", ["compact"]),
        ("models", "yunet"),
        ("models", [None]),
        ("research_only", 1),
        ("settings", "none"),
        ("settings", {"kind": ["x"]}),
        ("versions", {"arcage": 1}),
        ("training", []),
        ("training", {"faces": -1}),
        ("training", {"faces": "many"}),
        ("training", {"labels": None}),
        ("training", {"ages": [1]}),
        ("training", {"ages": ["a", "b"]}),
        ("training", {"variants": True}),
        ("adapted", {"training": {"labels": 5}}),
        ("sampling", {"outside": 1.5}),
        ("sampling", {"effects": []}),
    ],
)
def test_a_description_of_another_form_is_left_out(tmp_path: Path, name: str, value: Any) -> None:
    assert read(tmp_path, **{name: value}) == NEEDED


def test_descriptions_may_lack_values(tmp_path: Path) -> None:
    described = {"training": {"ages": None, "faces": 3}, "adapted": None, "sampling": None, "settings": {}}
    assert read(tmp_path, **described) == {**NEEDED, **described}


def test_many_groups_are_read_and_an_endless_manifest_is_not(tmp_path: Path) -> None:
    groups = {f"group {n}": {"mae": 4.0, "bias": 0.5} for n in range(30_000)}
    assert read(tmp_path, out_of_fold=groups)["out_of_fold"] == groups
    (tmp_path / MANIFEST).write_bytes(b" " * (1 << 24) + b"{}")
    with pytest.raises(ValueError, match="larger than 16,777,216 bytes"):
        parse_manifest((tmp_path / MANIFEST).read_bytes())
