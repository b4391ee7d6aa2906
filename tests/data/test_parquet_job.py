"""The job that reads Parquet, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from arcage.data.parquet_job import BATCH, read


def replies(path: Path, **change: Any) -> list[tuple[dict[str, Any], Any]]:
    args = {"path": str(path), "columns": ["path", "age"], "max_cell": 100, "max_rows": 100_000, **change}
    return [(header, json.loads(body or "null")) for header, body in read(args, b"")]


def test_names_then_batches_of_the_needed_columns(tmp_path: Path) -> None:
    path, n = tmp_path / "t.parquet", BATCH + 5
    columns = {"note": [[n] for n in range(n)], "AGE ": range(n), "path": [str(n) for n in range(n)]}
    pq.write_table(pa.table(columns), path)
    (_, names), *batches = replies(path)
    assert names == {"names": ["note", "AGE ", "path"], "read": ["AGE ", "path"]}
    assert [len(batch) for _, batch in batches] == [BATCH, 5]
    assert batches[1][1][-1] == [str(n - 1), str(n - 1)]


def test_errors_are_replies(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"path": ["x" * 200], "age": [1]}), path)
    assert "the limit is 100" in replies(path)[-1][0]["error"]
    assert "it has 1 rows" in replies(path, max_rows=0)[-1][0]["error"]
    path.write_bytes(b"PAR1")
    ((header, _),) = replies(path)
    assert header["error"]
