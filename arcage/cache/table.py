"""The content of a cache as columns, to fit heads on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import DTypeLike

from arcage.cache.keys import I64, Keys, find, first_copies, to_hex
from arcage.cache.parts import DamageError, Part
from arcage.cache.shard import Rows, coarseness, descriptor_rows, min_face, no_rows, read_descriptors
from arcage.errors import CacheError
from arcage.types import Array


@dataclass(frozen=True, slots=True, eq=False)
class CacheTable(Rows):
    """Every image of a cache once, sorted by sha256 and then by face.

    The order does not depend on the order of extraction, so heads that are fitted on two caches of the same
    images are identical. Descriptors are read from disk when they are needed.
    """

    dimension: int
    """Number of columns of a descriptor."""
    shard: Array
    """Shape (n,), int32: the shard of the row, as an index into ``parts``."""
    descriptor: I64
    """Shape (n,), int64: the row in the .npy file of the shard; -1 without a face."""
    parts: tuple[Part, ...]

    def descriptors(self, rows: Array | None = None, dtype: DTypeLike = np.float16) -> Array:
        """Read the descriptors of some rows, shape (number of rows, dimension).

        Args:
            rows: row numbers in any order, or a mask over the table, such as ``table.face == 0``. By default
                all rows with a face.
            dtype: of the result.

        Raises:
            ValueError: a row has no face.
            CacheError: a shard is missing or damaged.
        """
        chosen = np.asarray(self.face >= 0 if rows is None else rows)
        if chosen.dtype == np.bool_:
            if chosen.shape != self.face.shape:
                raise ValueError(f"a mask over the table has shape {self.face.shape}, not {chosen.shape}")
            chosen = np.flatnonzero(chosen)
        out = np.empty((len(chosen), self.dimension), dtype=dtype)
        self.copy_descriptors(chosen, out, np.arange(len(chosen)))
        return out

    def copy_descriptors(self, rows: I64, out: Array, places: I64) -> None:
        """Read the descriptors of some rows, by number, into ``out[places]``.

        Only the rows of one shard are in memory at a time. Raises the errors of :meth:`descriptors`.
        """
        shard, at = self.shard[rows], self.descriptor[rows]
        if (at < 0).any():
            raise ValueError("rows without a face have no descriptor; choose among table.face >= 0")
        # Shard by shard, each from front to back.
        order = np.lexsort((at, shard))
        for group in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1):
            if len(group):
                _copy_from(self.parts[shard[group[0]]], at[group], out, places[group])

    def storage_order(self) -> I64:
        """Return the rows with a face in their order on disk, shape (rows with a face,), int64.

        To process a cache that is larger than memory, call :meth:`descriptors` with slices of it.
        """
        order = np.lexsort((self.descriptor, self.shard))
        return order[self.face[order] >= 0]

    def find(self, keys: Keys) -> I64:
        """Return the first row of each image, shape (len(keys),), int64; -1 if it is not in the cache.

        The rows of its other faces follow.
        """
        return find(self.keys, keys)

    def sha256(self, rows: Array) -> list[str]:
        """Return the hash of each row's image, 64 hexadecimal digits."""
        return to_hex(self.keys[rows])


def _copy_from(part: Part, rows: I64, out: Array, places: I64) -> None:
    """Read some descriptors of a shard, given by ascending row numbers, into ``out[places]``."""
    first, last = int(rows[0]), int(rows[-1])
    try:
        found = read_descriptors(part, first, last + 1)
    except DamageError as error:
        raise CacheError(str(part.damaged(str(error)))) from error
    out[places] = found if (np.diff(rows) == 1).all() else found[rows - first]


def build_table(shards: list[tuple[Part, Rows]], dimension: int) -> CacheTable:
    """Join shards, given in order of preference: the first copy of an image is kept."""
    every = [no_rows(), *(rows for _, rows in shards)]

    # One column at a time, so that only one column is in memory twice.
    def column(name: str) -> Array:
        return np.concatenate([getattr(rows, name) for rows in every])

    order = first_copies(column("keys"), np.cumsum(column("face") <= 0))
    shard = np.repeat(np.arange(-1, len(shards), dtype=np.int32), [len(rows) for rows in every])
    descriptor = np.concatenate([descriptor_rows(rows.face) for rows in every])
    return CacheTable(
        **{f.name: column(f.name)[order] for f in fields(Rows)},
        dimension=dimension,
        shard=shard[order],
        descriptor=descriptor[order],
        parts=tuple(part for part, _ in shards),
    )


def join_tables(tables: Sequence[CacheTable]) -> CacheTable:
    """Join several caches of one pipeline. Of several copies of an image, the one of the finest search is
    kept, then the first."""
    if len(tables) == 1:
        return tables[0]

    def column(name: str) -> Array:
        return np.concatenate([getattr(table, name) for table in tables])

    coarse = np.concatenate(
        [np.array([coarseness(min_face(part)) for part in table.parts])[table.shard] for table in tables]
    )
    finest = np.argsort(coarse, kind="stable")
    image: I64 = np.cumsum(column("face") <= 0)
    order = finest[first_copies(column("keys")[finest], image[finest])]
    before = np.cumsum([0, *(len(table.parts) for table in tables)])
    shard = np.concatenate([table.shard + start for table, start in zip(tables, before, strict=False)])
    return CacheTable(
        **{f.name: column(f.name)[order] for f in fields(Rows)},
        dimension=tables[0].dimension,
        shard=shard[order],
        descriptor=column("descriptor")[order],
        parts=tuple(part for table in tables for part in table.parts),
    )
