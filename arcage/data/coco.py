"""Read labels from COCO annotations: attributes of a box (CVAT, FiftyOne), or the names of categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arcage.data.exported import ExportedLabel, as_text, with_name_of_box

_OF_COCO = frozenset(
    {"id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd", "ignore", "keypoints"}
    | {"num_keypoints", "attributes", "score"}
)


def from_coco(document: Mapping[str, Any]) -> list[ExportedLabel]:
    """Return the label of each annotation.

    Args:
        document: as parsed from JSON.

    Raises:
        ValueError: it is not COCO.
    """
    images = _names(document, "images", "file_name")
    categories = _names(document, "categories", "name")
    labels = []
    for number, entry in enumerate(_entries(document, "annotations", "image_id")):
        if entry.get("iscrowd"):
            continue
        if entry["image_id"] not in images:
            raise ValueError(f"annotation {entry['id']!r} is of an image that is not listed")
        attributes = entry.get("attributes")
        answers = {name: value for name, value in entry.items() if name not in _OF_COCO}
        answers |= attributes if isinstance(attributes, dict) else {}
        category = categories.get(entry.get("category_id"), "")
        texts = {name: as_text(value) for name, value in answers.items()}
        labels.append(
            ExportedLabel(
                "annotation",
                entry["id"] if isinstance(entry["id"], int) else number,
                images[entry["image_id"]],
                with_name_of_box({"category": category, **texts}, category),
                _box(entry.get("bbox")),
            )
        )
    return labels


def _names(document: Mapping[str, Any], name: str, needed: str) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for entry in _entries(document, name, needed):
        text = str(entry[needed])
        if found.setdefault(entry["id"], text) != text:
            raise ValueError(f"two {name} have the id {str(entry['id'])[:50]}: give each its own")
    return found


def _entries(document: Mapping[str, Any], name: str, needed: str) -> list[dict[str, Any]]:
    entries = document.get(name, [])
    if not isinstance(entries, list):
        raise ValueError(f"{name} is no list")
    for entry in entries:
        if not isinstance(entry, dict) or needed not in entry or not isinstance(entry.get("id"), int | str):
            raise ValueError(f"an entry of {name} has no id or no {needed}")
        if not isinstance(entry.get("image_id", 0), int | str) or not isinstance(
            entry.get("category_id", 0), int | str
        ):
            raise ValueError(f"an entry of {name} refers to something that is no number")
    return entries


def _box(bbox: Any) -> tuple[float, float, float, float] | None:
    """Convert x, y, width, height; None for annotations of whole images."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    if not all(isinstance(value, int | float) for value in bbox) or min(bbox[2:]) <= 0:
        return None
    x, y, width, height = map(float, bbox)
    return x, y, x + width, y + height
