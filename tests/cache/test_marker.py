"""Markers: a changed value is noticed, and those of earlier versions are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arcage.cache.marker import ChangedError, MarkerForm, check_seal, sealed

FORM = MarkerForm(("npy",), {"schema": 1}, ("rows",), ("min_face",))
FILE = {"bytes": 9, "xxh3": "0123abcd" * 4, "sha256": "5" * 64}
FACTS: dict[str, Any] = {"schema": 1, "rows": 3, "min_face": 12, "files": {"npy": FILE}}
OLD: dict[str, Any] = {**FACTS, "files": {"npy": {"bytes": 9, "sha256": "5" * 64}}}


def parse(facts: object) -> dict[str, Any]:
    return FORM.parse(json.dumps(facts).encode())


def test_markers_are_read() -> None:
    assert parse(sealed(FACTS)) == FACTS
    assert parse(sealed({**FACTS, "later": [1]})) == {**FACTS, "later": [1]}
    assert parse(OLD) == OLD
    assert "min_face" not in parse({key: value for key, value in OLD.items() if key != "min_face"})


def test_every_changed_byte_is_noticed() -> None:
    text = json.dumps(sealed(FACTS))
    for at in range(len(text)):
        for other in "0a}x":
            if other != text[at]:
                with pytest.raises((ValueError, KeyError, TypeError)):
                    FORM.parse((text[:at] + other + text[at + 1 :]).encode())


def test_a_lost_checksum_is_noticed() -> None:
    for facts in (FACTS, {**OLD, "later": 1}, {**sealed(OLD)}):
        with pytest.raises(ChangedError):
            parse(facts)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"rows": True},
        {"rows": 3.0},
        {"rows": 1 << 40},
        {"min_face": "12"},
        {"files": {}},
        {"files": {"npy": {**FILE, "bytes": 1 << 40}}},
        {"files": {"npy": {**FILE, "xxh3": "0123ABCD" * 4}}},
        {"files": {"npy": {**FILE, "xxh3": 7}}},
        {"files": {"npy": {"bytes": 9, "sha256": "5" * 64}}},
    ],
)
def test_values_that_are_not_possible(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse(sealed({**FACTS, **change}))


@pytest.mark.parametrize("record", [None, [], "text", 7, {"checksum": None}, {"checksum": ["x"]}])
def test_what_is_no_record(record: object) -> None:
    with pytest.raises(ValueError, match=r"record|differs"):
        check_seal(record, ["a"])
