"""Convert between Parquet and NumPy, for the column types that the cache uses.

pyarrow is imported inside the functions because the import takes 0.2 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arcage.cache.keys import Keys
from arcage.cache.parts import DamageError, Part, raise_unless_damage
from arcage.types import Array

_MAX_BYTES = 1 << 29
"""Maximum size of a part's columns in memory: 512 MiB. A shard has a few megabytes."""


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


def read_columns(part: Part, columns: Sequence[str] | None = None) -> dict[str, Array]:
    """Read columns of a part's Parquet file (all by default) as arrays whose first axis is the row.

    Numbers keep their type, 32 bytes become keys (S32), text becomes str objects, and lists of n numbers
    become shape (rows, n).

    Raises:
        DamageError: the file is not as the marker says.
        CacheError: the file cannot be read for another reason.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = part.path("parquet")
    try:
        file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(part.read("parquet"))))
        expected = part.facts["rows"]
        if file.metadata.num_rows != expected:
            raise DamageError(f"{path.name} has {file.metadata.num_rows} rows instead of {expected}")
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if size > _MAX_BYTES:
            raise DamageError(f"{path.name} takes {size:,} bytes of memory")
        table = file.read(columns=list(columns) if columns else None, use_threads=False)
        if len(table) != expected:
            raise DamageError(f"{path.name} has {len(table)} rows instead of {expected}")
        return {
            name: _to_numpy(table.column(name).combine_chunks()) for name in columns or table.column_names
        }
    except OSError as error:
        raise_unless_damage(error, path)
        raise DamageError(f"{path.name} cannot be read ({error})") from error
    except (pa.ArrowException, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamageError(f"{path.name} is not what was written ({error})") from error


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
