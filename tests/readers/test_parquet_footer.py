"""Footers of Parquet files."""

from __future__ import annotations

import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcage.readers import parquet_footer
from arcage.readers.parquet_footer import RowGroup, read_row_groups


def written(**options: Any) -> bytes:
    file = io.BytesIO()
    table = pa.table(
        {
            "image": [b"%d" % number * 50 for number in range(100)],
            "age": list(range(100)),
            "landmarks": pa.array([[1.0, 2.0]] * 100, pa.list_(pa.float32(), 2)),
        }
    )
    pq.write_table(table, file, **options)
    return file.getvalue()


def with_footer(data: bytes, footer: bytes) -> bytes:
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def footer(data: bytes) -> bytes:
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def groups(data: bytes) -> tuple[RowGroup, ...]:
    return read_row_groups(io.BytesIO(data))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 30},
        {"use_dictionary": False, "compression": "zstd", "write_statistics": False},
        {"data_page_version": "2.0", "write_page_index": True, "row_group_size": 1},
        {"version": "1.0", "store_schema": False, "compression": "none"},
    ],
)
def test_the_same_as_pyarrow(options: dict[str, Any]) -> None:
    data = written(**options)
    expected = pq.ParquetFile(io.BytesIO(data)).metadata
    found = groups(data)
    assert len(found) == expected.num_row_groups
    for number, group in enumerate(found):
        row_group = expected.row_group(number)
        assert (group.rows, group.size) == (row_group.num_rows, row_group.total_byte_size)
        assert len(group.columns) == row_group.num_columns
        for place, chunk in enumerate(group.columns):
            column = row_group.column(place)
            start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            assert (chunk.start, chunk.size) == (start, column.total_compressed_size)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1\xff\xff\xff\xffPAR1", b"PAR1" + bytes(8), b"x" * 100])
def test_files_without_a_footer(data: bytes) -> None:
    with pytest.raises(ValueError, match="no footer of Parquet"):
        groups(data)


def test_a_footer_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written()
    monkeypatch.setattr(parquet_footer, "MAX_FOOTER", 100)
    with pytest.raises(ValueError, match="the limit is 100"):
        groups(data)


def test_a_list_that_claims_many_columns() -> None:
    """pyarrow would take 700 bytes for each before it notices."""
    for claimed in (b"\x49\x1c\x19\xfc\xc0\x84\x3d", b"\x49\xfc\xc0\x84\x3d", b"\x29\xfc\xc0\x84\x3d"):
        with pytest.raises(ValueError, match="its footer is damaged"):
            groups(with_footer(written(), claimed))


def test_pages_outside_of_the_file() -> None:
    data = written(use_dictionary=False)
    (group,) = groups(data)
    end = len(data) - len(footer(data)) - 8
    # Without the pages, the offsets are too large.
    with pytest.raises(ValueError, match="its footer is damaged"):
        groups(data[end:])
    assert max(chunk.start + chunk.size for chunk in group.columns) <= end


def test_damage_is_a_value_error_or_other_numbers() -> None:
    data = written(row_group_size=50)
    chance = random.Random(0)
    refused = 0
    for _ in range(2000):
        changed = bytearray(footer(data))
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            found = groups(with_footer(data, bytes(changed)))
        except ValueError:
            refused += 1
        else:
            assert all(0 <= c.start <= c.start + c.size <= len(data) + 8 for g in found for c in g.columns)
    assert refused > 500
