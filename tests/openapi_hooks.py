"""Teach schemathesis what a zip of photos and JSON lines are; it imports this module itself."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import schemathesis
from hypothesis import strategies

NAMES = strategies.text(max_size=20).map(lambda name: f"x{name}.jpg")


def _zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.encode("utf-8", "replace").decode(), data)
    return file.getvalue()


schemathesis.openapi.media_type(
    "application/zip",
    strategies.dictionaries(NAMES, strategies.binary(max_size=50), min_size=1, max_size=3).map(_zipped),
)


@schemathesis.serializer("application/zip")
def send_zip(context: Any, value: Any) -> Any:
    """Send a value as it is."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.deserializer("application/x-ndjson")
def read_lines(context: Any, response: Any) -> Any:
    """Return the first row, to which the schema of each applies."""
    return json.loads(response.text.splitlines()[0])
