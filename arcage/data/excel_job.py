"""Read label tables in Excel files. Runs in a worker process; see :func:`arcage.data.rows.excel_rows`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pandas as pd

from arcage.data.rows import column_name

BATCH = 4096
"""Number of rows in a reply."""


def read(args: dict[str, Any], _: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield JSON like :func:`arcage.data.parquet_job.read`, from the first sheet of an Excel file.

    The first reply has the number of the ``first`` row below the names as well, as Excel counts.

    Args:
        args: ``path`` of the file, names of the ``columns``, and ``max_cell``.
    """
    try:
        with warnings.catch_warnings():
            # openpyxl names what it does not read, such as drop-down lists.
            warnings.simplefilter("ignore")
            sheet = pd.read_excel(
                args["path"], header=None, dtype=object, keep_default_na=False, na_filter=False
            )
        table = sheet.to_numpy(object)
        start = next((i for i, row in enumerate(table) if any(map(_text, row))), 0)
        names = [_text(value) for value in table[start]] if len(table) else []
        at = {name: i for i, name in enumerate(names) if column_name(name) in args["columns"]}
        yield {}, json.dumps({"names": names, "read": list(at), "first": start + 2}).encode()
        table = table[start + 1 :, list(at.values())]
        for row in range(0, len(table), BATCH):
            rows = [[_text(value, args["max_cell"]) for value in cells] for cells in table[row : row + BATCH]]
            yield {}, json.dumps(rows).encode()
    except MemoryError:
        raise
    except ImportError:
        yield {"error": "it needs openpyxl: pip install 'arcage[excel]'"}, b""
    except Exception as error:  # openpyxl raises errors of many kinds
        yield {"error": f"{error}"[:500] or type(error).__name__}, b""


def _text(value: Any, longest: int = 1 << 20) -> str:
    if value is None or value != value:
        return ""
    # Excel has no other numbers than floats.
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    if len(text) > longest:
        raise ValueError(f"a cell has {len(text):,} characters; the limit is {longest:,}")
    return text
