"""Rows in all formats."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from predicted import ROWS

from arcage.errors import ForeignFileError, OutputError
from arcage.output.formats import (
    check_rows_file,
    open_text,
    print_stdout,
    write_file,
    write_stdout,
    write_text,
)
from arcage.output.registry import FORMATS, FormatName
from arcage.output.rows import COLUMNS
from arcage.text import gender_text
from arcage.types import Prediction

FACE = Prediction(
    path="a/b.jpg",
    face=0,
    faces=2,
    x1=-0.04,
    y1=2.25,
    x2=100.123,
    y2=200.0,
    det_score=0.98765,
    age=34.25,
    age_low=27.04,
    age_high=42.0,
    gender="female",
    p_female=0.97125,
    status="ok",
    error=None,
    familiarity=0.25,
)
NO_FACE = Prediction("c.jpg", None, 0, *[None] * 10, "no_face", None)  # type: ignore[arg-type]
UNREADABLE = replace(NO_FACE, path="d.jpg", status="unreadable", error="empty file")
UNDECODABLE = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
ODD = replace(NO_FACE, path='comma, "quote"\nline end é 日本.jpg')
BAD = replace(NO_FACE, path=UNDECODABLE)


def written(path: Path, *rows: Prediction) -> Path:
    with write_file(path) as write:
        for row in rows:
            write([row])
    return path


def test_the_columns_are_the_contract() -> None:
    assert ",".join(COLUMNS) == (
        "path,face,faces,x1,y1,x2,y2,det_score,age,age_low,age_high,gender,p_female,status,error,familiarity"
    )


def test_additional_columns_follow_the_others(tmp_path: Path) -> None:
    rows = [replace(FACE, more={"p_under_18": 0.123456, "p_under_25": 0.5}), NO_FACE]
    more = ("p_under_18", "p_under_25")
    paths = [tmp_path / f"out.{suffix}" for suffix in ("csv", "jsonl", "parquet")]
    for path in paths:
        with write_file(path, more=more) as write:
            write(rows)
        check_rows_file(path)
    header, first, second = csv.reader(paths[0].read_text().splitlines())
    assert header == [*COLUMNS, *more]
    assert (first[-2:], second[-2:]) == (["0.1235", "0.5000"], ["", ""])
    lines = [json.loads(line) for line in paths[1].read_text().splitlines()]
    assert [list(line) for line in lines] == [header] * 2
    assert [line["p_under_18"] for line in lines] == [0.1235, None]
    table = pq.read_table(paths[2])
    assert table.column_names == header
    assert table["p_under_18"].to_pylist() == [pytest.approx(0.123456), None]


@pytest.mark.parametrize("name", ["p_under", "salary", "p_under_18x"])
def test_tables_with_other_columns_are_not_replaced(tmp_path: Path, name: str) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        path = tmp_path / f"out.{suffix}"
        with write_file(path, more=[name]) as write:
            write([FACE])
        with pytest.raises(ForeignFileError):
            check_rows_file(path)


def test_csv(tmp_path: Path) -> None:
    path = written(tmp_path / "out.csv", FACE, NO_FACE, UNREADABLE)
    assert path.read_bytes().decode().split("\n") == [
        ",".join(COLUMNS),
        "a/b.jpg,0,2,0.0,2.2,100.1,200.0,0.988,34.2,27.0,42.0,female,0.9712,ok,,0.250000",
        "c.jpg,,0,,,,,,,,,,,no_face,,",
        "d.jpg,,0,,,,,,,,,,,unreadable,empty file,",
        "",
    ]


def test_csv_keeps_odd_paths(tmp_path: Path) -> None:
    path = written(tmp_path / "out.csv", ODD, replace(ODD, path="cr\r.jpg"), BAD)
    with path.open(encoding="utf-8", newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    assert paths == [ODD.path, "cr\r.jpg", "caf\\udce9.jpg"]


def test_jsonl(tmp_path: Path) -> None:
    path = written(tmp_path / "out.jsonl", FACE, UNREADABLE, ODD, BAD)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [tuple(row) for row in rows] == [COLUMNS] * 4
    assert rows[0] == {
        "path": "a/b.jpg",
        "face": 0,
        "faces": 2,
        "x1": 0.0,
        "y1": 2.2,
        "x2": 100.1,
        "y2": 200.0,
        "det_score": 0.988,
        "age": 34.2,
        "age_low": 27.0,
        "age_high": 42.0,
        "gender": "female",
        "p_female": 0.9712,
        "status": "ok",
        "error": None,
        "familiarity": 0.25,
    }
    assert rows[1]["age"] is None
    assert rows[1]["error"] == "empty file"
    assert [row["path"] for row in rows[2:]] == [ODD.path, UNDECODABLE]


def test_parquet_is_typed_and_nullable(tmp_path: Path) -> None:
    path = written(tmp_path / "out.parquet", FACE, UNREADABLE, ODD, BAD)
    table = pq.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    numbers = dict.fromkeys(
        ("x1", "y1", "x2", "y2", "det_score", "age", "age_low", "age_high", "p_female", "familiarity"),
        "float",
    )
    texts = dict.fromkeys(("path", "gender", "status", "error"), "string")
    assert types == {**numbers, **texts, "face": "int32", "faces": "int32"}
    assert tuple(types) == COLUMNS
    assert table["age"].to_pylist() == [34.25, None, None, None]
    assert table["path"].to_pylist() == ["a/b.jpg", "d.jpg", ODD.path, "caf\\udce9.jpg"]


def test_parquet_in_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.output.formats._ROWS_PER_GROUP", 2)
    path = written(tmp_path / "out.parquet", *[replace(FACE, face=i) for i in range(5)])
    assert pq.ParquetFile(path).num_row_groups == 3
    assert pq.read_table(path)["face"].to_pylist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "json"])
def test_a_file_without_rows(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"out.{suffix}")
    if suffix == "parquet":
        assert tuple(pq.read_table(path).column_names) == COLUMNS
    else:
        empty = {"csv": ",".join(COLUMNS) + "\n", "jsonl": "", "json": "[\n]\n"}
        assert path.read_text() == empty[suffix]


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if one.printed])
def test_standard_output_is_the_file(
    tmp_path: Path, name: FormatName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = on_stdout(monkeypatch, name, *ROWS)
    if FORMATS[name].suffix:
        path = tmp_path / f"a{FORMATS[name].suffix}"
        with write_file(path, name) as write:
            write(ROWS)
        assert path.read_bytes() == printed
    assert printed.endswith(b"\n")


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if one.suffix == ".json"])
def test_rows_are_readable_as_soon_as_they_are_written(name: FormatName) -> None:
    """All that comes later than a row is the end."""
    text = io.StringIO()
    with open_text(text, name) as write:
        write(ROWS[:2])
        before = text.getvalue()
        assert ROWS[0].path in before
        write(ROWS[2:])
        assert text.getvalue().startswith(before)
    json.loads(text.getvalue())


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "json"])
def test_another_error_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    path.write_text("old")
    with pytest.raises(AttributeError), write_file(path) as write:
        write([FACE] * 100_000 + [None])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "json"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"out.{suffix}"
    path.write_text("old")

    def full(file: Any, data: Any) -> int:
        raise OutputError("cannot write: No space left on device")

    monkeypatch.setattr("arcage.files._Output.write", full)
    with pytest.raises(OutputError, match="No space left"), write_file(path) as write:
        write([FACE] * 100_000)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def on_stdout(
    monkeypatch: pytest.MonkeyPatch, format_: Any, *rows: Prediction, encoding: str = "utf-8"
) -> bytes:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\r\n"))
    with write_stdout(format_) as write:
        write(rows)
    return raw.getvalue()


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    no_gender = replace(FACE, face=1, gender=None, p_female=None)
    no_age = replace(FACE, age=None, age_low=None, age_high=None, gender="male", p_female=0.3)
    odd = replace(NO_FACE, path="\x1b[31mé.jpg")
    text = on_stdout(monkeypatch, "table", FACE, no_gender, no_age, NO_FACE, UNREADABLE, odd, BAD).decode()
    assert text.splitlines() == [
        "  age  90 %     gender        face     score  image",
        " 34.2  27-42    female 97 %   #0 of 2  0.99   a/b.jpg",
        " 34.2  27-42    -             #1 of 2  0.99   a/b.jpg",
        "    -  -        male 70 %     #0 of 2  0.99   a/b.jpg",
        "    -  no face                                c.jpg",
        "    -  unreadable                             d.jpg: empty file",
        "    -  no face                                \\x1b[31mé.jpg",
        "    -  no face                                caf\\udce9.jpg",
    ]


def test_data_on_stdout_is_utf_8_with_plain_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    data = on_stdout(monkeypatch, "csv", replace(FACE, path="é.jpg"), BAD, encoding="ascii")
    assert "\né.jpg,0,2," in data.decode()
    assert "\ncaf\\udce9.jpg,," in data.decode()
    assert b"\r" not in data


def test_the_table_on_an_ascii_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    data = on_stdout(monkeypatch, "table", replace(FACE, path="é.jpg"), encoding="ascii")
    assert b"\\xe9.jpg" in data


@pytest.mark.parametrize(
    ("p", "words"), [(0.5, "female 50 %"), (0.499, "male 50 %"), (1, "female 100 %"), (0, "male 100 %")]
)
def test_gender_words(p: float, words: str) -> None:
    assert gender_text(p) == words


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_control_characters_in_text_formats() -> None:
    name = "=cmd|\x1b]0x\x07\u202e.jpg"
    csv_text, screen, lines = io.StringIO(), Screen(), io.StringIO()
    write_text(csv_text, "csv")([replace(NO_FACE, path=name)])
    write_text(screen, "csv")([replace(NO_FACE, path=name)])
    write_text(lines, "jsonl")([replace(NO_FACE, path=name)])
    assert csv_text.getvalue().splitlines()[1] == f"'{name},,0,,,,,,,,,,,no_face,,"
    assert screen.getvalue().splitlines()[1].startswith(r"'=cmd|\x1b]0x\x07\u202e.jpg,,0,")
    assert json.loads(lines.getvalue())["path"] == name
    assert r'"=cmd|\u001b]0x\u0007\u202e.jpg"' in lines.getvalue()


def test_numbers_have_no_apostrophe() -> None:
    text = io.StringIO()
    write_text(text, "csv")([replace(FACE, x1=-5.0, path="-")])
    assert text.getvalue().splitlines()[1].startswith("-,0,2,-5.0,2.2,")


def test_printed_text_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_stdout("a\x1b\nb\r")
    assert capsys.readouterr().out == "a\\x1b\nb\\r\n"
