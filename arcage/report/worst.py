"""The faces that are read worst, to look at: often it is the label that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from arcage.audit.records import Records, face_records, names_by_hash, picture_key
from arcage.cache import Names
from arcage.data.labelled import LabelledFaces
from arcage.errors import ImageError
from arcage.files import read_bytes, sha256_bytes, spelled_on_disk
from arcage.heads.model import Predictions
from arcage.images.decode import decode
from arcage.report.thumbnail import thumbnail
from arcage.types import U8, Array

MANY = 24


def worst_faces(answers: Predictions, faces: LabelledFaces, names: Names | None = None) -> dict[str, Records]:
    """The faces with the largest errors, largest first, ready for JSON.

    Returns:
        ``age``: by absolute error in years. ``gender``: those that contradict their label, by how sure the
        answer is. Each is a record of :func:`arcage.audit.records.face_records`; its ``thumbnail`` is False
        until :func:`thumbnails` finds the image.
    """
    error = np.abs(answers.age - faces.age)
    sure = np.where(faces.gender == 1, 1 - answers.p_female, answers.p_female)
    sure[~np.isfinite(faces.gender) | ((answers.p_female >= 0.5) == (faces.gender == 1))] = np.nan
    chosen = {"age": _largest(error), "gender": _largest(sure)}
    called = names_by_hash(names, faces.table.sha256(faces.rows[np.concatenate(list(chosen.values()))]))
    return {which: face_records(rows, faces, answers, called) for which, rows in chosen.items()}


def thumbnails(worst: dict[str, Records], folders: Sequence[Path]) -> dict[str, bytes]:
    """Small JPEGs of the faces, by :func:`picture_key`, read from the folders that were extracted.

    An image is taken only where its content is that of the cache: a file may have been replaced, and a
    wrong face beside a label is worse than none. Marks the faces that have one.
    """
    found: dict[str, bytes] = {}
    for face in (face for rows in worst.values() for face in rows):
        key = picture_key(face)
        if key not in found and (image := _read(folders, face["names"], face["sha256"])) is not None:
            found[key] = thumbnail(image, np.array(face["box"]))
        face["thumbnail"] = key in found
    return found


def _largest(values: Array) -> Array:
    """The rows of the largest values, in order; of equal ones the first."""
    order = np.argsort(-values, kind="stable")
    return order[np.isfinite(values[order])][:MANY]


def _read(folders: Sequence[Path], names: list[str], sha256: str) -> U8 | None:
    for folder, name in product(folders, names):
        try:
            data = read_bytes(spelled_on_disk(folder, name))
            if sha256_bytes(data) == sha256:
                return decode(data)
        except ImageError:
            continue
    return None
