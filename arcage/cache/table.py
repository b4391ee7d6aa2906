"""All that a cache holds, as columns that heads can be fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import DTypeLike

from arcage.cache.keys import I64, Keys, find, first_copies, to_hex
from arcage.cache.parts import Part
from arcage.cache.shard import Rows, coarseness, descriptor_rows, map_descriptors, min_face, no_rows
from arcage.types import Array


@dataclass(frozen=True, slots=True, eq=False)
class CacheTable(Rows):
    """Every image of a cache once, sorted by sha256 and then by face.

    The order does not depend on who extracted what and when, so heads fitted on two caches of the same
    images are the same. Descriptors stay on disk until they are asked for.
    """

    dimension: int
    """Columns of a descriptor."""
    shard: Array
    """Shape (n,), int32: the shard that has the row, as an index into ``parts``."""
    descriptor: I64
    """Shape (n,), int64: the row in that shard's .npy file; -1 without a face."""
    parts: tuple[Part, ...]

    def descriptors(self, rows: Array | None = None, dtype: DTypeLike = np.float16) -> Array:
        """The descriptors of some rows, copied once from disk.

        ``rows`` holds row numbers in any order, or is a mask over the table, such as ``table.face == 0``;
        by default all rows with a face. Returns shape (number of rows, dimension). Raises ValueError for a
        row without a face, CacheError where a shard is gone or damaged.
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
        """Put the descriptors of some rows, by number, into some places of an array: ``out[places]``.

        Nothing but one shard's share is in memory besides. Raises as :meth:`descriptors`.
        """
        shard, at = self.shard[rows], self.descriptor[rows]
        if (at < 0).any():
            raise ValueError("rows without a face have no descriptor; choose among table.face >= 0")
        # One shard after the other, front to back. Each map is let go at once: a map holds a file open, and
        # a big cache has more shards than a process may have files.
        order = np.lexsort((at, shard))
        for group in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1):
            if len(group):
                out[places[group]] = map_descriptors(self.parts[shard[group[0]]])[at[group]]

    def storage_order(self) -> I64:
        """The rows with a face in the order in which they lie on disk, shape (rows with a face,), int64.

        To pass over a cache that is larger than memory, take ``descriptors`` of slices of this.
        """
        order = np.lexsort((self.descriptor, self.shard))
        return order[self.face[order] >= 0]

    def find(self, keys: Keys) -> I64:
        """For each key the image's first row, -1 where the cache has none; its other faces follow that row.

        Shape (len(keys),), int64.
        """
        return find(self.keys, keys)

    def sha256(self, rows: Array) -> list[str]:
        """The hash of each of some rows' images, 64 hexadecimal digits."""
        return to_hex(self.keys[rows])


def build_table(shards: list[tuple[Part, Rows]], dimension: int) -> CacheTable:
    """Join shards, given in order of preference: the first copy of an image is kept."""
    every = [no_rows(), *(rows for _, rows in shards)]

    # Column by column, so that no more than one column is in memory twice over.
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
    """Join several caches of one pipeline. Of several copies of an image, that of the finest search is kept,
    then the first."""
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
