"""Write and read label tables."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import pytest

from arcage.data.labels import Label
from arcage.data.tables import read_table
from arcage.errors import UsageError

NAN = math.nan


def plain(label: Label | None) -> tuple[object, ...] | None:
    """Return the values of a label without its line, with None instead of NaN, which is not equal to
    itself."""
    values = asdict(label) if label else {}
    return label and tuple(None if v != v else v for name, v in values.items() if name != "line")


def same(one: Label | None, other: Label | None) -> bool:
    return plain(one) == plain(other)


def write(folder: Path, text: str | bytes) -> Path:
    """Write ``labels.csv``."""
    path = folder / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def by_path(path: Path, columns: dict[str, str] | None = None) -> dict[str, Label]:
    """Return the labels in a table by path."""
    return {place.path: label for place, label in read_table(path, columns).labels.items()}


def read(folder: Path, text: str) -> dict[str, object]:
    """Return the values of the labels in a table by path."""
    return {name: plain(label) for name, label in by_path(write(folder, text)).items()}


def refused(folder: Path, text: str | bytes) -> str:
    """Return the error message for a table."""
    path = write(folder, text)
    with pytest.raises(UsageError) as raised:
        read_table(path)
    assert "labels.csv" in str(raised.value)
    return str(raised.value)
