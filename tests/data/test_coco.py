"""COCO annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exported_labels import TRUTH, read_export

from arcage.data.coco import from_coco
from arcage.data.tables import read_table
from arcage.errors import UsageError


def test_attributes_and_categories_of_boxes(tmp_path: Path) -> None:
    """The file has the age and gender as attributes, once the gender as category, and another folder in
    front of all names."""
    assert read_export(tmp_path, "cvat-coco.json") == TRUTH


def document(**annotation: Any) -> dict[str, Any]:
    return {
        "images": [{"id": "i", "file_name": "x/a.jpg"}],
        "categories": [{"id": 1, "name": "20-29"}],
        "annotations": [{"id": 5, "image_id": "i", **annotation}],
    }


def test_values_beside_the_box_and_ages_as_categories() -> None:
    (label,) = from_coco(document(category_id=1, bbox=[1, 2, 30, 40], gender="f", area=3))
    assert (label.number, label.path, label.box) == (5, "x/a.jpg", (1, 2, 31, 42))
    assert label.answers == {"category": "20-29", "gender": "f", "age": "20-29"}
    (label,) = from_coco(document(category_id=1, attributes={"age": 33.5}))
    assert (label.box, label.answers["age"]) == (None, "33.5")
    assert from_coco(document(iscrowd=1, bbox=[0, 0, 9, 9])) == []


@pytest.mark.parametrize("bbox", [[], [1, 2, 3], [0, 0, 0, 5], ["a", 1, 2, 3], 7, None])
def test_annotations_without_a_box_are_of_the_image(bbox: Any) -> None:
    assert from_coco(document(bbox=bbox))[0].box is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": 3}, "images is no list"),
        ({"images": [{"id": 1}]}, "an entry of images has no id or no file_name"),
        ({"images": [{"file_name": "a"}]}, "an entry of images has no id"),
        ({"annotations": [{"id": 1, "image_id": 9}]}, "annotation 1 is of an image that is not listed"),
        ({"annotations": [{"id": 1, "image_id": []}]}, "no number"),
        ({"annotations": [{"id": 1, "image_id": "i", "category_id": {}}]}, "no number"),
        ({"annotations": [4]}, "an entry of annotations"),
        ({"categories": [{"id": {}, "name": "a"}]}, "an entry of categories"),
        ({"images": [{"id": 1, "file_name": n} for n in "aba"]}, "two images have the id 1: give each"),
        ({"categories": [{"id": 1, "name": n} for n in ("male", "female")]}, "two categories have the id 1"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({**document(), **changed}))
    with pytest.raises(UsageError, match=words):
        read_table(path)


def test_wrong_values_are_reported_by_annotation(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document(attributes={"age": "old"})))
    with pytest.raises(UsageError, match=r"coco\.json, annotation 5: 'old' is not an age"):
        read_table(path)
