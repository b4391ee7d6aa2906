"""The boxes and values of faces in the formats of annotation tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from arcage.output.rows import DECIMALS, json_row
from arcage.types import Prediction

_VALUES = ("face", "age", "age_low", "age_high", "gender", "p_female", "familiarity")

_RELATIVE_DECIMALS = 6
"""Decimals of a relative box: a millionth of the width is less than a pixel."""


def images(rows: Sequence[Prediction]) -> Iterator[tuple[str, list[Prediction]]]:
    """Yield the rows of each image with its path; rows of the same image follow each other."""
    for path, group in groupby(rows, key=attrgetter("path")):
        yield path, list(group)


def inner_box(row: Prediction) -> tuple[float, float, float, float]:
    """Return x, y, width and height of the part of a face's box that is inside the image, pixels.

    Raises:
        ValueError: the row has no box, or no size of the image.
    """
    if row.image_size is None or row.x1 is None or row.y1 is None or row.x2 is None or row.y2 is None:
        raise ValueError(f"{row.path}: the row has no box in an image of known size")
    width, height = row.image_size
    x1, x2 = (min(max(x, 0.0), width) for x in (row.x1, row.x2))
    y1, y2 = (min(max(y, 0.0), height) for y in (row.y1, row.y2))
    return x1, y1, x2 - x1, y2 - y1


def pixel_box(row: Prediction) -> list[float]:
    """Return :func:`inner_box` with the decimals of the columns."""
    return [round(value, DECIMALS["x1"]) for value in inner_box(row)]


def relative_box(row: Prediction, whole: float = 1.0) -> list[float]:
    """Return :func:`inner_box` as parts of the width and height of the image, which are ``whole``."""
    x, y, w, h = inner_box(row)
    assert row.image_size is not None
    width, height = row.image_size
    decimals = _RELATIVE_DECIMALS if whole == 1 else _RELATIVE_DECIMALS - 2
    return [round(whole * value, decimals) for value in (x / width, y / height, w / width, h / height)]


def attributes(row: Prediction, more: Sequence[str]) -> dict[str, float | str]:
    """Return what is predicted for a face, by column, without missing values."""
    values = json_row(row, more)
    return {name: values[name] for name in (*_VALUES, *more) if values[name] is not None}
