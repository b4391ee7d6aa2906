"""Read labels from the exports of Label Studio: JSON, JSON-MIN and CSV.

A labelling interface asks for each image, or for each box (``perRegion="true"``), with Choices, Number or
TextArea tags. The name of a tag is the name of its answers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from arcage.data.exported import ExportedLabel, as_text, with_name_of_box
from arcage.data.rows import MAX_LINE, Row
from arcage.errors import UsageError
from arcage.readers.strict_json import parse_json

_OF_RECORDS = frozenset(
    {"id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time", "agreement"}
)
"""Columns of JSON-MIN and CSV that are neither data nor answers."""
_IMAGE_KEYS = ("image", "img", "photo", "picture", "url", "path", "file")
_GEOMETRY = ("x", "y", "width", "height")
_OF_BOX = frozenset({*_GEOMETRY, "rotation", "original_width", "original_height", "type", "id", "parentID"})
_LABELS = ("rectanglelabels", "labels", "ellipselabels", "polygonlabels")
_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif"})

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class _Region:
    """What was answered about a box, or about the image."""

    answers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    """Label of the box."""
    box: Box | None = None


def is_label_studio(header: Collection[str]) -> bool:
    """Return whether a CSV file with these columns is an export."""
    return {"annotation_id", "annotator", "lead_time"} <= set(header)


def from_tasks(tasks: Sequence[Any], image_key: str | None = None) -> list[ExportedLabel]:
    """Return the labels of an export as JSON.

    The last annotation of a task counts, or the last of those that are marked as ground truth. Skipped tasks
    and predictions do not count.

    Args:
        tasks: as parsed from JSON.
        image_key: name of the image in the data of a task; None to find it.

    Raises:
        ValueError: the tasks have another form.
    """
    labels = []
    for index, task in enumerate(tasks):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise ValueError(f"entry {index} is not a task with data")
        number = task["id"] if isinstance(task.get("id"), int) else index
        made = [one for one in _list(task.get("annotations", task.get("completions"))) if _counts(one)]
        if not made:
            continue
        last = max(made, key=lambda one: (bool(one.get("ground_truth")), _time(one)))
        results = [one for one in _list(last.get("result")) if isinstance(one, dict)]
        path = image_path(_image(task["data"], image_key, number))
        labels += _labels(number, path, *_regions(results))
    return labels


def from_minimal(records: Iterable[Any], image_key: str | None = None) -> list[ExportedLabel]:
    """Return the labels of an export as JSON-MIN or CSV. Of a task, the last annotation counts.

    Answers about boxes have lost their box. They are in the order of the boxes, if there are as many.

    Raises:
        ValueError: the records have another form, or answers cannot be told apart.
    """
    newest: dict[Any, tuple[int, dict[str, Any]]] = {}
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise ValueError(f"entry {index} is not a task")
        number = record["id"] if isinstance(record.get("id"), int) else index
        before = newest.get(number)
        if before is None or _time(before[1]) <= _time(record):
            newest[number] = number, record
    labels = []
    for number, record in newest.values():
        key = image_key if image_key in record else None
        image = _image({name: record[name] for name in record if name not in _OF_RECORDS}, key, number)
        answers = {
            name: value
            for name, value in record.items()
            if name not in _OF_RECORDS and name != image_key and value is not image
        }
        labels += _labels(number, image_path(image), *_regions_in_order(number, answers))
    return labels


def table_records(path: Path, header: Sequence[str], rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Yield the records of an export as CSV, in which lists are JSON.

    Raises:
        UsageError: a cell is damaged.
    """
    for number, cells in rows:
        record: dict[str, Any] = {}
        for name, cell in zip(header, cells, strict=False):
            record[name] = cell
            if cell.startswith(("[", "{")) or (name == "id" and cell):
                try:
                    record[name] = parse_json(cell, max_bytes=MAX_LINE)
                except ValueError as error:
                    raise UsageError(f"{path}, line {number}: {name[:50]} is damaged ({error})") from None
        yield {name: value for name, value in record.items() if value != ""}


def image_path(text: str) -> str:
    """Return the path of an image without what Label Studio puts around it.

    ``/data/local-files/?d=folder/a.jpg`` is ``folder/a.jpg``, and ``s3://bucket/folder/a%20b.jpg`` is
    ``folder/a b.jpg``.
    """
    if "://" not in text and "?d=" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path).lstrip("/")


def _regions(results: Iterable[dict[str, Any]]) -> tuple[_Region, list[_Region]]:
    """Return what was answered about the image, and about each box."""
    whole, regions = _Region(), dict[str, _Region]()
    for result in results:
        value = result.get("value")
        if not isinstance(value, dict):
            continue
        box = _box(value, result)
        region = whole
        if box is not None:
            region = regions.setdefault(str(result.get("id")), _Region(box=box))
        _add(region, str(result.get("from_name", "")), value)
    return whole, list(regions.values())


def _regions_in_order(number: int, answers: Mapping[str, Any]) -> tuple[_Region, list[_Region]]:
    """Return the same from answers by name, of which only some have the box."""
    whole, regions = _Region(), dict[Box, _Region]()
    listed = {name: value if isinstance(value, list) else [value] for name, value in answers.items()}
    for values in listed.values():
        for value in values:
            box = _box(value, value) if isinstance(value, dict) else None
            if box is not None:
                regions.setdefault(box, _Region(box=box))
    for name, values in listed.items():
        for index, value in enumerate(values):
            box = _box(value, value) if isinstance(value, dict) else None
            if box is not None:
                region = regions[box]
            elif len(values) == len(regions):
                region = list(regions.values())[index]
            elif len(values) == 1 or not regions:
                region = whole
            else:
                raise ValueError(
                    f"task {number} has {len(regions)} boxes and {len(values)} answers to {name[:50]}: which "
                    "belongs to which is only in the export as JSON"
                )
            _add(region, name, value if isinstance(value, dict) else {"text": value})
    return whole, list(regions.values())


def _add(region: _Region, name: str, value: Mapping[str, Any]) -> None:
    """Add an answer to a region."""
    for kind, content in value.items():
        if kind in _LABELS:
            region.name = as_text(content) or region.name
            region.answers[name] = region.name
        elif kind not in _OF_BOX and (text := as_text(content)):
            region.answers[name] = text


def _labels(number: int, path: str, whole: _Region, regions: list[_Region]) -> list[ExportedLabel]:
    """Return the labels of an image. What was answered about the image belongs to its only box."""
    if len(regions) == 1:
        regions[0].answers = {**whole.answers, **regions[0].answers}
    elif not regions:
        regions = [whole]
    return [
        ExportedLabel("task", number, path, with_name_of_box(region.answers, region.name), region.box)
        for region in regions
    ]


def _box(value: Mapping[str, Any], of_image: Mapping[str, Any]) -> Box | None:
    """Return the upright box around a rectangle that is given in percent of the image, pixels."""
    numbers = [value.get(name) for name in _GEOMETRY]
    sizes = [of_image.get("original_width"), of_image.get("original_height")]
    if not all(isinstance(one, int | float) for one in (*numbers, *sizes)):
        return None
    x, y, width, height = (float(one) / 100 * sizes[i % 2] for i, one in enumerate(numbers))  # type: ignore
    turn = value.get("rotation") or 0
    turn = math.radians(turn) if isinstance(turn, int | float) else 0.0
    # It is turned around its upper left corner, clockwise.
    across = (0.0, width * math.cos(turn), -height * math.sin(turn))
    down = (0.0, width * math.sin(turn), height * math.cos(turn))
    xs = [x + dx for dx in (*across, across[1] + across[2])]
    ys = [y + dy for dy in (*down, down[1] + down[2])]
    if not (max(xs) > min(xs) and max(ys) > min(ys)):
        return None
    return min(xs), min(ys), max(xs), max(ys)


def _image(data: Mapping[str, Any], key: str | None, number: int) -> str:
    """Return the image of a task: the data of that name, of a usual name, or with the suffix of an image."""
    named = [key] if key is not None else [name for name in _IMAGE_KEYS if name in data]
    values = [data.get(name) for name in named] + ([] if key else list(data.values()))
    found = [one for one in values if isinstance(one, str)]
    images = [one for one in found if PurePosixPath(image_path(one)).suffix.lower() in _IMAGES]
    texts = images or found[: len(named)]
    if not texts or texts[0].startswith("data:"):
        raise ValueError(f"task {number} names no image; it has {', '.join(data) or 'no data'}"[:300])
    return texts[0]


def _counts(annotation: Any) -> bool:
    return isinstance(annotation, dict) and not (annotation.get("was_cancelled") or annotation.get("skipped"))


def _time(annotation: Mapping[str, Any]) -> str:
    """Return when an annotation was last changed. ISO 8601 is in alphabetical order."""
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
