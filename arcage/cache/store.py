"""The cache of one pipeline: which images it has, and what they gave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from arcage._version import CACHE_SCHEMA
from arcage.cache import pipeline as pipelines
from arcage.cache.keys import I64, Keys, find, first_copies, to_keys
from arcage.cache.names import NameLog, Names
from arcage.cache.parts import Damaged, DamageError, Part, PartFolder, read_error
from arcage.cache.shard import (
    SUFFIXES,
    Rows,
    ShardBuffer,
    coarseness,
    descriptor_rows,
    image_at,
    map_descriptors,
    min_face,
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
    """Where every image is. Never changed, only replaced, so that readers in other threads need no lock."""

    parts: tuple[Part, ...]
    keys: Keys
    """Sorted, each once."""
    part: Array
    """The part that has the image, as an index into ``parts``."""
    start: I64
    """The image's first row in that part."""


class Cache:
    """The descriptors of one pipeline under ``directory``; opened, or created where ``dimension`` is given.

    ``fingerprint`` names the pipeline (letters, digits, ``.``, ``_``, ``-``); ``dimension`` is the number of
    columns of its descriptors; ``pipeline`` describes it for people and is kept in ``pipeline.json``. An
    existing cache is opened without writing to it, so a read-only folder will do.

    Raises CacheError where there is no such cache and no ``dimension`` to create it, where the one that is
    there has another dimension or schema, and where the folder cannot be read or created.

    Threads may share a cache; unpickling reopens it. Images that other writers add are visible after
    :meth:`refresh`.
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
                f"{fingerprint!r} cannot name a pipeline in a cache: take letters, digits, '.', '_' and '-'."
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
        if found is None:
            raise CacheError(_nothing_here(self.directory, fingerprint, pipeline or {}))
        self.dimension = found.dimension
        self.pipeline = found.description
        self._folder = PartFolder(
            self.path,
            SUFFIXES,
            {"schema": CACHE_SCHEMA, "fingerprint": fingerprint, "dimension": self.dimension},
        )
        self._names = NameLog(self.directory)
        self._lock = threading.RLock()
        # A batch asks for images in nearly the order in which they were written, but of as many shards at
        # once as there were writers. To read a shard's rows takes milliseconds, so many are kept (0.3 MB
        # each); to map a file (4 MB) a tenth of one, and a map holds the file open.
        self._rows_of = lru_cache(maxsize=128)(_read_shard)
        self._map_of = lru_cache(maxsize=8)(map_descriptors)
        self._index: _Index | None = None
        self._parts: tuple[Part, ...] = ()
        self._bad: tuple[Damaged, ...] = ()
        self.refresh()

    def __reduce__(self) -> tuple[type[Cache], tuple[Path, str]]:
        # Reopened, perhaps by a process with another working directory.
        return Cache, (self.directory.absolute(), self.fingerprint)

    @staticmethod
    def fingerprints(directory: str | Path) -> list[str]:
        """The pipelines that have a cache under ``directory``, sorted."""
        try:
            return sorted(
                entry.name
                for entry in Path(directory).iterdir()
                if pipelines.is_fingerprint(entry.name) and (entry / pipelines.FILE).is_file()
            )
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise read_error(Path(directory), error) from error

    def refresh(self) -> None:
        """See what other writers added since. Raises CacheError where the folder cannot be read."""
        with self._lock:
            found, self._bad = self._folder.scan(self._parts)
            parts = _by_preference(found)
            if parts != self._parts:
                self._parts, self._index = parts, None

    @property
    def damaged(self) -> tuple[Damaged, ...]:
        """Shards and names that are marked as done and cannot be used. What they held counts as missing.

        Print them: each says what to do. Sizes are checked on opening and by :meth:`refresh`, the form of the
        parquet files when they are first read; only :meth:`verify` reads everything.
        """
        return self._bad + self._names.damaged()

    def __len__(self) -> int:
        """The number of images, those without a face and the unreadable included."""
        return len(self._indexed().keys)

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and not self.missing([sha256])[0]

    def missing(self, hashes: Sequence[str] | Keys) -> NDArray[np.bool_]:
        """Which of the images (64 hexadecimal digits each, or keys) are not in the cache.

        Shape (len(hashes),). Raises ValueError for what is not a sha256.
        """
        absent: NDArray[np.bool_] = find(self._indexed().keys, _as_keys(hashes)) < 0
        return absent

    def covers(self, image: ImageFaces) -> bool:
        """Whether the cache has this image, from a search at least as fine."""
        index = self._indexed()
        at = int(find(index.keys, to_keys([image.sha256]))[0])
        if at < 0:
            return False
        return coarseness(min_face(index.parts[index.part[at]])) <= coarseness(image.min_face)

    def get(self, sha256: str) -> ImageFaces | None:
        """What one image gave, None where it is not in the cache. For many images take :meth:`table`."""
        key = to_keys([sha256])
        while True:
            index = self._indexed()
            at = int(find(index.keys, key)[0])
            if at < 0:
                return None
            part = index.parts[index.part[at]]
            shard = self._unless_damaged(self._rows_of, part)
            if shard is not None:
                return image_at(*shard, int(index.start[at]), part, self._map_of)

    def table(self) -> CacheTable:
        """Every image once, as columns. Descriptors stay on disk until they are asked for."""
        with self._lock:
            shards = [(part, self._unless_damaged(read_rows, part)) for part in self._parts]
            return build_table([(part, rows) for part, rows in shards if rows is not None], self.dimension)

    def names(self) -> Names:
        """All file names under ``directory``, of every pipeline and every writer, up to now.

        Some may be of images that this pipeline has not seen: join by key.
        """
        return self._names.read()

    def append(self, images: ShardBuffer) -> None:
        """Write a shard. For :class:`ShardWriter`, which has checked that each image is new or finer."""
        part = images.write(self._folder)
        with self._lock:
            if part in self._parts:  # another thread's refresh came between
                return
            self._parts = _by_preference((*self._parts, part))
            if self._index is not None:
                self._index = _added(self._index, part, images.keys(), images.starts())

    def append_names(self, names: Sequence[str], hashes: Sequence[str]) -> int:
        """Keep file names of images. Pairs that are known already are not written again.

        Names of images that are not in this cache are dropped: a name must not outlive a crash that its
        image did not. Returns how many were written.
        """
        keys = to_keys(hashes)
        kept = np.flatnonzero(~self.missing(keys))
        return self._names.append([names[row] for row in kept.tolist()], keys[kept]) if len(kept) else 0

    def verify(self) -> tuple[Damaged, ...]:
        """Read every byte and compare with what was written; returns what is damaged, by size or content."""
        parts, damaged = self._folder.scan()
        changed = tuple(bad for part in parts if (bad := self._folder.verify(part)))
        return damaged + changed + self._names.verify()

    def unfinished(self) -> list[Path]:
        """Return files without a marker, of writers that are running or were killed. Raises CacheError."""
        return self._folder.unfinished() + self._names.unfinished()

    def clean(self, older_than: float = DAY) -> list[Path]:
        """Remove the files of writers that died, where they are ``older_than`` seconds old; returns which.

        Nothing that is marked as done is touched, damaged or not, and nothing that is not of arcage's making.
        """
        return self._folder.clean(older_than) + self._names.clean(older_than)

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
        """Read from a part; where it turns out to be damaged, take it out of the cache and give None."""
        try:
            return read(part)
        except DamageError as error:
            with self._lock:
                self._bad += (part.damaged(str(error)),)
                self._parts = tuple(other for other in self._parts if other != part)
                self._index = None
            return None


def _by_preference(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Sort by preference: the copy of the finest search first, then the oldest."""
    return tuple(sorted(parts, key=lambda part: (coarseness(min_face(part)), part.name)))


def _read_shard(part: Part) -> tuple[Rows, I64]:
    rows = read_rows(part)
    return rows, descriptor_rows(rows.face)


def _added(index: _Index, part: Part, keys: Keys, start: I64) -> _Index | None:
    """The index with one more part; None where it must be built anew."""
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
    others = []
    for other in Cache.fingerprints(directory):
        try:
            found = pipelines.read_pipeline(directory / other, None)
        except CacheError:
            found = None
        others.append(pipelines.pipeline_name(found.description if found else {}, other))
    if not others:
        return (
            f"{directory} is not a descriptor cache yet. Run `arcage extract` with --cache {directory} first."
        )
    wanted = pipelines.pipeline_name(pipeline, fingerprint)
    return (
        f"{directory} has no descriptors of the pipeline {wanted}, only of "
        f"{', '.join(dict.fromkeys(others))}. Choose the pack that made them with --pack, or run "
        "`arcage extract` with the current one first."
    )
