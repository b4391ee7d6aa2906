"""The cache of one pipeline: its images and their results."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from arcage.cache import pipeline as pipelines
from arcage.cache.keys import I64, Keys, find, first_copies, to_keys
from arcage.cache.names import NameLog, Names
from arcage.cache.parts import (
    Damaged,
    DamageError,
    Part,
    PartFolder,
    damage_texts,
    has_parts,
    read_error,
)
from arcage.cache.shard import (
    Rows,
    ShardBuffer,
    coarseness,
    descriptor_rows,
    image_at,
    marker_form,
    min_face,
    read_damage,
    read_rows,
    read_starts,
)
from arcage.cache.table import CacheTable, build_table
from arcage.errors import CacheError
from arcage.files import DAY
from arcage.types import Array, ImageFaces

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """Location of every image. It is replaced, never modified, so readers in other threads need no lock."""

    parts: tuple[Part, ...]
    keys: Keys
    """Sorted and unique."""
    part: Array
    """The part of each image, as an index into ``parts``."""
    start: I64
    """The first row of each image in its part."""


class Cache:
    """The descriptors of one pipeline in a folder.

    An existing cache is opened without writing to it, so the folder may be read-only. Threads may share a
    cache; unpickling reopens it. Images that other writers add are visible after :meth:`refresh`.

    Args:
        directory: the folder.
        fingerprint: name of the pipeline (letters, digits, ``.``, ``_``, ``-``).
        dimension: number of columns of its descriptors. If it is given, a missing cache is created.
        pipeline: description for people, which is stored in ``pipeline.json``.

    Raises:
        CacheError: the cache does not exist and ``dimension`` is None, the cache has another dimension or
            schema, or the folder cannot be read or created.
    """

    def __init__(
        self,
        directory: str | Path,
        fingerprint: str,
        *,
        dimension: int | None = None,
        pipeline: Mapping[str, object] | None = None,
    ) -> None:
        if not pipelines.is_fingerprint(fingerprint):
            raise CacheError(
                f"{fingerprint!r} cannot name a pipeline in a cache: use letters, digits, '.', '_' and '-'."
            )
        if dimension is not None and dimension < 1:
            raise ValueError(f"a descriptor has at least one column, not {dimension}")
        self.directory = Path(directory)
        self.fingerprint = fingerprint
        self.path = self.directory / fingerprint
        found = pipelines.read_pipeline(self.path, dimension)
        if found is None and dimension is not None:
            pipelines.write_pipeline(self.path, fingerprint, dimension, pipeline or {})
            found = pipelines.read_pipeline(self.path, dimension)
        if found is None and has_parts(self.path):
            raise CacheError(
                f"{self.path} has descriptors, but its {pipelines.FILE} was lost. Run the same extraction"
                " again: the file is written again, and the descriptors stay valid."
            )
        if found is None:
            raise CacheError(_nothing_here(self.directory, fingerprint, pipeline or {}))
        self.dimension = found.dimension
        self.pipeline = found.description
        self._folder = PartFolder(self.path, marker_form(fingerprint, self.dimension))
        self._names = NameLog(self.directory)
        self._lock = threading.RLock()
        # Images are requested in nearly the order in which they were written, but from as many shards at once
        # as there were writers. Reading the rows of a shard takes milliseconds, so many are kept (0.3 MB
        # each).
        self._rows_of = lru_cache(maxsize=128)(_read_shard)
        self._index: _Index | None = None
        self._parts: tuple[Part, ...] = ()
        self._bad: tuple[Damaged, ...] = ()
        self.refresh()

    def __reduce__(self) -> tuple[type[Cache], tuple[Path, str]]:
        # Reopened, perhaps by a process with another working directory.
        return Cache, (self.directory.absolute(), self.fingerprint)

    @staticmethod
    def fingerprints(directory: str | Path) -> list[str]:
        """Return the pipelines that have a cache under ``directory``, sorted. Some may be damaged."""
        try:
            return sorted(
                entry.name
                for entry in Path(directory).iterdir()
                if pipelines.is_fingerprint(entry.name)
                and (os.path.lexists(entry / pipelines.FILE) or has_parts(entry))
            )
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise read_error(Path(directory), error) from error

    def refresh(self) -> None:
        """Make images that other writers have added visible. Raises CacheError if the folder cannot be
        read."""
        with self._lock:
            found, self._bad = self._folder.scan(self._parts)
            parts = _by_preference(found)
            if parts != self._parts:
                self._parts, self._index = parts, None

    @property
    def damaged(self) -> tuple[Damaged, ...]:
        """Shards and names that are marked as done and cannot be used. Their content counts as missing.

        Converted to text, each says what to do. Sizes are checked on opening and by :meth:`refresh`,
        checksums when a file is first used. Only :meth:`verify` reads everything.
        """
        return self._bad + self._names.damaged()

    def __len__(self) -> int:
        """The number of images, including those without a face and unreadable ones."""
        return len(self._indexed().keys)

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and not self.missing([sha256])[0]

    def missing(self, hashes: Sequence[str] | Keys) -> NDArray[np.bool_]:
        """Return which images are not in the cache, shape (len(hashes),), bool.

        Args:
            hashes: 64 hexadecimal digits each, or keys.

        Raises:
            ValueError: a hash is not a sha256.
        """
        absent: NDArray[np.bool_] = find(self._indexed().keys, _as_keys(hashes)) < 0
        return absent

    def covers(self, image: ImageFaces) -> bool:
        """Whether the cache has this image from a search that is at least as fine."""
        index = self._indexed()
        at = int(find(index.keys, to_keys([image.sha256]))[0])
        if at < 0:
            return False
        return coarseness(min_face(index.parts[index.part[at]])) <= coarseness(image.min_face)

    def get(self, sha256: str) -> ImageFaces | None:
        """Return the result for one image, or None if it is not in the cache. For many images use
        :meth:`table`."""
        key = to_keys([sha256])
        while True:
            index = self._indexed()
            at = int(find(index.keys, key)[0])
            if at < 0:
                return None
            part, start = index.parts[index.part[at]], int(index.start[at])
            image = self._unless_damaged(partial(self._image, start), part)
            if image is not None:
                return image

    def table(self) -> CacheTable:
        """Return every image once, as columns. Descriptors are read from disk when they are needed."""
        with self._lock:
            shards = [(part, self._unless_damaged(read_rows, part)) for part in self._parts]
            return build_table([(part, rows) for part, rows in shards if rows is not None], self.dimension)

    def names(self) -> Names:
        """Return all file names under ``directory``, of every pipeline and every writer.

        Some may be of images that this pipeline has not processed: join by key.
        """
        return self._names.read()

    def append(self, images: ShardBuffer) -> None:
        """Write a shard. For :class:`ShardWriter`, which has checked that each image is new or finer."""
        part = images.write(self._folder)
        with self._lock:
            if part in self._parts:  # refreshed by another thread
                return
            self._parts = _by_preference((*self._parts, part))
            if self._index is not None:
                self._index = _added(self._index, part, images.keys(), images.starts())

    def append_names(self, names: Sequence[str], hashes: Sequence[str]) -> int:
        """Write file names of images that are not stored yet, and return their number.

        Names of images that are not in this cache are dropped: after a crash there must not be a name without
        its image.
        """
        keys = to_keys(hashes)
        kept = np.flatnonzero(~self.missing(keys))
        return self._names.append([names[row] for row in kept.tolist()], keys[kept]) if len(kept) else 0

    def verify(self) -> tuple[Damaged, ...]:
        """Read all files, and return the parts that have changed or cannot be used."""
        parts, damaged = self._folder.scan()
        changed = tuple(bad for part in parts if (bad := self._folder.verify(part) or read_damage(part)))
        return damaged + changed + self._names.verify()

    def unfinished(self) -> list[Path]:
        """Return files without a marker, of writers that are running or were killed. Raises CacheError."""
        return self._folder.unfinished() + self._names.unfinished()

    def remarks(self) -> list[str]:
        """Return what a reader of the whole cache should know: damaged parts, and parts without a marker.

        Raises CacheError if the folder cannot be read.
        """
        damaged = self.damaged
        texts = damage_texts(damaged)
        reported = {damage.path.with_suffix("") for damage in damaged}
        unmarked = [*self._folder.unmarked(), *self._names.unmarked()]
        unmarked = [part for part in unmarked if part not in reported]
        if unmarked:
            more = f" and {len(unmarked) - 1:,} more" if len(unmarked) > 1 else ""
            texts.append(
                f"without a marker in the cache: {unmarked[0]}.*{more}. Their content is left out. An"
                " extraction is running or was killed, or the marker was lost: run the same extraction again."
            )
        return texts

    def clean(self, older_than: float = DAY) -> list[Path]:
        """Remove and return files of killed writers that are older than ``older_than`` seconds.

        Parts that are marked as done are kept, even damaged ones, and files that arcage did not write.
        """
        return self._folder.clean(older_than) + self._names.clean(older_than)

    def _image(self, start: int, part: Part) -> ImageFaces:
        return image_at(*self._rows_of(part), start, part)

    def _indexed(self) -> _Index:
        index = self._index
        if index is None:
            with self._lock:
                index = self._index = self._index or self._build()
        return index

    def _build(self) -> _Index:
        found = [(part, self._unless_damaged(read_starts, part)) for part in self._parts]
        images = [(part, *starts) for part, starts in found if starts is not None]
        keys = np.concatenate([np.empty(0, "S32"), *(keys for _, keys, _ in images)])
        start = np.concatenate([np.empty(0, np.int64), *(start for _, _, start in images)])
        number = np.repeat(np.arange(len(images)), [len(keys) for _, keys, _ in images])
        order = first_copies(keys, np.arange(len(keys)))
        return _Index(tuple(part for part, _, _ in images), keys[order], number[order], start[order])

    def _unless_damaged(self, read: Callable[[Part], _T], part: Part) -> _T | None:
        """Read from a part. If it is damaged, drop it from the cache and return None."""
        try:
            return read(part)
        except DamageError as error:
            with self._lock:
                if part in self._parts:  # no other thread has found the damage
                    self._bad += (part.damaged(str(error)),)
                    self._parts = tuple(other for other in self._parts if other != part)
                    self._index = None
            return None


def _by_preference(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Sort by preference: the finest search first, then the oldest."""
    return tuple(sorted(parts, key=lambda part: (coarseness(min_face(part)), part.name)))


def _read_shard(part: Part) -> tuple[Rows, I64]:
    rows = read_rows(part)
    return rows, descriptor_rows(rows.face)


def _added(index: _Index, part: Part, keys: Keys, start: I64) -> _Index | None:
    """Return the index with one more part, or None if it must be rebuilt."""
    if (find(index.keys, keys) >= 0).any():
        return None
    order = np.argsort(keys)
    at = np.searchsorted(index.keys, keys[order])
    return _Index(
        parts=(*index.parts, part),
        keys=np.insert(index.keys, at, keys[order]),
        part=np.insert(index.part, at, len(index.parts)),
        start=np.insert(index.start, at, start[order]),
    )


def _as_keys(hashes: Sequence[str] | Keys) -> Keys:
    return hashes if isinstance(hashes, np.ndarray) else to_keys(hashes)


def _nothing_here(directory: Path, fingerprint: str, pipeline: Mapping[str, object]) -> str:
    wanted = pipelines.pipeline_name(pipeline, unnamed=fingerprint)
    others: dict[str, None] = {}
    for other in Cache.fingerprints(directory):
        try:
            found = pipelines.read_pipeline(directory / other, None)
        except CacheError:
            found = None
        description = found.description if found else {}
        # Callers that do not describe their pipeline know it by its fingerprint.
        name = pipelines.pipeline_name(description) if pipeline else other
        others[f"another version of {name}, or of arcage" if name == wanted else name] = None
    if not others:
        return (
            f"{directory} is not a descriptor cache yet. Run `arcage extract` with `cache` {directory} first."
        )
    return (
        f"{directory} has no descriptors of the pipeline {wanted}, only of "
        f"{', '.join(others)}. Choose the `pack` that computed them; if an earlier version of "
        "arcage did, run `arcage extract` again."
    )
