"""A shard: the faces and descriptors of up to a few thousand images, in a .npy and a .parquet file.

The Parquet file has one row per face, and one row for an image without a face. The .npy file has the
descriptors of the rows with a face, in the same order. Neither contains a path or a file name.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from arcage._version import CACHE_SCHEMA
from arcage.cache.arrow import Kind, keys_to_arrow, printable, read_columns, to_parquet
from arcage.cache.keys import I64, Keys, to_hex, to_keys
from arcage.cache.marker import MarkerForm
from arcage.cache.parts import Damaged, DamageError, Part, PartFolder
from arcage.errors import CacheError
from arcage.readers.npy import parse_npy
from arcage.types import F16, F32, Array, Face, ImageFaces, Status

COLUMNS: Mapping[str, Kind] = {
    "sha256": "key",
    "face": "whole",
    "faces": "whole",
    "width": "whole",
    "height": "whole",
    "x1": "number",
    "y1": "number",
    "x2": "number",
    "y2": "number",
    "landmarks": "ten numbers",
    "det_score": "number",
    "status": "repeated text",
    "error": "text",
}
"""The columns of the Parquet file."""

_INFINITE, _NEGATIVE = 0x7C00, 0x8000
"""Bits of float16: those of infinity, and the sign."""

SUFFIXES = ("npy", "parquet")
"""Endings of the files of a shard, besides its marker."""

_FACELESS = ("no_face", "unreadable")


def marker_form(fingerprint: str, dimension: int) -> MarkerForm:
    """Return the form of a shard's marker."""
    stamp = {"schema": CACHE_SCHEMA, "fingerprint": fingerprint, "dimension": dimension}
    return MarkerForm(SUFFIXES, stamp, ("images", "rows", "faces"), ("min_face",))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a cache as columns: one row per face, or one row for an image without a face."""

    keys: Keys
    """Shape (n,), dtype S32: the sha256 of the image's bytes (``arcage.cache.to_hex`` gives the digits)."""
    face: Array
    """Shape (n,), int32: 0 for the face with the highest score, then 1, 2, ...; -1 without a face."""
    faces: Array
    """Shape (n,), int32: number of faces in the image."""
    width: Array
    """Shape (n,), int32: width of the upright image, pixels; 0 if unreadable."""
    height: Array
    """Shape (n,), int32: height of the upright image, pixels; 0 if unreadable."""
    boxes: F32
    """Shape (n, 4): x1, y1, x2, y2 in pixels; NaN without a face."""
    landmarks: F32
    """Shape (n, 5, 2): x and y, in the order of :class:`arcage.types.Face`; NaN without a face."""
    scores: F32
    """Shape (n,): detector scores, 0 to 1; NaN without a face."""
    status: Array
    """Shape (n,), str objects: ``ok``, ``no_face`` or ``unreadable``."""
    error: Array
    """Shape (n,), str objects: why the image is unreadable, otherwise empty."""

    def __len__(self) -> int:
        return len(self.keys)


class ShardBuffer:
    """Images that will be written as one shard."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.nbytes = 0
        """Size of the descriptors."""
        self.rows = 0
        """Number of rows in the Parquet file."""
        self._images: dict[str, tuple[list[tuple[Any, ...]], F16]] = {}
        self._min_face: int | None = 0

    def __len__(self) -> int:
        """The number of images."""
        return len(self._images)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._images

    def append(self, image: ImageFaces) -> None:
        """Add a copy of the result for one image. Raises CacheError for invalid values."""
        descriptors = self._checked(image)
        # A shard is as fine as the coarsest search of its images.
        if image.min_face is None or self._min_face is None:
            self._min_face = None
        else:
            self._min_face = max(self._min_face, image.min_face)
        shared = (len(image.faces), image.width, image.height, image.status, printable(image.error))
        rows = [(image.sha256, index, *shared, *_numbers(face)) for index, face in enumerate(image.faces)]
        rows = rows or [(image.sha256, -1, *shared, *[np.nan] * 15)]
        # In one statement: after an interrupt between two, an incomplete image would be written.
        self._images[image.sha256] = (rows, descriptors)
        self.nbytes += descriptors.nbytes
        self.rows += len(rows)

    def keys(self) -> Keys:
        """Return the keys of the images, in the order in which they were added."""
        return to_keys(list(self._images))

    def starts(self) -> I64:
        """Return the first row of each image, shape (len(self),), int64."""
        lengths = np.array([len(rows) for rows, _ in self._images.values()], dtype=np.int64)
        return np.cumsum(lengths) - lengths

    def write(self, folder: PartFolder) -> Part:
        """Write one shard. Raises OSError if a file cannot be written."""
        descriptors = np.concatenate([descriptors for _, descriptors in self._images.values()])
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(descriptors))
        rows = [row for rows, _ in self._images.values() for row in rows]
        files = {
            "npy": (header.getvalue(), descriptors.reshape(-1).view(np.uint8)),
            "parquet": (_to_parquet(rows),),
        }
        facts = {"images": len(self), "rows": len(rows), "faces": len(descriptors)}
        if self._min_face is not None:
            facts["min_face"] = self._min_face
        return folder.write(files, facts)

    def _checked(self, image: ImageFaces) -> F16:
        # Values outside the range of float16 become infinite, which is an error below.
        with np.errstate(over="ignore"):
            descriptors = np.array(image.descriptors, dtype=np.float16, order="C")
        expected = (len(image.faces), self.dimension)
        if descriptors.shape != expected:
            raise CacheError(
                f"image {image.sha256} has descriptors of shape {descriptors.shape} instead of {expected}:"
                " they are of another pack or version. Open the cache with the fingerprint of that one."
            )
        if not np.isfinite(descriptors).all():
            raise CacheError(
                f"image {image.sha256} has descriptors that are not finite in float16: the model or the"
                " device is faulty. Try `device` cpu, and check the model files with `arcage doctor`."
            )
        if (image.status == "ok") != bool(image.faces):
            raise CacheError(
                f"image {image.sha256} has the status {image.status} and {len(image.faces)} faces, but ok"
                " means at least one. This is a bug in the extraction, please report it."
            )
        return descriptors


def min_face(part: Part) -> int | None:
    """Return ``min_face`` of the search; see :class:`arcage.types.ImageFaces`."""
    value = part.facts.get("min_face")
    return value if isinstance(value, int) else None


def coarseness(min_face: int | None) -> float:
    """Return a sort key for copies of an image: lower for a finer search."""
    return math.inf if min_face is None else min_face


def read_starts(part: Part) -> tuple[Keys, I64]:
    """Return the keys of the images in a shard, and the first row of each. Raises DamageError, CacheError."""
    columns = read_columns(part, {name: COLUMNS[name] for name in ("sha256", "face")})
    starts = _starts(columns["sha256"], columns["face"], part)
    return columns["sha256"][starts], starts


def read_rows(part: Part) -> Rows:
    """Read all columns of a shard. Raises DamageError, CacheError."""
    columns = read_columns(part, COLUMNS)
    rows = Rows(
        keys=columns["sha256"],
        face=columns["face"],
        faces=columns["faces"],
        width=columns["width"],
        height=columns["height"],
        boxes=np.stack([columns[name] for name in ("x1", "y1", "x2", "y2")], axis=1),
        landmarks=columns["landmarks"].reshape(-1, 5, 2),
        scores=columns["det_score"],
        status=columns["status"],
        error=columns["error"],
    )
    starts = _starts(rows.keys, rows.face, part)
    faces = np.add.reduceat(rows.face >= 0, starts, dtype=np.int64) if len(starts) else starts
    has_face = rows.face >= 0
    consistent = (
        np.array_equal(rows.faces, np.repeat(faces, np.diff(starts, append=len(rows))))
        and (rows.status[has_face] == "ok").all()
        and np.isin(rows.status[~has_face], _FACELESS).all()
        and all(np.isfinite(values[has_face]).all() for values in (rows.boxes, rows.landmarks, rows.scores))
        and min(rows.width.min(initial=0), rows.height.min(initial=0)) >= 0
    )
    if not consistent:
        raise DamageError(f"{part.name}.parquet has rows that are not those of a shard")
    return rows


def _starts(keys: Keys, face: Array, part: Part) -> I64:
    """Return the first row of each image, after checking that the faces of an image follow each other."""
    descriptors = part.facts["faces"] * part.facts["dimension"] * 2
    first = face <= 0
    starts = np.flatnonzero(first)
    follows = (face[1:] == face[:-1] + 1) & (face[:-1] >= 0) & (keys[1:] == keys[:-1])
    if (
        not first[:1].all()
        or not (first[1:] | follows).all()
        or face.min(initial=-1) < -1
        or len(starts) != part.facts["images"]
        or np.count_nonzero(face >= 0) != part.facts["faces"]
        or descriptors > part.facts["files"]["npy"]["bytes"]
    ):
        raise DamageError(f"{part.name}.parquet has rows that are not those of a shard")
    return starts


def read_descriptors(part: Part, start: int = 0, stop: int | None = None) -> F16:
    """Return the descriptors of some faces of a shard, shape (stop - start, dimension), read-only.

    The first call in a process reads the whole file and compares it with the marker.

    Args:
        part: the shard.
        start: the first row of the file.
        stop: the row after the last one; None for all.

    Raises:
        DamageError: the file has changed since it was written, or is not of the form that arcage writes.
        CacheError: the file cannot be read for another reason.
    """
    faces, dimension = part.facts["faces"], part.facts["dimension"]
    stop = faces if stop is None else stop
    if "npy" not in part.intact:
        array = _checked_descriptors(part.read("npy"), part)
        part.intact.add("npy")
        return array[start:stop]
    row = 2 * dimension
    header = part.facts["files"]["npy"]["bytes"] - faces * row
    data = part.read_span("npy", header + start * row, (stop - start) * row)
    return np.frombuffer(data, np.float16).reshape(-1, dimension)


def read_damage(part: Part) -> Damaged | None:
    """Read a whole shard, and return what is wrong with it. Raises CacheError."""
    try:
        read_rows(part)
        read_descriptors(part)
    except DamageError as error:
        return part.damaged(str(error))
    return None


def _checked_descriptors(data: bytes, part: Part) -> F16:
    expected = (part.facts["faces"], part.facts["dimension"])
    try:
        array: F16 = parse_npy(data)
    except ValueError as error:
        raise DamageError(f"{part.name}.npy cannot be read ({error})") from error
    if array.dtype != np.float16 or array.shape != expected or not array.flags.c_contiguous:
        raise DamageError(f"{part.name}.npy has {array.dtype} {array.shape} instead of float16 {expected}")
    # Infinity and NaN are the largest numbers of each sign. NumPy's isfinite is ten times slower.
    if (
        array.view(np.int16).max(initial=0) >= _INFINITE
        or array.view(np.uint16).max(initial=0) >= _NEGATIVE | _INFINITE
    ):
        raise DamageError(f"{part.name}.npy has values that are not finite")
    return array


def descriptor_rows(face: Array) -> I64:
    """Return the row in the .npy file for each row of a shard; -1 without a face."""
    has_face = face >= 0
    return np.where(has_face, np.cumsum(has_face) - 1, -1)


def image_at(rows: Rows, descriptor: I64, start: int, part: Part) -> ImageFaces:
    """Return the image whose rows begin at ``start``. Raises DamageError, CacheError.

    Args:
        rows: of the shard.
        descriptor: of :func:`descriptor_rows` for the shard.
        start: the image's first row.
        part: the shard.
    """
    count = int(rows.faces[start])
    if count:
        first = int(descriptor[start])
        descriptors = read_descriptors(part, first, first + count).copy()
    else:
        descriptors = np.empty((0, part.facts["dimension"]), dtype=np.float16)
    status: Status = rows.status[start]
    return ImageFaces(
        sha256=to_hex(rows.keys[start : start + 1])[0],
        width=int(rows.width[start]),
        height=int(rows.height[start]),
        status=status,
        error=str(rows.error[start]),
        faces=tuple(
            Face(
                box=rows.boxes[row].copy(),
                landmarks=rows.landmarks[row].copy(),
                score=float(rows.scores[row]),
            )
            for row in range(start, start + count)
        ),
        descriptors=descriptors,
        min_face=min_face(part),
    )


def no_rows() -> Rows:
    """Return columns without rows."""
    whole, number, text = np.empty(0, np.int32), np.float32, np.empty(0, object)
    return Rows(
        keys=np.empty(0, "S32"),
        face=whole,
        faces=whole,
        width=whole,
        height=whole,
        boxes=np.empty((0, 4), number),
        landmarks=np.empty((0, 5, 2), number),
        scores=np.empty(0, number),
        status=text,
        error=text,
    )


def _to_parquet(rows: list[tuple[Any, ...]]) -> Any:
    import pyarrow as pa

    hashes, face, faces, width, height, status, error, *numbers = zip(*rows, strict=True)
    landmarks = np.array(numbers[4:14], dtype=np.float32).T.reshape(-1)
    table = pa.table(
        {
            "sha256": keys_to_arrow(to_keys(hashes)),
            "face": pa.array(face, pa.int32()),
            "faces": pa.array(faces, pa.int32()),
            "width": pa.array(width, pa.int32()),
            "height": pa.array(height, pa.int32()),
            **{
                name: pa.array(values, pa.float32())
                for name, values in zip(("x1", "y1", "x2", "y2"), numbers, strict=False)
            },
            "landmarks": pa.FixedSizeListArray.from_arrays(pa.array(landmarks), 10),
            "det_score": pa.array(numbers[14], pa.float32()),
            "status": pa.array(status, pa.string()).dictionary_encode(),
            "error": pa.array(error, pa.string()),
        }
    )
    return to_parquet(table, dictionary=["status", "error"])


def _numbers(face: Face) -> list[float]:
    box = np.asarray(face.box, dtype=np.float32).reshape(4)
    landmarks = np.asarray(face.landmarks, dtype=np.float32).reshape(10)
    return [*box.tolist(), *landmarks.tolist(), face.score]
