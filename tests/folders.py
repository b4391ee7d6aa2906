"""Folders of images for the fake pipeline."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from fakes import FINGERPRINT, face, image

from arcage.cache import Cache


def photos(folder: Path, count: int) -> dict[str, str]:
    """Write images with 0, 1 or 2 faces, and one damaged; return their names by SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for number in range(count):
        data = image(*[face(number % 90)] * (number % 3), width=number + 1)
        if number == 7:
            data = b"text"
        name = f"{number:04d}.jpg"
        (folder / name).write_bytes(data)
        made[hashlib.sha256(data).hexdigest()] = name
    return made


def content(directory: Path) -> tuple[Any, ...]:
    """Return all that a reader sees of a cache, except where it is stored."""
    cache = Cache(directory, FINGERPRINT)
    table, names = cache.table(), cache.names()
    assert cache.verify() == ()
    where = {"shard", "descriptor", "parts", "dimension", "keys"}
    columns = [getattr(table, field.name) for field in fields(table) if field.name not in where]
    return (
        table.sha256(np.arange(len(table))),
        *(repr(column.tolist()) for column in columns),  # NaN is not equal to itself
        table.descriptors().tolist(),
        names.sha256(),
        names.names.tolist(),
    )
