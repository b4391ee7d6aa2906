"""Sizes of the pages of Parquet columns."""

from __future__ import annotations

import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcage.readers.parquet_pages import PageSizes, page_sizes


def written(values: list[bytes], **options: Any) -> tuple[bytes, int, int]:
    """Return a file with one column, the offset of its first page, and the size of its pages."""
    file = io.BytesIO()
    pq.write_table(pa.table({"image": values}), file, **options)
    chunk = pq.ParquetFile(file).metadata.row_group(0).column(0)
    has_dictionary = chunk.has_dictionary_page and chunk.dictionary_page_offset is not None
    start = chunk.dictionary_page_offset if has_dictionary else chunk.data_page_offset
    return file.getvalue(), start, chunk.total_compressed_size


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_sizes_after_decompression(version: str, compression: str) -> None:
    values = [bytes([number]) * 100_000 for number in range(50)]
    options = {"data_page_version": version, "compression": compression, "write_page_checksum": True}
    data, start, size = written(values, use_dictionary=False, **options)
    sizes = page_sizes(io.BytesIO(data), start, size)
    assert 5_000_000 <= sizes.largest < 5_001_000
    assert sizes.repeated == 0
    assert sizes.expanded == (0 if compression == "none" else sizes.largest)
    data, start, size = written(values[:2] * 500, use_dictionary=True, **options)
    sizes = page_sizes(io.BytesIO(data), start, size)
    assert (sizes.largest, sizes.repeated) == (200_008, 200_008)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_values_that_share_prefixes(version: str) -> None:
    """30 values of 1 MB each, which share all but their last byte."""
    values = [bytes(1_000_000) + bytes([number]) for number in range(30)]
    encoding = {"image": "DELTA_BYTE_ARRAY"}
    data, start, size = written(
        values, use_dictionary=False, column_encoding=encoding, data_page_version=version
    )
    sizes = page_sizes(io.BytesIO(data), start, size)
    assert sizes.repeated == sizes.largest == sizes.total
    assert 1_000_000 < sizes.repeated < 1_001_000


def test_small_pages_and_statistics() -> None:
    data, start, size = written(
        [b"\xff" * 200] * 5000, use_dictionary=False, data_page_size=10_000, write_batch_size=10
    )
    assert page_sizes(io.BytesIO(data), start, size).largest < 20_000


def test_damage_is_a_value_error_or_other_sizes() -> None:
    data, start, size = written([b"one", b"two"] * 50, data_page_version="2.0")
    chance = random.Random(0)
    refused = 0
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            changed[start + chance.randrange(size)] = chance.randrange(256)
        try:
            sizes = page_sizes(io.BytesIO(changed), start, size)
        except ValueError:
            refused += 1
        else:
            assert sizes.largest >= 0
    assert refused > 500
    for damaged in (b"", b"\x15", b"\x1c" * 100, b"\x19\xf5" + b"\xff" * 9, b"\x15\x80" + b"\x80" * 20):
        with pytest.raises(ValueError, match="page header"):
            page_sizes(io.BytesIO(damaged), 0, 100)


def test_a_header_longer_than_the_first_read() -> None:
    statistics = b"\x18\x90\x4e" + bytes(10_000) + b"\0"
    header = b"\x15\0\x15\x14\x15\x0e\x2c" + statistics + b"\0"
    assert page_sizes(io.BytesIO(header + bytes(7)), 0, len(header) + 7) == PageSizes(10, total=10)
