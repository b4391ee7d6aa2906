"""Labelled faces as JSON records: image, box, labels and predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.cache import Names, to_keys
from arcage.data.labelled import LabelledFaces
from arcage.heads.model import Predictions
from arcage.types import Array

Records = list[dict[str, Any]]


def face_records(
    rows: Array, faces: LabelledFaces, predictions: Predictions, names: dict[str, list[str]]
) -> Records:
    """Return records of some faces, in the order of ``rows``.

    Args:
        rows: indices into ``faces``, shape (m,).
        faces, predictions: the labels and predictions of n faces.
        names: file names by sha256, as :func:`names_by_hash` returns them.

    Returns:
        For each face ``sha256``, ``names`` and ``face`` (which image and which of its faces), ``box``
        (x1, y1, x2, y2 in pixels), ``label_age``, ``age``, ``age_low``, ``age_high``, ``label_gender``,
        ``p_female``, ``group`` and ``thumbnail`` (False). Unknown values are None.
    """
    hashes = faces.table.sha256(faces.rows[rows])
    return [
        _face_record(row, sha256, names.get(sha256, []), predictions, faces)
        for row, sha256 in zip(rows.tolist(), hashes, strict=True)
    ]


def picture_key(record: dict[str, Any]) -> str:
    """Return a key for the picture of a face, which is unique among the faces of all images."""
    return f"{record['sha256']}.{record['face']}"


def names_by_hash(names: Names | None, hashes: list[str]) -> dict[str, list[str]]:
    """Return the file names of some images, by sha256."""
    found: dict[str, list[str]] = {}
    if names is not None and hashes:
        wanted = np.isin(names.keys, to_keys(hashes))
        selected = Names(names.names[wanted], names.keys[wanted])
        for name, sha256 in zip(selected.names, selected.sha256(), strict=True):
            found.setdefault(sha256, []).append(str(name))
    return found


def _face_record(
    row: int, sha256: str, names: list[str], predictions: Predictions, faces: LabelledFaces
) -> dict[str, Any]:
    at = int(faces.rows[row])
    gender = faces.gender[row]
    return {
        "sha256": sha256,
        "names": names,
        "face": int(faces.table.face[at]),
        "box": [float(side) for side in faces.table.boxes[at]],
        "label_age": _finite(faces.age[row]),
        "age": _finite(predictions.age[row]),
        "age_low": _finite(predictions.age_low[row]),
        "age_high": _finite(predictions.age_high[row]),
        "label_gender": None if np.isnan(gender) else "female" if gender == 1 else "male",
        "p_female": _finite(predictions.p_female[row]),
        "group": str(faces.group[row]),
        "thumbnail": False,
    }


def _finite(value: np.float32) -> float | None:
    return float(value) if np.isfinite(value) else None
