"""One list of formats, which the command line, its completion and the documentation use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from arcage.errors import UsageError
from arcage.output.registry import (
    FORMATS,
    SUFFIXES,
    FormatName,
    file_format,
    file_help,
    format_of,
    printed_format,
    suffixes,
)

ROOT = Path(__file__).parents[2]


def test_the_choices_are_the_formats() -> None:
    assert get_args(FormatName) == tuple(FORMATS)


def test_the_suffix_decides() -> None:
    names = ("a.csv", "a.JSONL", "x.y/a.parquet", "a.json", "a.xlsx")
    assert [format_of(Path(name)) for name in names] == ["csv", "jsonl", "parquet", "json", "xlsx"]
    with pytest.raises(UsageError, match=r"in one of \.csv, \.jsonl, \.json, \.parquet, \.xlsx$"):
        format_of(Path("a.txt"))
    assert set(SUFFIXES) == set(suffixes())
    assert file_help() == "FILE.csv, FILE.jsonl, FILE.json, FILE.parquet or FILE.xlsx"


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if one.suffix])
def test_a_name_may_say_more_than_the_suffix(name: FormatName) -> None:
    path = Path(f"a{FORMATS[name].suffix.upper()}")
    assert file_format(path, name).name == name
    assert file_format(path).name == SUFFIXES[path.suffix.lower()]


@pytest.mark.parametrize(
    ("file", "name", "words"),
    [
        ("a.csv", "coco", "`format` coco is written to .json, but `out` is a.csv: change one of them"),
        ("a.json", "jsonl", "`format` jsonl is written to .jsonl, but `out` is a.json: change one of them"),
        ("a.csv", "table", "`format` table is only printed: leave it out to write csv to a.csv"),
    ],
)
def test_a_name_that_contradicts_the_suffix(file: str, name: FormatName, words: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(words)}$"):
        file_format(Path(file), name)


def test_files_only() -> None:
    assert printed_format("json").name == "json"
    with pytest.raises(
        UsageError, match=r"^`format` xlsx is not text: name a file, as in `out` faces\.xlsx$"
    ):
        printed_format("xlsx")


def test_every_format_is_described() -> None:
    page = (ROOT / "docs" / "guide" / "output.md").read_text("utf-8")
    described = re.findall(r"^\| `([a-z-]+)` \| (?:`(\.[a-z]+)` )?\| .*\|$", page, re.MULTILINE)
    assert described[: len(FORMATS)] == [(one.name, one.suffix) for one in FORMATS.values()]
