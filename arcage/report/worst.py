"""Find the faces with the largest errors. Often their label is wrong."""

from __future__ import annotations

import numpy as np

from arcage.audit.records import Records, face_records, names_by_hash
from arcage.cache import Names
from arcage.data.labelled import LabelledFaces
from arcage.heads.model import Predictions
from arcage.types import Array

MANY = 24
"""Maximum number of faces for each attribute."""


def worst_faces(
    predictions: Predictions, faces: LabelledFaces, names: Names | None = None
) -> dict[str, Records]:
    """Return the faces with the largest errors, largest first, for JSON.

    Returns:
        ``age``: by absolute error. ``gender``: wrong predictions, by their probability. Each is a record of
        :func:`arcage.audit.records.face_records`; its ``thumbnail`` is False until
        :func:`arcage.report.thumbnail.thumbnails` finds the image.
    """
    error = np.abs(predictions.age - faces.age)
    wrong = np.where(faces.gender == 1, 1 - predictions.p_female, predictions.p_female)
    wrong[~np.isfinite(faces.gender) | ((predictions.p_female >= 0.5) == (faces.gender == 1))] = np.nan
    chosen = {"age": _largest(error), "gender": _largest(wrong)}
    called = names_by_hash(names, faces.table.sha256(faces.rows[np.concatenate(list(chosen.values()))]))
    return {attribute: face_records(rows, faces, predictions, called) for attribute, rows in chosen.items()}


def _largest(values: Array) -> Array:
    """Return the indices of the largest values, in order; the first one of equal values."""
    order = np.argsort(-values, kind="stable")
    return order[np.isfinite(values[order])][:MANY]
