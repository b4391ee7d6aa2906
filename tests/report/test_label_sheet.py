"""Sheets of faces to label: they are label files, and hostile names do nothing."""

from __future__ import annotations

import base64
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from caches import image, write

from arcage.cache import Cache, CacheTable
from arcage.data.join import labelled_faces
from arcage.data.tables import read_table
from arcage.errors import ForeignFileError, UsageError
from arcage.heads.model import Predictions
from arcage.report.label_sheet import (
    COLUMNS,
    Sheet,
    check_page_file,
    check_sheet_file,
    make_sheet,
    write_page,
    write_sheet,
)

PHOTO = (Path(__file__).parents[2] / "examples" / "astronaut.jpg").read_bytes()
EVIL = "</script><img src=x onerror=alert(1)>.jpg"
BOXES = [(50, 50, 150, 150), (10, 20, 40, 60)]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A photo with two faces, names that are no ordinary ones, and an image without a name."""
    return write(
        tmp_path / "cache",
        [
            ("photos/a.jpg", image(PHOTO, [(1, 2), (3, 4)], BOXES)),
            ("=1+1.jpg", image("formula")),
            (EVIL, image("evil")),
            (None, image("nameless")),
            ("none.jpg", image("none", [])),
        ],
    )


def sheet_of(cache: Cache) -> tuple[Sheet, CacheTable]:
    table = cache.table()
    rows = np.flatnonzero(table.face >= 0)
    predictions = Predictions(
        *(np.arange(5, dtype=np.float32) + start for start in (30, 20, 40)),
        np.array([0.1, 0.9, 0.5, np.nan, 0.2], np.float32),
        familiarity=np.full(5, 0.25, np.float32),
    )
    names: dict[str, list[str]] = {}
    for name, sha256 in zip(cache.names().names, cache.names().sha256(), strict=True):
        names.setdefault(sha256, []).append(name)
    return make_sheet(table, rows, predictions, names), table


def filled(path: Path, ages: dict[int, str]) -> None:
    """Write an age into some rows."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    for row, age in ages.items():
        rows[row + 1][COLUMNS.index("age")] = age
        rows[row + 1][COLUMNS.index("gender")] = "f"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def test_an_empty_sheet_has_no_label_and_suggestions_are_not_read(cache: Cache, tmp_path: Path) -> None:
    sheet, _ = sheet_of(cache)
    write_sheet(tmp_path / "sheet.csv", sheet)
    table = read_table(tmp_path / "sheet.csv")
    assert len(table.labels) == 5
    assert not any(label.known for label in table.labels.values())
    with (tmp_path / "sheet.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} >= {"photos/a.jpg", "'=1+1.jpg", EVIL}
    assert {row["suggested_gender"] for row in rows} == {"female", "male", ""}
    assert {row["suggested_age"] for row in rows} == {"30.0", "31.0", "32.0", "33.0", "34.0"}


def test_a_filled_sheet_labels_exactly_its_faces(cache: Cache, tmp_path: Path) -> None:
    sheet, table = sheet_of(cache)
    write_sheet(tmp_path / "sheet.csv", sheet)
    ages = {row: str(10 * row + 5) for row in range(5)}
    filled(tmp_path / "sheet.csv", ages)
    faces = labelled_faces(cache, str(tmp_path / "sheet.csv"))
    np.testing.assert_array_equal(faces.rows, np.flatnonzero(table.face >= 0))
    assert faces.age.tolist() == [5, 15, 25, 35, 45]
    assert (faces.gender == 1).all()


def test_rows_that_are_not_filled_in_stay_unlabelled(cache: Cache, tmp_path: Path) -> None:
    sheet, table = sheet_of(cache)
    write_sheet(tmp_path / "sheet.csv", sheet)
    second = next(i for i, face in enumerate(sheet.faces) if face["face"] == 1)
    filled(tmp_path / "sheet.csv", {second: "61"})
    faces = labelled_faces(cache, str(tmp_path / "sheet.csv"))
    assert faces.age.tolist() == [61]
    assert table.face[faces.rows].tolist() == [1]


def test_what_may_be_replaced(cache: Cache, tmp_path: Path) -> None:
    sheet, _ = sheet_of(cache)
    path = tmp_path / "sheet.csv"
    check_sheet_file(path)
    write_sheet(path, sheet)
    check_sheet_file(path)
    filled(path, {0: "30"})
    with pytest.raises(UsageError, match=r"has labels \(1\): choose another name"):
        check_sheet_file(path)
    path.write_text("path,age\na.jpg,3\n")
    with pytest.raises(ForeignFileError):
        check_sheet_file(path)
    with pytest.raises(UsageError, match=r"must end in \.csv"):
        check_sheet_file(tmp_path / "sheet.xlsx")
    with pytest.raises(UsageError, match=r"in \.html"):
        check_page_file(tmp_path / "sheet.txt")
    (tmp_path / "mine.html").write_text("<title>mine</title>")
    with pytest.raises(ForeignFileError):
        check_page_file(tmp_path / "mine.html")


def test_the_page_has_the_sheet_and_the_faces_that_are_found(cache: Cache, tmp_path: Path) -> None:
    sheet, _ = sheet_of(cache)
    (tmp_path / "in" / "photos").mkdir(parents=True)
    (tmp_path / "in" / "photos" / "a.jpg").write_bytes(PHOTO)
    assert write_page(tmp_path / "p.html", sheet, [tmp_path / "in"], "sheet.csv") == 3
    check_page_file(tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text("utf-8")
    assert EVIL not in text
    assert "default-src 'none'" in text
    assert str(tmp_path) not in text, "only names as the cache stores them"
    found = re.search(r'<script type="application/json" id="sheet">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["columns"] == list(COLUMNS)
    assert [tuple(row["cells"]) for row in data["rows"]] == list(sheet.rows)
    pictures = [row["thumbnail"] for row in data["rows"] if row["thumbnail"]]
    assert len(pictures) == 2
    assert all(base64.b64decode(picture).startswith(b"\xff\xd8") for picture in pictures)
