"""Read the JSON files that annotation tools export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arcage.data.coco import from_coco
from arcage.data.exported import ExportedLabel
from arcage.data.label_studio import from_minimal, from_tasks
from arcage.errors import UsageError
from arcage.readers.regular_file import read_regular
from arcage.readers.strict_json import parse_json

MAX_BYTES = 1 << 30
"""Limit of the size of an export: 1 GiB."""


def read_json_file(path: Path) -> Any:
    """Return the content of a file of labels.

    Raises:
        OSError: it cannot be read.
        UsageError: it is not JSON.
    """
    try:
        data = read_regular(path, MAX_BYTES).removeprefix(b"\xef\xbb\xbf")
        return parse_json(data, max_bytes=MAX_BYTES)
    except ValueError as error:
        raise UsageError(f"cannot read the labels {path}: {error}") from None


def export_labels(path: Path, content: Any, image_key: str | None = None) -> list[ExportedLabel] | None:
    """Return the labels of an export of Label Studio (JSON or JSON-MIN), or of COCO annotations.

    Args:
        path: the file, for errors.
        content: its content.
        image_key: name of the image in the data of a task of Label Studio; None to find it.

    Returns:
        None if it is something else, such as a table.

    Raises:
        UsageError: it is damaged.
    """
    try:
        if isinstance(content, dict) and {"images", "annotations"} <= set(content):
            return from_coco(content)
        if isinstance(content, list):
            keys = {key for entry in content if isinstance(entry, dict) for key in entry}
            if keys & {"annotations", "completions"}:
                return from_tasks(content, image_key)
            if "annotation_id" in keys:
                return from_minimal(content, image_key)
            if {"data", "predictions"} <= keys:
                raise ValueError(
                    "its tasks of Label Studio have predictions only; export them after labelling"
                )
    except ValueError as error:
        raise UsageError(f"cannot read the labels {path}: {error}") from None
    return None
