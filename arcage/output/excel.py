"""Write predictions as an Excel workbook, row by row."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from arcage.errors import OutputError, UsageError
from arcage.files import reason
from arcage.output.rows import COLUMNS, json_row
from arcage.text import to_spreadsheet
from arcage.types import Prediction

MAX_ROWS = 1 << 20
"""Rows of a sheet, with the header: the limit of Excel."""
_CREATOR = "arcage"
_MARK = re.compile(rf"<dc:creator[^>]*>{_CREATOR}</dc:creator>".encode())
_PROPERTIES = "docProps/core.xml"
_WIDTHS = {"path": 40, "familiarity": 11, "error": 40}
"""Widths of columns in characters; others have that of Excel."""

# XML has no way to write these characters. A reader would change a carriage return to a line feed.
_ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Excel takes this for an escaped character.
_ESCAPE = re.compile(r"(?<=_)(?=x[0-9A-Fa-f]{4}_)")
# These, and texts that begin like a formula or an error such as #N/A, are not written as they are.
_SPECIAL = re.compile(rf"\A['=+\-@＝＋－＠\s#]|{_ILLEGAL.pattern}|{_ESCAPE.pattern}")


def check_excel() -> None:
    """Check that workbooks can be written.

    Raises:
        UsageError: the package openpyxl is not installed.
    """
    _openpyxl()


def is_own_workbook(path: Path) -> bool:
    """Return whether arcage wrote the workbook and nobody has saved it since, or the file is empty."""
    if not path.stat().st_size:
        return True
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_PROPERTIES) as file:
            properties = file.read(1 << 16)
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return False
    return _MARK.search(properties) is not None and b"lastModifiedBy" not in properties


@contextmanager
def write_excel(
    file: IO[bytes], more: Sequence[str], max_rows: int = MAX_ROWS
) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """Yield a function that writes rows into a workbook, whose rows are in temporary files until the end.

    Numbers are numbers with the decimals of CSV, missing values are empty cells, and texts are never
    formulas. Rows that do not fit on a sheet go to further ones.

    Args:
        file: the open file.
        more: names of additional columns.
        max_rows: rows of a sheet, with the header.

    Raises:
        OutputError: the temporary files cannot be written.
        UsageError: the package openpyxl is not installed.
    """
    workbook = _openpyxl().Workbook(write_only=True)
    workbook.properties.creator = _CREATOR
    sheet = _new_sheet(workbook, more)
    rows_left = max_rows - 1

    def write(rows: Sequence[Prediction]) -> None:
        nonlocal rows_left, sheet
        with _temporary_files():
            for row in rows:
                if not rows_left:
                    sheet, rows_left = _new_sheet(workbook, more), max_rows - 1
                sheet.append(_cells(sheet, row, more))
                rows_left -= 1

    try:
        yield write
        with _temporary_files(), _archive(file) as archive:
            _openpyxl().writer.excel.ExcelWriter(workbook, archive).save()
    except BaseException:
        # Sheets that are not closed fail when Python collects them.
        for one in workbook.worksheets:
            with suppress(Exception):
                one.close()
        raise


def _new_sheet(workbook: Any, more: Sequence[str]) -> Any:
    openpyxl = _openpyxl()
    number = len(workbook.worksheets) + 1
    sheet = workbook.create_sheet("faces" if number == 1 else f"faces {number}")
    header = []
    for letter, name in enumerate((*COLUMNS, *more), 1):
        cell = openpyxl.cell.WriteOnlyCell(sheet, name)
        cell.font = openpyxl.styles.Font(bold=True)
        header.append(cell)
        if name in _WIDTHS:
            sheet.column_dimensions[openpyxl.utils.get_column_letter(letter)].width = _WIDTHS[name]
    sheet.freeze_panes = "A2"
    with _temporary_files():
        sheet.append(header)
    return sheet


def _cells(sheet: Any, row: Prediction, more: Sequence[str]) -> list[Any]:
    """Return the values of a row, and cells for the texts of which openpyxl or Excel would make more."""
    values: list[Any] = list(json_row(row, more).values())
    special = [i for i, value in enumerate(values) if isinstance(value, str) and _SPECIAL.search(value)]
    if not special:
        return values
    # openpyxl gives the values after a cell its format, so all of them are cells.
    cells = [_openpyxl().cell.WriteOnlyCell(sheet, None if i in special else v) for i, v in enumerate(values)]
    for i in special:
        _set_text(cells[i], values[i])
    return cells


def _set_text(cell: Any, text: str) -> None:
    shown = _ILLEGAL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    parts = _ESCAPE.split(shown)
    # In two pieces, the text does not look like an escaped character, and any program reads it as it is.
    cell.value = shown if len(parts) == 1 else _openpyxl().cell.rich_text.CellRichText(parts)
    cell.data_type = "s"
    # It remains text if somebody edits the cell.
    cell.quotePrefix = to_spreadsheet(text) != text


@contextmanager
def _archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
    try:
        yield archive
    except BaseException:
        # It would write its end when Python collects it, into a file that is closed by then.
        archive.fp = None
        raise


@contextmanager
def _temporary_files() -> Iterator[None]:
    """Raise OutputError if openpyxl cannot write its temporary files, for which it may use lxml."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__name__ != "SerialisationError":
            raise
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise OutputError(
            f"cannot write the rows of the workbook in {tempfile.gettempdir()}: {why}; free some space, or "
            "set the environment variable TMPDIR to another folder"
        ) from error


def _openpyxl() -> Any:
    try:
        import openpyxl.cell.rich_text
        import openpyxl.styles
        import openpyxl.utils
        import openpyxl.writer.excel
    except ImportError:
        raise UsageError("an Excel file needs the package openpyxl: pip install 'arcage[excel]'") from None
    return openpyxl
