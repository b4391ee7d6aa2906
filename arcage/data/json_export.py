"""Read the JSON files that annotation tools export."""

from __future__ import annotations

from pathlib import Path

from arcage.data.coco import from_coco
from arcage.data.exported import ExportedLabel
from arcage.data.label_studio import from_minimal, from_tasks
from arcage.errors import UsageError
from arcage.readers.regular_file import read_regular
from arcage.readers.strict_json import parse_json

MAX_BYTES = 1 << 30
"""Limit of the size of an export: 1 GiB."""


def read_json_export(path: Path, image_key: str | None = None) -> list[ExportedLabel]:
    """Read an export of Label Studio (JSON or JSON-MIN), or COCO annotations.

    Args:
        path: the file.
        image_key: name of the image in the data of a task of Label Studio; None to find it.

    Raises:
        OSError: the file cannot be read.
        UsageError: it is something else, or damaged.
    """
    try:
        data = read_regular(path, MAX_BYTES).removeprefix(b"\xef\xbb\xbf")
        content = parse_json(data, max_bytes=MAX_BYTES)
        if isinstance(content, dict) and {"images", "annotations"} <= set(content):
            return from_coco(content)
        if isinstance(content, list):
            keys = {key for entry in content if isinstance(entry, dict) for key in entry}
            if keys & {"annotations", "completions"}:
                return from_tasks(content, image_key)
            if "annotation_id" in keys:
                return from_minimal(content, image_key)
    except ValueError as error:
        raise UsageError(f"cannot read the labels {path}: {error}") from None
    raise UsageError(
        f"cannot read the labels {path}: it is neither an export of Label Studio nor COCO; tables have "
        "one object a line (.jsonl)"
    )
