"""``arcage data next``: from a cache to a sheet, and from the sheet to a fit."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arcage.errors import UsageError
from arcage.report.label_sheet import COLUMNS
from arcage.training.next_labels import NextRequest

Run = Callable[..., Any]
NEXT = ("data", "next", "--cache", "cache")


@pytest.fixture
def here(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's cache and heads in a folder of this test."""
    for name in ("cache", "heads", "photos"):
        shutil.copytree(name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fill(path: str) -> None:
    """Enter the age and the gender that a file name states."""
    found = rows(path)
    for row in found:
        row["age"], row["gender"] = Path(row["path"]).name.split("_")[:2]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(found)


def test_rounds_of_labelling(here: Path, run: Run) -> None:
    done = run(*NEXT, "--heads", "heads", "--n", "60", "--out", "one.csv")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    assert "one.csv: 60 of 160 faces without a label" in done.stderr
    first = rows("one.csv")
    assert len({row["path"] for row in first}) == 60
    assert all(row["suggested_age"] and row["age"] == "" for row in first)
    fill("one.csv")
    done = run(*NEXT, "--heads", "heads", "--labels", "one.csv", "--n", "60", "--out", "two.csv")
    assert done.exit_code == 0, done.stderr
    second = rows("two.csv")
    assert not {row["path"] for row in first} & {row["path"] for row in second}
    fill("two.csv")
    both = ("--labels", "one.csv", "--labels", "two.csv")
    fitted = run("fit", "--cache", "cache", *both, "--kind", "linear", "--out", "h")
    assert fitted.exit_code == 0, fitted.stderr
    done = run(*NEXT, "--heads", "h", *both, "--n", "60", "--out", "3.csv")
    assert len(rows("3.csv")) == 40, "no more are left"
    fill("3.csv")
    done = run(*NEXT, "--heads", "h", *both, "--labels", "3.csv", "--out", "4.csv")
    assert done.exit_code == 2
    assert "every face of the cache has a label" in done.stderr


def test_the_same_faces_again(here: Path, run: Run) -> None:
    for out in ("a.csv", "b.csv"):
        assert run(*NEXT, "--heads", "heads", "--n", "20", "--out", out).exit_code == 0
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()


def test_a_page_with_thumbnails(here: Path, run: Run) -> None:
    """The images of this project are none, so that their thumbnails are missing."""
    page = ("--page", "sheet.html", "--images", "photos")
    done = run(*NEXT, "--heads", "heads", "--n", "5", "--out", "sheet.csv", *page)
    assert done.exit_code == 0, done.stderr
    assert "sheet.html: the same sheet with thumbnails" in done.stderr
    assert "thumbnails missing: 5; --images must be" in done.stderr
    text = Path("sheet.html").read_text("utf-8")
    assert text.count('"thumbnail": null') == 5
    assert all(row["path"] in text for row in rows("sheet.csv"))


def test_a_cache_without_names(here: Path, run: Run) -> None:
    shutil.rmtree("cache/names")
    done = run(*NEXT, "--heads", "heads", "--n", "30", "--out", "sheet.csv")
    assert done.exit_code == 0, done.stderr
    assert "keeps no file names" in done.stderr
    found = rows("sheet.csv")
    assert all(re.fullmatch("[0-9a-f]{64}", row["path"]) for row in found)
    with open("sheet.csv", encoding="utf-8") as file:
        text = file.read()
    Path("sheet.csv").write_text(text.replace(",,", ",33,", 1), "utf-8")
    done = run("data", "describe", "--cache", "cache", "--labels", "sheet.csv", "--format", "json")
    assert '"labelled": 1' in done.stdout, done.stderr


def test_a_filled_sheet_is_never_replaced(here: Path, run: Run) -> None:
    assert run(*NEXT, "--heads", "heads", "--n", "5", "--out", "sheet.csv").exit_code == 0
    assert run(*NEXT, "--heads", "heads", "--n", "5", "--out", "sheet.csv").exit_code == 0, "it is empty"
    fill("sheet.csv")
    before = Path("sheet.csv").read_bytes()
    done = run(*NEXT, "--heads", "heads", "--n", "5", "--out", "sheet.csv", "--overwrite")
    assert done.exit_code == 2
    assert "has labels" in done.stderr
    assert Path("sheet.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"number": 0}, "from 1 to 5,000"),
        ({"number": 5001}, "from 1 to 5,000"),
        ({"page": Path("p.html")}, "give both"),
        ({"images": [Path("photos")]}, "give both"),
        ({"page": Path("p.html"), "images": [Path("labels.csv")]}, "is not a folder"),
        ({"page": Path("p.txt"), "images": [Path("photos")]}, "in .html"),
        ({"out": Path("sheet.txt")}, "must end in .csv"),
        ({"heads": "nowhere"}, "no such file or folder"),
        ({"labels": ["nowhere.csv"]}, "no such file or folder"),
        ({"caches": [Path("nowhere")]}, "no such file or folder"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("cache", "photos"):
        Path(folder).mkdir()
    Path("labels.csv").write_text("")
    request = {"caches": [Path("cache")], "labels": [], "out": Path("sheet.csv"), **options}
    with pytest.raises(UsageError, match=re.escape(words)):
        NextRequest(**request).check()
