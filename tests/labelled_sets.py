"""Invented labelled faces from which age and gender can be predicted."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from caches import image, write

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces

DIMENSION = 24


def made_up(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return descriptors, ages and genders of n faces. Age and gender can be predicted with some noise, and
    no two faces are similar."""
    rng = np.random.default_rng(seed)
    age = np.where(rng.random(n) < 0.3, rng.integers(4, 16, n) * 5, rng.integers(1, 90, n)).astype(np.float32)
    gender = rng.integers(0, 2, n).astype(np.float32)
    x = rng.normal(size=(n, DIMENSION)) * 2
    x[:, 0] = age / 10 + rng.normal(size=n) * 0.4
    x[:, 1] = 4 * gender + rng.normal(size=n) * 0.6
    return x.astype(np.float32), age, gender


def labelled(
    folder: Path, x: np.ndarray, columns: dict[str, list[Any]], prefix: str = ""
) -> tuple[LabelledFaces, Cache]:
    """Write a cache and a table ``labels.csv`` with these columns; return the labelled faces and the
    cache."""
    n = len(x)
    images = [(f"{row}.jpg", image(f"{prefix}{row}", [x[row]])) for row in range(n)]
    cache = write(folder / "cache", images, dimension=x.shape[1])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *columns])
        writer.writerows(zip((f"{row}.jpg" for row in range(n)), *columns.values(), strict=True))
    return labelled_faces(cache, str(folder / "labels.csv")), cache
