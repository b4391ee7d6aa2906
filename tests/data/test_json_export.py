"""JSON files of labels: which tool wrote them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from exported_labels import EXPORTS

from arcage.data.exported import ExportedLabel
from arcage.data.json_export import export_labels, read_json_file
from arcage.data.tables import read_table
from arcage.errors import UsageError


def labels_of(path: Path) -> list[ExportedLabel]:
    found = export_labels(path, read_json_file(path))
    assert found is not None
    return found


def test_the_tool_is_recognised(tmp_path: Path) -> None:
    items = {name: labels_of(EXPORTS / f"{name}.json")[0].item for name in ("label-studio", "cvat-coco")}
    assert items == {"label-studio": "task", "cvat-coco": "annotation"}
    assert len(labels_of(EXPORTS / "label-studio-min.json")) == 4
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + (EXPORTS / "label-studio.json").read_bytes())
    assert len(labels_of(marked)) == 4


def test_a_list_of_objects_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '[{"path": "a.jpg", "age": 3, "note": [1]}, {"path": "b.jpg", "age": null, "gender": "f"}]'
    )
    assert {place.path: (label.age, label.line) for place, label in read_table(path).labels.items()} == {
        "a.jpg": (3, 1),
        "b.jpg": (pytest.approx(math.nan, nan_ok=True), 2),
    }
    path.write_text('[{"path": "a.jpg", "age": 300}]')
    with pytest.raises(UsageError, match=r"a\.json, object 1: '300' is not an age"):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "needs a first line"),
        ("[3]", "object 1: give an object"),
        ('[{"path": "a.jpg", "age": [3]}]', "object 1: age is not text or a number"),
        ('{"path": "a.jpg"}', "neither an export of Label Studio, nor COCO"),
        ("3", "neither"),
        (
            '[{"data": {}}, {"data": {}, "predictions": []}]',
            "have predictions only; export them after labelling",
        ),
        ('{"images": ', "cannot read the labels"),
        ("[" * 1000 + "]" * 1000, "nested"),
        ('[{"annotations": 1e999}]', "out of range"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        read_table(path)
