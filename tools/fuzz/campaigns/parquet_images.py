"""Parquet files of images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arcage.errors import ImageError
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.walk import walk
from tools.fuzz.campaign import Case, Verdict
from tools.fuzz.mutate import mutate, mutate_footer

_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"row_group_size": 10, "compression": "zstd", "write_page_index": True},
    {"use_dictionary": False, "column_encoding": {"image": "DELTA_BYTE_ARRAY"}, "compression": "gzip"},
    {"data_page_version": "2.0", "write_page_checksum": True, "data_page_size": 500, "write_batch_size": 3},
)


class ParquetImages:
    """A file whose pages, footer or both are damaged: each row is an image or an error.

    Checksums are optional in Parquet, so an image with other bytes does not count as a failure.
    """

    name = "parquet"

    def prepare(self, folder: Path) -> None:
        self._path = folder / "images.parquet"
        rng = np.random.default_rng(0)
        images = [rng.bytes(int(rng.integers(1, 300))) for _ in range(30)]
        names = [f"größe/{number}.jpg" for number in range(30)]
        tables = [
            pa.table({"image": images, "path": names}),
            pa.table(
                {"image": [{"bytes": data, "path": name} for data, name in zip(images, names, strict=True)]}
            ),
        ]
        self._seeds = [_written(table, **options) for table in tables for options in _OPTIONS[:2]]
        self._seeds += [_written(tables[0], **options) for options in _OPTIONS[2:]]
        self._bombs = [_repeated(4_000_000, 100), _expanding(4_000_000, 50), _expanding(15 << 20, 30)]

    def case(self, rng: np.random.Generator) -> Case:
        # Few, because they take most of the time.
        seeds = self._seeds if rng.integers(20) else self._bombs
        seed = seeds[int(rng.integers(len(seeds)))]
        kind = int(rng.integers(20))
        if kind == 0:
            return Case(seed, about="as written")
        if kind < 12:
            return Case(mutate_footer(rng, seed), about="footer")
        return Case(mutate(rng, seed, self._seeds), about="any bytes")

    def run(self, case: Case) -> Verdict:
        self._path.write_bytes(case.data)
        refused = False
        with ReadAhead(walk([self._path])) as sources:
            # As many at once as when faces are found in them.
            for source in list(sources):
                try:
                    source.read()
                except ImageError:
                    refused = True
        return "refused" if refused else "answered"


def _written(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def _repeated(size: int, rows: int) -> bytes:
    """Return a file of a few kilobytes in which every image is the same large one."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([bytes(size)]))
    return _written(pa.table({"image": values}), compression="zstd", store_schema=False)


def _expanding(size: int, row_groups: int) -> bytes:
    """Return a file of a few kilobytes in which every row group has a large image."""
    file = io.BytesIO()
    row = pa.table({"image": [bytes(size)]})
    with pq.ParquetWriter(file, row.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(row_groups):
            writer.write_table(row)
    return file.getvalue()
