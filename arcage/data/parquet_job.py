"""Read label tables in Parquet. Runs in a worker process; see :func:`arcage.data.rows.parquet_rows`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arcage.data.rows import column_name

BATCH = 4096
"""Number of rows in a reply."""
ROWS_PER_BYTE = 64
"""Limit of the rows, relative to the size of the file. Different paths take more room."""
_BUFFER_BYTES = 1 << 20


def read(args: dict[str, Any], _: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield JSON: the ``names`` of all columns and of those that are ``read``, then batches of rows.

    Ends after a reply with ``error`` in the header.

    Args:
        args: ``path`` of the file, names of the ``columns``, ``max_cell`` and ``max_rows``.
    """
    try:
        with pq.ParquetFile(args["path"], buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            names = file.schema_arrow.names
            wanted = [name for name in dict.fromkeys(names) if column_name(name) in args["columns"]]
            yield {}, json.dumps({"names": names, "read": wanted}).encode()
            rows = file.metadata.num_rows
            limit = min(args["max_rows"], 1000 + ROWS_PER_BYTE * os.path.getsize(args["path"]))
            if not 0 <= rows <= limit:
                raise ValueError(f"it has {rows:,} rows")
            for batch in file.iter_batches(BATCH, columns=wanted, use_threads=False):
                # By position, because two columns may have the same name.
                columns = [
                    _texts(batch.column(batch.schema.names.index(name)), name, args["max_cell"])
                    for name in wanted
                ]
                yield {}, json.dumps(list(zip(*columns, strict=True))).encode()
    except MemoryError:
        raise
    except Exception as error:  # Arrow raises errors of many kinds
        yield {"error": f"{error}"[:500] or type(error).__name__}, b""


def _texts(column: pa.Array, name: str, longest: int) -> list[str]:
    if pa.types.is_dictionary(column.type):
        column.validate(full=True)
        _check_length(column.dictionary, name, longest)
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_nested(kind) or isinstance(column, pa.ExtensionArray):
        raise ValueError(f"the column {name[:50]} has the type {str(kind)[:50]}; give text or numbers")
    _check_length(column, name, longest)
    if _is_bytes(kind):
        column = column.cast(pa.large_string())
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError) as error:
        raise ValueError(f"the column {name[:50]} has values that cannot be read ({error})") from None
    return ["" if value is None or value != value else str(value) for value in values]


def _check_length(column: pa.Array, name: str, longest: int) -> None:
    if pa.types.is_null(column.type) or not (_is_bytes(column.type) or _is_text(column.type)):
        return
    length = pc.max(pc.binary_length(column)).as_py() or 0
    if length > longest:
        raise ValueError(f"the column {name[:50]} has a text of {length:,} bytes; the limit is {longest:,}")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )
