"""Label tables in Excel files."""

from __future__ import annotations

import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_tables import by_path, plain

from arcage.data.labels import Label
from arcage.data.tables import read_table
from arcage.errors import UsageError

pytest.importorskip("pandas")
openpyxl = pytest.importorskip("openpyxl")


def sheet(folder: Path, rows: list[list[Any]], *more: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for number, table in enumerate((rows, *more)):
        page = book.active if number == 0 else book.create_sheet()
        for row in table:
            page.append(row)
    book.save(folder / "labels.xlsx")
    return folder / "labels.xlsx"


def test_the_first_sheet_is_read(tmp_path: Path) -> None:
    path = sheet(
        tmp_path,
        [
            [],
            ["note", "Path", "age", "gender", "person", "group"],
            ["x", "é/a.jpg", 30, "female", 7, "NA"],
            [None, "b.jpg", 4.5, 0, "Ada"],
            [],
            [date(2026, 1, 1), "c.jpg", "25-32", "#N/A", None, ""],
        ],
        [["a table of another kind"], ["d.jpg", 1]],
    )
    labels = {name: plain(label) for name, label in by_path(path).items()}
    assert labels == {
        "é/a.jpg": plain(Label(30, 1, "7", "NA")),
        "b.jpg": plain(Label(4.5, 0, "Ada")),
        "c.jpg": plain(Label(28.5)),
    }
    assert [label.line for label in by_path(path).values()] == [3, 4, 6]


def changed(path: Path, old: bytes, new: bytes) -> Path:
    """Replace a part of the only sheet, as another program writes it."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert old in files["xl/worksheets/sheet1.xml"]
    files["xl/worksheets/sheet1.xml"] = files["xl/worksheets/sheet1.xml"].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_hidden_sheets_are_not_read(tmp_path: Path) -> None:
    path = sheet(tmp_path, [["path", "age"], ["old.jpg", 1]], [["path", "age"], ["a.jpg", 2]])
    book = openpyxl.load_workbook(path)
    book.worksheets[0].sheet_state, book.active = "hidden", 1
    book.save(path)
    assert list(by_path(path)) == ["a.jpg"]


def test_labels_on_several_sheets_are_not_left_out(tmp_path: Path) -> None:
    tables = [["path", "age"], ["a.jpg", 1]], [["path", "age"], ["b.jpg", 2]]
    with pytest.raises(UsageError, match=r"sheets 'Sheet' and 'Sheet1' have the same columns: move their"):
        read_table(sheet(tmp_path, *tables))


def test_formulas_have_their_results(tmp_path: Path) -> None:
    path = sheet(tmp_path, [["path", "age", "note"], ["a.jpg", "=10+20", "=1"], ["b.jpg", None, None]])
    with pytest.raises(UsageError, match=r"the formula in the cell B2 has no result: open and save the file"):
        read_table(path)
    # As Excel writes it; other columns do not matter.
    path = changed(path, b"<f>10+20</f><v />", b"<f>10+20</f><v>30</v>")
    assert [label.age for label in by_path(path).values()] == [30, pytest.approx(np.nan, nan_ok=True)]
    path = sheet(tmp_path, [["path", "age", "gender"], ["a.jpg", 30, "=IF(1,A9,B9)"]])
    path = changed(path, b'<c r="C2"><f>', b'<c r="C2" t="str"><f>')
    assert np.isnan(by_path(path)["a.jpg"].gender)


def test_errors_of_cells_are_not_unknown(tmp_path: Path) -> None:
    path = sheet(tmp_path, [["path", "age", "note"], ["a.jpg", "#N/A", "#NAME?"], ["b.jpg", 7, None]])
    assert by_path(path)["b.jpg"].age == 7
    with pytest.raises(UsageError, match=r"the cell B3 has the error #REF!: correct it"):
        read_table(sheet(tmp_path, [["path", "age"], ["a.jpg", "#N/A"], ["b.jpg", "#REF!"]]))


def test_wrong_cells_are_reported_with_the_row_that_excel_shows(tmp_path: Path) -> None:
    # Excel takes 10-12 for a date.
    path = sheet(tmp_path, [["path", "age"], ["a.jpg", 30], ["b.jpg", date(2026, 12, 10)]])
    with pytest.raises(UsageError, match=r"labels\.xlsx, row 3: '2026-12-10 00:00:00' is not an age"):
        read_table(path)


def test_predictions_that_were_corrected_in_excel(tmp_path: Path) -> None:
    header = ["path", "face", "faces", "x1", "y1", "x2", "y2", "age", "gender", "status"]
    path = sheet(
        tmp_path,
        [header, ["a.jpg", 1, 2, 1.5, 2, 3, 4, 50, "male", "ok"], ["b.jpg", None, 0, *[None] * 6, "no_face"]],
    )
    table = read_table(path)
    assert table.predictions
    assert [(place.face, place.box, label.age) for place, label in table.labels.items() if label.known] == [
        (1, (1.5, 2, 3, 4), 50)
    ]


@pytest.mark.parametrize(
    "content",
    # The last one is the start of a workbook with a password, and of one in the format of old versions.
    [b"", b"PK\x03\x04" + b"x" * 100, b"path,age\na,3\n", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600)],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.xlsx"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read .*: it is no Excel workbook, or .* a password"):
        read_table(path)


def test_an_empty_sheet_and_a_cell_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a first line"):
        read_table(sheet(tmp_path, []))
    with pytest.raises(UsageError, match="a cell has 9,000 characters"):
        read_table(sheet(tmp_path, [["path", "age"], ["x" * 9000, 3]]))


def test_without_openpyxl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arcage.data.excel_job import read

    path = sheet(tmp_path, [["path", "age"], ["a.jpg", 3]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    ((header, _),) = read({"path": str(path), "columns": ["path"], "max_cell": 100, "max_rows": 9}, b"")
    assert "pip install 'arcage[excel]'" in header["error"]
