"""Read label tables in Excel files. Runs in a worker process; see :func:`arcage.data.rows.excel_rows`."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd

from arcage.data.cells import is_unknown
from arcage.data.rows import column_name

BATCH = 4096
"""Number of rows in a reply."""
_MARKED = re.compile(rb'<f[ />]|<c[^>]* t="e"')
"""A cell with a formula or an error, in the XML of a sheet."""


def read(args: dict[str, Any], _: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield JSON like :func:`arcage.data.parquet_job.read`, from the first visible sheet of an Excel file.

    The first reply has the number of the ``first`` row below the names as well, as Excel counts.

    Args:
        args: ``path`` of the file, names of the ``columns``, and ``max_cell``.
    """
    try:
        with warnings.catch_warnings():
            # openpyxl names what it does not read, such as drop-down lists.
            warnings.simplefilter("ignore")
            sheet, table = _first_sheet(args["path"])
            start = _first_row(table)
            names = [_text(value) for value in table[start]] if len(table) else []
            at = {name: i for i, name in enumerate(names) if column_name(name) in args["columns"]}
            _check_cells(args["path"], sheet, at.values())
        yield {}, json.dumps({"names": names, "read": list(at), "first": start + 2}).encode()
        table = table[start + 1 :, list(at.values())]
        for row in range(0, len(table), BATCH):
            rows = [[_text(value, args["max_cell"]) for value in cells] for cells in table[row : row + BATCH]]
            yield {}, json.dumps(rows).encode()
    except MemoryError:
        raise
    except ImportError:
        yield {"error": "it needs openpyxl: pip install 'arcage[excel]'"}, b""
    except zipfile.BadZipFile:
        yield {"error": "it is no Excel workbook, or it is damaged or has a password; save it as .xlsx"}, b""
    except Exception as error:  # openpyxl raises errors of many kinds
        yield {"error": f"{error}"[:500] or type(error).__name__}, b""


def _first_sheet(path: str) -> tuple[str, Any]:
    """Return the name and the cells of the first visible sheet.

    Raises:
        ValueError: there is none, or another visible one has the same columns.
    """
    with pd.ExcelFile(path, engine="openpyxl") as book:
        sheets = [one.title for one in book.book.worksheets if one.sheet_state == "visible"]
        if not sheets:
            raise ValueError("it has no visible sheet")
        table = _cells(book, sheets[0])
        start = _first_row(table)
        names = [_text(value) for value in table[start]] if len(table) else []
        for other in sheets[1:] if any(names) else []:
            head = _cells(book, other, rows=start + 1)
            if len(head) > start and [_text(value) for value in head[start]] == names:
                raise ValueError(
                    f"the sheets {sheets[0]!r} and {other!r} have the same columns: move their rows to one "
                    "sheet, or hide the sheets that do not count"
                )
    return sheets[0], table


def _cells(book: pd.ExcelFile, sheet: str, rows: int | None = None) -> Any:
    read = book.parse(sheet, header=None, nrows=rows, dtype=object, keep_default_na=False, na_filter=False)
    return read.to_numpy(object)


def _first_row(table: Any) -> int:
    """Return the index of the first row that is not empty."""
    return next((i for i, row in enumerate(table) if any(map(_text, row))), 0)


def _check_cells(path: str, sheet: str, columns: Collection[int]) -> None:
    """Check that no cell holds an error or a formula without a result: pandas reads both as empty.

    Excel stores results. Other programs, such as openpyxl, write formulas that nobody has calculated.

    Raises:
        ValueError: a cell in these columns, indices from 0, holds one.
    """
    with zipfile.ZipFile(path) as archive:
        pages = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        if not any(_MARKED.search(archive.read(name)) for name in pages):
            return
    import openpyxl

    results = openpyxl.load_workbook(path, read_only=True, data_only=True)[sheet].iter_rows()
    formulas = openpyxl.load_workbook(path, read_only=True)[sheet].iter_rows()
    for found, written in zip(results, formulas, strict=True):
        for i in columns:
            if i >= len(found):
                continue
            result, cell = found[i], written[i]
            if result.data_type == "e" and not is_unknown(result.value):
                raise ValueError(f"the cell {result.coordinate} has the error {result.value}: correct it")
            # Of a text that is empty, openpyxl leaves the type as it is in the file.
            if cell.data_type == "f" and result.value is None and result.data_type != "str":
                raise ValueError(
                    f"the formula in the cell {cell.coordinate} has no result: open and save the file in a "
                    "spreadsheet program, or replace formulas by their values"
                )


def _text(value: Any, longest: int = 1 << 20) -> str:
    if value is None or value != value:
        return ""
    # Excel has no other numbers than floats.
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    if len(text) > longest:
        raise ValueError(f"a cell has {len(text):,} characters; the limit is {longest:,}")
    return text
