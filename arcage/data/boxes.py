"""The boxes of faces that a user gave for many images."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arcage.errors import UsageError
from arcage.sources.own_faces import face_problem
from arcage.sources.source import Source
from arcage.sources.url import is_url
from arcage.text import counted
from arcage.types import F32, Array, FacesFrom, GivenFaces

SWAPPED = [1, 0, 2, 4, 3]
"""The order of landmarks of which left and right are those of the person, not of the image."""
SHOWN = 5
"""Maximum number of wrong rows in an error message."""
_SAMPLE = 100
"""Number of paths, over the whole file, by which the folder of relative paths is recognised."""
_STANDARD_INPUT = "-"
_KEY_BYTES = 16
"""A million digests take less memory than the paths."""
_NO_BOX = (float("nan"),) * 4
_NO_POINTS = (float("nan"),) * 10


@dataclass(frozen=True, slots=True)
class BoxRow:
    """One row: an image, and perhaps a face of it."""

    where: str
    """Its place in the file, such as ``line 3``."""
    path: str
    box: Sequence[float]
    """x1, y1, x2, y2; empty for an image without a box."""
    landmarks: Sequence[float]
    """Ten numbers, or none."""


class Boxes:
    """The boxes of a file, by image. They take about 25 bytes a row, and 40 more with landmarks.

    Args:
        path: the file.
        rows: what is in it.
        keep_paths: whether :meth:`images` is needed; the paths take memory.

    Raises:
        UsageError: a row is wrong, or there is none.
    """

    faces_from: FacesFrom = "boxes"

    def __init__(self, path: Path, rows: Iterable[BoxRow], *, keep_paths: bool = False) -> None:
        self._file = path
        self._paths: dict[str, None] | None = {} if keep_paths else None
        self._samples: list[str] = []
        keys, values, points = bytearray(), array("f"), array("f")
        wrong: list[str] = []
        count, stride, more_wrong = 0, 1, 0
        for row in rows:
            if problem := face_problem(row.box, row.landmarks) if row.box else "":
                more_wrong += len(wrong) == SHOWN
                wrong = [*wrong, f"{path}, {row.where}: {problem}"][:SHOWN]
                continue
            count += 1
            if count % stride == 0:
                self._samples.append(row.path)
                if len(self._samples) > 2 * _SAMPLE:
                    del self._samples[::2]
                    stride *= 2
            if self._paths is not None:
                self._paths[row.path] = None
            keys += _key(row.path)
            values.extend(row.box or _NO_BOX)
            if row.landmarks and not points:
                points.extend(_NO_POINTS * (len(keys) // _KEY_BYTES - 1))
            if row.landmarks or points:
                points.extend(row.landmarks or _NO_POINTS)
        if wrong:
            raise UsageError(*wrong, *([f"and {more_wrong:,} more such rows"] if more_wrong else []))
        if not keys:
            raise UsageError(f"{path} has no boxes and no images")
        self._keys, self._starts, order = _grouped(np.frombuffer(keys, f"S{_KEY_BYTES}"))
        self._boxes: F32 = np.frombuffer(values, np.float32).reshape(-1, 4)[order]
        self._landmarks: F32 | None = None
        if points:
            self._landmarks = _by_image_side(np.frombuffer(points, np.float32).reshape(-1, 5, 2))[order]
        self._used = np.zeros(len(self._keys), bool)
        self._folder = os.getcwd()

    def choose_folder(self, folders: Iterable[str]) -> None:
        """Choose the folder of relative paths: the one with most of a sample of the images, or the first.

        Args:
            folders: the candidates, the preferred one first.
        """
        relative = [path for path in self._samples if not (os.path.isabs(path) or is_url(path))]
        best = -1
        for folder in dict.fromkeys(map(os.path.abspath, folders)):
            found = sum(os.path.lexists(os.path.join(folder, path.split("#")[0])) for path in relative)
            if found > best:
                best, self._folder = found, folder

    def images(self) -> tuple[str, ...]:
        """Return the paths of the images, each once, in their order in the file."""
        assert self._paths is not None
        here = os.getcwd()
        return tuple(
            path if is_url(path) or self._folder == here else os.path.join(self._folder, path)
            for path in self._paths
        )

    def faces_of(self, source: Source) -> GivenFaces:
        """Return the faces of an image, in the order of the file; none if it has no box there."""
        rows = [row for name in self._names(source) if (row := self._find(name)) is not None]
        parts = [slice(self._starts[row], self._starts[row + 1]) for row in rows]
        self._used[rows] = True
        boxes = np.concatenate([np.empty((0, 4), np.float32), *(self._boxes[part] for part in parts)])
        landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
        if self._landmarks is not None and parts:
            landmarks = np.concatenate([self._landmarks[part] for part in parts])
        has_box = ~np.isnan(boxes[:, 0])
        return GivenFaces(boxes[has_box], landmarks[has_box])

    def remark(self) -> str:
        """Return how many boxes are of images that :meth:`faces_of` was not asked for; empty if none."""
        first, has_box = self._starts[:-1], ~np.isnan(self._boxes[:, 0])
        boxes = np.add.reduceat(has_box, first, dtype=np.int64) if len(first) else first
        unused = (boxes > 0) & ~self._used
        if not unused.any():
            return ""
        count = int(boxes[unused].sum())
        examples = [path for path in self._samples if (row := self._find(path)) is not None and unused[row]]
        such = f", such as {examples[0]}" if examples else ""
        belong = "belongs" if count == 1 else "belong"
        images = counted(int(unused.sum()), "image that was", "images that were")
        return (
            f"{self._file}: {counted(count, 'box', 'boxes')} {belong} to {images} not given{such}; "
            f"relative paths are those in {self._folder}"
        )

    def _names(self, source: Source) -> list[str]:
        """Return the paths under which an image may be in the file."""
        if is_url(source.path) or source.data is not None:
            return [source.path]
        path = os.path.abspath(source.path)
        try:
            return [path, os.path.relpath(path, self._folder)]
        except ValueError:  # another drive
            return [path]

    def _find(self, path: str) -> int | None:
        key = np.frombuffer(_key(path), f"S{_KEY_BYTES}")
        row = int(np.searchsorted(self._keys, key)[0])
        return row if row < len(self._keys) and self._keys[row] == key[0] else None


def _key(path: str) -> bytes:
    """Return a digest of a path."""
    if not is_url(path) and path != _STANDARD_INPUT:
        path = os.path.normpath(path)
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def _grouped(keys: Array) -> tuple[Array, Array, Array]:
    """Return the sorted unique keys, the first row of each and the end, and the order of the rows."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    return keys[new], np.append(np.flatnonzero(new), len(keys)), order


def _by_image_side(landmarks: F32) -> F32:
    """Return the landmarks with left and right as in the image.

    Some programs give those of the person, which looks like a mirrored face: no camera sees one. Faces in
    profile may be ambiguous, so the majority decides for all of a file.
    """
    eyes = landmarks[:, 1] - landmarks[:, 0]
    down = landmarks[:, 3:].mean(axis=1) - landmarks[:, :2].mean(axis=1)
    side = eyes[:, 0] * down[:, 1] - eyes[:, 1] * down[:, 0]
    mirrored = np.count_nonzero(side < 0) > np.count_nonzero(side > 0)
    return landmarks[:, SWAPPED] if mirrored else landmarks
