"""Excel workbooks, read back by openpyxl."""

from __future__ import annotations

import gc
import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from predicted import FACES, NO_FACE, ROWS, UNREADABLE

from arcage.errors import ForeignFileError, OutputError, UsageError
from arcage.output.excel import check_excel, is_own_workbook, write_excel
from arcage.output.formats import check_rows_file, write_file
from arcage.output.rows import COLUMNS, json_row

openpyxl = pytest.importorskip("openpyxl")


def written(path: Path, *rows: Any, more: tuple[str, ...] = ()) -> Any:
    with write_file(path, more=more) as write:
        write(rows)
    return openpyxl.load_workbook(path)


def test_values_have_their_types(tmp_path: Path) -> None:
    (sheet,) = written(tmp_path / "a.xlsx", *ROWS[:-1], more=("p_under_18",))
    header, *rows = sheet.values
    assert header == (*COLUMNS, "p_under_18")
    assert rows == [tuple(json_row(row, ["p_under_18"]).values()) for row in ROWS[:-1]]
    # Excel has no whole numbers: openpyxl makes them of -20.0.
    assert [type(value) for value in rows[0][:4]] == [str, int, int, int]
    assert [type(value) for value in rows[0][-3:]] == [type(None), float, float]
    assert (sheet.title, sheet.freeze_panes) == ("faces", "A2")
    assert sheet["A1"].font.bold
    assert not sheet["A2"].font.bold


HOSTILE = [
    '=HYPERLINK("http://x","y")', "=1+1", "+1", "-1", "@SUM(A1)", "#N/A", "'=1", "１", " a ", "1e5", "TRUE",
    "\tx", "a\nb", "é日本😀", "x_x0041_y", "_x0041__x0042_", "<b>&amp;", "{=1}", "-", "2026-01-01",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_never_formulas(tmp_path: Path, text: str) -> None:
    row = replace(UNREADABLE, path=text, error=text)
    (sheet,) = written(tmp_path / "a.xlsx", row, FACES[0])
    assert (sheet["A2"].value, sheet["O2"].value) == (text, text)
    assert (sheet["A2"].data_type, sheet["O2"].data_type) == ("s", "s")
    assert (sheet["C2"].value, sheet["C2"].data_type, sheet["C2"].quotePrefix) == (0, "n", False)
    assert sheet["A2"].quotePrefix == ((text[0] in "=+-@\t" and len(text) > 1) or text == "'=1")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        xml = archive.read("xl/worksheets/sheet1.xml")
    assert b"<f" not in xml
    # No text that Excel would take for an escaped character stands in one piece.
    assert b"_x004" not in xml


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[0m\x00", r"a\x1b[0m\x00"),
        (ROWS[-1].path, r"caf\udce9.jpg"),
        ("\ufffe\uffff", r"\ufffe\uffff"),
        ("a\r\nb", "a\\r\nb"),
    ],
)
def test_characters_that_xml_cannot_hold(tmp_path: Path, text: str, shown: str) -> None:
    (sheet,) = written(tmp_path / "a.xlsx", replace(NO_FACE, path=text))
    assert sheet["A2"].value == shown


@pytest.mark.parametrize(
    ("rows", "sizes"), [(0, [0]), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])]
)
def test_further_sheets(rows: int, sizes: list[int]) -> None:
    file = io.BytesIO()
    with write_excel(file, [], max_rows=4) as write:
        for start in range(0, rows, 2):
            write([replace(FACES[0], face=i) for i in range(start, min(start + 2, rows))])
    workbook = openpyxl.load_workbook(file)
    assert workbook.sheetnames[:2] == ["faces", "faces 2"][: len(sizes)]
    found = [list(sheet.values) for sheet in workbook]
    assert [header for header, *_ in found] == [COLUMNS] * len(sizes)
    assert [len(sheet) - 1 for sheet in found] == sizes
    assert [row[1] for _, *sheet in found for row in sheet] == list(range(rows))


def test_own_workbooks_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    for rows in ([], ROWS[:3]):
        written(path, *rows)
        check_rows_file(path)


def test_workbooks_of_others_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    workbook = written(path, *ROWS[:3])
    workbook.properties.lastModifiedBy = "Ann"  # as Excel does
    workbook.save(path)
    assert not is_own_workbook(path)
    openpyxl.Workbook().save(path)
    with pytest.raises(ForeignFileError):
        check_rows_file(path)
    for content in (b"PK", b"mine", zipped({}), zipped({"docProps/core.xml": b"mine"})):
        path.write_bytes(content)
        assert not is_own_workbook(path)
    path.write_bytes(b"")
    check_rows_file(path)


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_text("old")
    with pytest.raises(AttributeError), write_file(path) as write:
        write([FACES[0], None])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


class SerialisationError(Exception):
    """As of lxml, with which openpyxl writes if it is installed."""


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SerialisationError("IO_ENOSPC")])
def test_no_space_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr("openpyxl.worksheet._write_only.WriteOnlyWorksheet.append", full)
    with pytest.raises(OutputError, match=r"(No space left on device|IO_ENOSPC); free some space, or set"):
        written(tmp_path / "a.xlsx", *ROWS)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written later, which would print an error and a traceback."""

    def full(*_: Any) -> None:
        raise OutputError("No space left")

    monkeypatch.setattr("arcage.files._Output.write", full)
    with pytest.raises(OutputError, match="No space left"):
        written(tmp_path / "a.xlsx", *[replace(FACES[0], path=f"{i}.jpg") for i in range(3000)])
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    check_excel()
    monkeypatch.setitem(sys.modules, "openpyxl.styles", None)
    with pytest.raises(UsageError, match=r"needs the package openpyxl: pip install 'arcage\[excel\]'"):
        check_excel()
