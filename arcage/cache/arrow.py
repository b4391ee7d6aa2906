"""Convert between Parquet and NumPy, for the column types that the cache uses.

pyarrow is imported inside the functions because the import takes 0.2 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Literal, TypeAlias

import numpy as np

from arcage.cache.keys import Keys
from arcage.cache.parts import DamageError, Part
from arcage.readers.parquet_footer import RowGroup, read_row_groups
from arcage.readers.parquet_pages import page_sizes
from arcage.types import Array

_MAX_BYTES = 1 << 28
"""Maximum size of the columns in memory: 256 MiB. A shard has a few megabytes."""

_NOT_AS_WRITTEN = (OSError, LookupError, TypeError, ValueError, AttributeError, OverflowError)

Kind: TypeAlias = Literal["key", "whole", "number", "ten numbers", "text", "repeated text"]
"""The type of a column."""


def printable(text: str) -> str:
    r"""Make a text valid UTF-8: undecodable bytes of a file name become the characters ``\udcXX``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def keys_to_arrow(keys: Keys) -> Any:
    """Convert keys to an Arrow column of 32 bytes each."""
    import pyarrow as pa

    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(32), len(keys), [None, pa.py_buffer(keys.tobytes())]
    )


def to_parquet(table: Any, *, dictionary: Sequence[str] = ()) -> Any:
    """Convert an Arrow table to the bytes of a Parquet file.

    Args:
        table: the table.
        dictionary: columns with few distinct values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    repeating: Any = list(dictionary)
    pq.write_table(table, sink, compression="zstd", use_dictionary=repeating, write_statistics=False)
    return sink.getvalue()


def read_columns(part: Part, columns: Mapping[str, Kind]) -> dict[str, Array]:
    """Read columns of a part's Parquet file as arrays whose first axis is the row.

    Args:
        part: the part.
        columns: the type of each column. Keys become S32, text becomes str objects, and lists of ten numbers
            become shape (rows, 10).

    Raises:
        DamageError: the file has changed since it was written, or is not of the form that arcage writes.
        CacheError: the file cannot be read for another reason.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = part.path("parquet").name
    data = part.read("parquet")
    try:
        # From memory: the bytes that were compared with the marker are the ones that are parsed.
        groups = read_row_groups(BytesIO(data))
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows != part.facts["rows"]:
            raise DamageError(f"{name} has {file.metadata.num_rows} rows instead of {part.facts['rows']}")
        types = _types()
        for column, kind in columns.items():
            if file.schema_arrow.field(column).type != types[kind]:
                raise DamageError(f"{name} has rows that are not those of a shard: {column} has another type")
        table = _read(file, groups, data, list(columns))
        if any(table.column(column).null_count for column in columns):
            raise DamageError(f"{name} lacks values")
        return {column: _to_numpy(table.column(column).combine_chunks()) for column in columns}
    except (pa.ArrowException, *_NOT_AS_WRITTEN) as error:
        raise DamageError(f"{name} is not what was written ({error})") from error


def _read(file: Any, groups: Sequence[RowGroup], data: bytes, columns: list[str]) -> Any:
    """Return the columns of a Parquet file as a table.

    Raises:
        ValueError: they take more than :data:`_MAX_BYTES` of memory, or a page is damaged.
    """
    import pyarrow as pa

    leaves = [file.schema.column(number).path.partition(".")[0] for number in range(len(file.schema))]
    pages, total, repeated = BytesIO(data), 0, 0
    for group in groups:
        for leaf, chunk in zip(leaves, group.columns, strict=True):
            if leaf in columns:
                sizes = page_sizes(pages, chunk.start, chunk.size)
                total, repeated = total + sizes.total, repeated + sizes.repeated
    if total > _MAX_BYTES:
        raise ValueError(f"it takes {total:,} bytes of memory")
    if repeated * file.metadata.num_rows <= _MAX_BYTES:
        return file.read(columns=columns, use_threads=False)
    # Each row could take as much as all values that repeat. Rows that do are never read together.
    batches, size = [], 0
    for batch in file.iter_batches(max(1, _MAX_BYTES // (4 * repeated)), columns=columns, use_threads=False):
        batches.append(batch)
        size += batch.nbytes
        if size > _MAX_BYTES:
            raise ValueError(f"it takes more than {_MAX_BYTES:,} bytes of memory")
    return pa.Table.from_batches(batches)


def _types() -> dict[str, Any]:
    import pyarrow as pa

    return {
        "key": pa.binary(32),
        "whole": pa.int32(),
        "number": pa.float32(),
        "ten numbers": pa.list_(pa.float32(), 10),
        "text": pa.string(),
        "repeated text": pa.dictionary(pa.int32(), pa.string()),
    }


def _to_numpy(column: Any) -> Array:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        # to_numpy would make a Python object of every key.
        return np.frombuffer(
            column.buffers()[1], f"S{kind.byte_width}", len(column), column.offset * kind.byte_width
        )
    if pa.types.is_fixed_size_list(kind):
        numbers: Array = column.flatten().to_numpy()
        return numbers.reshape(-1, kind.list_size)
    if pa.types.is_dictionary(kind):
        values: Array = column.dictionary.to_numpy(zero_copy_only=False)
        chosen: Array = values[column.indices.to_numpy()]
        return chosen
    plain: Array = column.to_numpy(zero_copy_only=not pa.types.is_string(kind))
    return plain
