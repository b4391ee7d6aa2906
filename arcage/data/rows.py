"""Faces as rows for JSON: who is shown, what the label says and what heads answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcage.cache import Names, to_keys
from arcage.data.labelled import LabelledFaces
from arcage.heads.model import Predictions
from arcage.types import Array

Rows = list[dict[str, Any]]


def face_rows(rows: Array, faces: LabelledFaces, answers: Predictions, called: dict[str, list[str]]) -> Rows:
    """Some of the faces, in the order of ``rows``.

    Args:
        called: file names by the image's sha256, as :func:`names_of` gives them.

    Returns:
        Each face's image by ``sha256`` and ``names`` (as many as the cache knows), its ``box`` (pixels), its
        labels and answers (None where unknown), and ``thumbnail``, False.
    """
    hashes = faces.table.sha256(faces.rows[rows])
    return [
        _face_row(row, sha256, called.get(sha256, []), answers, faces)
        for row, sha256 in zip(rows.tolist(), hashes, strict=True)
    ]


def picture_key(face: dict[str, Any]) -> str:
    """Identify a face in a report: an image may have several faces."""
    return f"{face['sha256']}.{face['face']}"


def names_of(names: Names | None, hashes: list[str]) -> dict[str, list[str]]:
    """The file names of some images, by sha256."""
    called: dict[str, list[str]] = {}
    if names is not None and hashes:
        here = np.isin(names.keys, to_keys(hashes))
        few = Names(names.names[here], names.keys[here])
        for name, sha256 in zip(few.names, few.sha256(), strict=True):
            called.setdefault(sha256, []).append(str(name))
    return called


def _face_row(
    row: int, sha256: str, names: list[str], answers: Predictions, faces: LabelledFaces
) -> dict[str, Any]:
    at = int(faces.rows[row])
    gender = faces.gender[row]
    return {
        "sha256": sha256,
        "names": names,
        "face": int(faces.table.face[at]),
        "box": [float(side) for side in faces.table.boxes[at]],
        "label_age": _number(faces.age[row]),
        "age": _number(answers.age[row]),
        "age_low": _number(answers.age_low[row]),
        "age_high": _number(answers.age_high[row]),
        "label_gender": None if np.isnan(gender) else "female" if gender == 1 else "male",
        "p_female": _number(answers.p_female[row]),
        "group": str(faces.group[row]),
        "thumbnail": False,
    }


def _number(value: np.float32) -> float | None:
    return float(value) if np.isfinite(value) else None
