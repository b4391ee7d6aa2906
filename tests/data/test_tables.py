"""Label tables: which files and columns are read, and which are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from label_tables import NAN, by_path, plain, read, refused, write

from arcage.data.labels import Label
from arcage.data.tables import Place, parse_columns, read_table
from arcage.errors import UsageError
from arcage.output.formats import write_file
from arcage.types import Prediction

FACE = Prediction("a.jpg", 0, 1, -1.5, 2, 3, 4, 0.9, 30, 20, 40, "male", 0.1, "ok", None)


def test_a_table(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "note,gender,path,age,person,group\n"
        "x,male,a.jpg,30,Ada,one\n"
        "x,F,b/c d.jpg,4.5,,\n"
        ',,"e, f ""g"".jpg",120, Bo ,\n'
        "x,1,é/ü.jpg,,,\n"
        "x,0.0,h.jpg,0,,\n",
    )
    expected = {
        "a.jpg": Label(30, 0, "Ada", "one"),
        "b/c d.jpg": Label(4.5, 1),
        'e, f "g".jpg': Label(120, NAN, "Bo"),
        "é/ü.jpg": Label(NAN, 1),
        "h.jpg": Label(0, 0),
    }
    assert table == {name: plain(label) for name, label in expected.items()}


@pytest.mark.parametrize(
    "text",
    [
        "path,age\na.jpg,30\nb/c.jpg,40\n",
        "\ufeffpath,age\na.jpg,30\nb/c.jpg,40\n",
        "path,age\r\na.jpg,30\r\nb/c.jpg,40\r\n",
        "path,age\n\na.jpg,30\n\n\nb/c.jpg,40",
        "Path, AGE \n./a.jpg, 30 \nb\\c.jpg,40\n",
        '"path","age","note"\n"a.jpg","30","x, y"\nb//c.jpg,40\n',
        "path,age\na.jpg,30,\nb/./c.jpg,40\na.jpg,30\n",
    ],
    ids=["plain", "BOM", "CRLF", "blank lines", "spaces and Windows", "quotes", "twice alike"],
)
def test_ways_to_write_the_same_table(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {"a.jpg": plain(Label(30)), "b/c.jpg": plain(Label(40))}


def test_a_table_of_one_attribute_and_lines_without_labels(tmp_path: Path) -> None:
    nothing = plain(Label())
    table = read(tmp_path, "path,gender\na,f\nb,\nc\n")
    assert table == {"a": plain(Label(NAN, 1)), "b": nothing, "c": nothing}
    assert read(tmp_path, "path,age\n") == {}
    assert not Label(person="Ada", group="one").known
    assert Label(age=0).known
    assert Label(gender=0).known


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["first line", "path", "it has none"]),
        ("file,age\na,1\n", ["it has file, age"]),
        ("path,years\na,1\n", ["age or gender", "it has path, years"]),
        ("path/age\na/1\n", ["separated by commas", "path/age"]),
        ("a.jpg,30\n", ["first line", "a.jpg, 30"]),
        ("path,age,Age\na,1,2\n", ["more than one column age"]),
        ("path,age\na,1\nb,121\n", ["line 3", "'121'", "0 to 120", "leave it empty"]),
        ("path,age\na,-1\n", ["line 2", "'-1'"]),
        ("path,age\na,inf\n", ["line 2", "'inf'"]),
        ("path,age\na,thirty\n", ["line 2", "'thirty'"]),
        ("path,age\na,39-30\n", ["line 2", "'39-30'"]),
        ("path,gender\na,f\nb,fem\n", ["line 3", "'fem'", "female"]),
        ("path,gender\na,2\n", ["line 2", "'2'"]),
        ("path,age\n,30\n", ["line 2", "path is empty"]),
        ("path,age\n  ,30\n", ["line 2", "path is empty"]),
        ("path,age\na,1\n\nb,2\na,3\n", ["line 5", "another label for a", "line 2"]),
        ("path,age\na/b,1\n./a\\b,3\n", ["line 3", "another label for a/b"]),
        ("path,age\nSmith, John.jpg,30\n", ["line 2", "more values than columns", "quotation marks"]),
        ('path,age\na,1\n"b,2\nc,3\nd,4\n', ["line 3", "quotation marks"]),
        ('path,age\n"a"b,1\n', ["line 2", "quotation marks"]),
        ("path,age\ncafé,1\né,2\n".encode().replace(b"\xc3", b"", 1), ["UTF-8"]),
        ("path,age\na,1\n".encode("utf-16-le"), ["path"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["UTF-8"]),
    ],
)
def test_a_table_that_is_refused(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    message = refused(tmp_path, text)
    for word in words:
        assert word in message


def test_every_wrong_line_is_reported(tmp_path: Path) -> None:
    lines = [f"{n}.jpg,{age},f,train,1" for n, age in enumerate([30, 121, 30, -1, 40, 200, 300, 400, "x"])]
    lines.append("9.jpg,30,f,some day,1")
    lines.append("10.jpg,30,f,,-2")
    message = refused(tmp_path, "path,age,gender,split,weight\n" + "\n".join(lines))
    reported = message.splitlines()
    assert [line.split(": ")[0].split(" ")[-1] for line in reported[:5]] == ["3", "5", "7", "8", "9"]
    assert reported[5] == "and 3 more such lines"
    message = refused(tmp_path, "path,age,split,weight\n" + "a,3,some day,1\nb,3,,-2\nc,3,,inf\nd,3,,much\n")
    for words in ("line 2: unknown split 'some day'", "train, test, val", "line 3: '-2'", "line 4", "line 5"):
        assert words in message


def test_labels_have_line_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, 'path,age\n\n"a\nb",30\nc,40\n')
    assert {name: label.line for name, label in by_path(path).items()} == {"a\nb": 4, "c": 5}


def test_a_line_without_labels_contradicts_no_other(tmp_path: Path) -> None:
    expected = {"a": plain(Label(30)), "b": plain(Label(40))}
    assert read(tmp_path, "path,age\na,30\na,\nb,\nb,40\n") == expected


TABLE = {"File": ["a.jpg", "b/c.jpg"], "Years": ["30", ""], "age": ["x", "y"], "Sex": ["f", "M"]}


COLUMNS = {"path": "file", "age": "Years", "gender": "sex"}


def test_columns_of_other_names(tmp_path: Path) -> None:
    lines = [",".join(TABLE), *(",".join(row) for row in zip(*TABLE.values(), strict=True))]
    path = write(tmp_path, "\n".join(lines))
    found = {name: plain(label) for name, label in by_path(path, COLUMNS).items()}
    assert found == {"a.jpg": plain(Label(30, 1)), "b/c.jpg": plain(Label(gender=0))}
    for columns, words in (
        ({"path": "Files"}, "has no column 'Files' for path; it has file, years, age, sex"),
        ({"age": "Years"}, "columns path and age or gender"),
        ({**COLUMNS, "person": "who"}, "no column 'who' for person"),
    ):
        with pytest.raises(UsageError, match=words):
            read_table(path, columns)
    twice = write(tmp_path, "path,age,Age\na,1,2\n")
    with pytest.raises(UsageError, match="more than one column age"):
        read_table(twice, {"gender": "path"})


def test_parse_columns() -> None:
    assert parse_columns("age=Years, gender = the sex ,") == {"age": "Years", "gender": "the sex"}
    for text in ("Years", "years=age", "age=", "=Age", "age=a,age=b", "age:Years"):
        with pytest.raises(UsageError, match=r"NAME=COLUMN.*age=Years,gender=sex"):
            parse_columns(text)


def test_a_table_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    rows = {
        "path": ["a.jpg", "b\\c.jpg", "d.jpg"],
        "age": [30.0, math.nan, None],
        "Gender": [1, 0, None],
        "person": pa.array(["Ada", None, "Bo"]).dictionary_encode(),
        "weight": [1, 2, None],
    }
    pq.write_table(pa.table(rows), path)
    found = by_path(path)
    assert {name: plain(label) for name, label in found.items()} == {
        "a.jpg": plain(Label(30, 1, "Ada", weight=1)),
        "b/c.jpg": plain(Label(gender=0, weight=2)),
        "d.jpg": plain(Label(person="Bo")),
    }
    assert [label.line for label in found.values()] == [1, 2, 3]
    pq.write_table(pa.table({"path": ["a", "b"], "age": [1, 130]}), path)
    with pytest.raises(UsageError, match=r"labels\.parquet, row 2: '130'"):
        read_table(path)
    pq.write_table(pa.table({"path": ["a"], "gender": [True]}), path)
    with pytest.raises(UsageError, match="row 1: unknown gender 'True'"):
        read_table(path)
    pq.write_table(pa.table({"age": [1]}), path)
    with pytest.raises(UsageError, match="it has age"):
        read_table(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UsageError, match="as parquet"):
        read_table(path)
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="as parquet"):
        read_table(path)
    with pytest.raises(UsageError, match="no such file"):
        read_table(tmp_path / "none.parquet")


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the labels .*none\.csv: no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="cannot read the labels"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        'path;age;weight\na.jpg;30,5;"1,5"\nb, c.jpg;40;2\n',
        "\ufeffpath;age;weight\r\na.jpg;30,5;1,5\r\nb, c.jpg;40;2\r\n",
        "sep=;\npath;age;weight\na.jpg;30.5;1.5\nb, c.jpg;40;2\n",
        "path\tage\tweight\na.jpg\t30.5\t1.5\nb, c.jpg\t40\t2\n",
        "path|age|weight\na.jpg|30.5|1.5\nb, c.jpg|40|2\n",
        "path^age^weight\na.jpg^30.5^1.5\nb, c.jpg^40^2\n",
        'path  age weight\na.jpg 30.5 1.5\n"b, c.jpg"  40   2\n',
    ],
    ids=["semicolons", "Excel", "a line for Excel", "tabs", "pipes", "carets", "spaces"],
)
def test_other_separators(tmp_path: Path, text: str) -> None:
    expected = {"a.jpg": plain(Label(30.5, weight=1.5)), "b, c.jpg": plain(Label(40, weight=2))}
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "path\tage\r\né/日本.jpg\t30\r\n".encode(encoding))
    table = read_table(path)
    assert [(place.path, label.age) for place, label in table.labels.items()] == [("é/日本.jpg", 30)]
    assert not table.remarks


def test_windows_1252_is_guessed_and_told(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "path;age\né.jpg;30\n".encode("cp1252")))
    assert [place.path for place in table.labels] == ["é.jpg"]
    assert "read as Windows-1252" in table.remarks[0]


def test_numbers_and_rows_of_a_spreadsheet(tmp_path: Path) -> None:
    """Decimal commas in all columns of numbers, and cleared rows."""
    text = "path;age;gender;person;weight\na;30,0;1,0;7,0;1,0\nb;30 years;0,0;8;\n;;;;\n;;;;\n"
    assert read(tmp_path, text) == {
        "a": plain(Label(30, 1, person="7", weight=1)),
        "b": plain(Label(30, 0, person="8")),
    }


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"path": "a", "age": 30.5}\n\n{"path": "b", "gender": 1, "age": null}\n')
    assert {name: (plain(label), label.line) for name, label in by_path(path).items()} == {
        "a": (plain(Label(30.5)), 1),
        "b": (plain(Label(gender=1)), 3),
    }
    for text, words in (('{"path": "a"', "line 1: not JSON"), ("[1]", "line 1: give an object")):
        path.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_table(path)


def test_a_table_of_predictions_has_a_label_for_each_face(tmp_path: Path) -> None:
    text = (
        "path,face,faces,x1,y1,x2,y2,age,gender,status\n"
        "p/two.jpg,0,2,1,2,3.5,4,30,female,ok\np/two.jpg,1,2,-5,6,7,8,40,male,ok\np/none.jpg,,0,,,,,,,no_face\n"
    )
    table = read_table(write(tmp_path, text))
    assert table.predictions
    assert {(place.path, place.face, place.box): plain(label) for place, label in table.labels.items()} == {
        ("p/two.jpg", 0, (1, 2, 3.5, 4)): plain(Label(30, 1)),
        ("p/two.jpg", 1, (-5, 6, 7, 8)): plain(Label(40, 0)),
        ("p/none.jpg", None, None): plain(Label()),
    }
    assert table.remarks == ("a table of faces: its ages and genders are used as labels, face by face",)
    twice = text + "p/two.jpg,1,2,-5,6,7,8,41,male,ok\n"
    assert "line 5: another label for face 1 of p/two.jpg than in line 3" in refused(tmp_path, twice)
    assert "'a' is not a face number" in refused(tmp_path, text.replace("two.jpg,0", "two.jpg,a"))
    # In any other table, a column face is ignored.
    other = read_table(write(tmp_path, "path,face,age\na,happy,30\n"))
    assert (list(other.labels), other.predictions) == ([Place("a")], False)


def test_accents_in_columns_and_groups(tmp_path: Path) -> None:
    path = write(tmp_path, "path,a\u0302ge,group\na,30,Zoe\u0308\nb,30,Zo\u00eb\n")
    assert {label.group for label in by_path(path, {"age": "\u00c2ge"}).values()} == {"Zo\u00eb"}


def test_cells_of_arcages_own_tables_lose_one_apostrophe(tmp_path: Path) -> None:
    names = ["=a.jpg", "'=b.jpg", "-c.jpg", "'d.jpg", "\te.jpg"]
    out = tmp_path / "rows.csv"
    with write_file(out) as add:
        add([replace(FACE, path=name) for name in names])
    assert "\n'=a.jpg,0,1,-1.5," in out.read_text()
    assert set(by_path(out)) == set(names)
    mat = "path,age,gender,person,left_out\n'=a.jpg,30,male,'@ada,\n"
    assert by_path(write(tmp_path, mat))["=a.jpg"].person == "@ada"
    # Another table is read as it is.
    assert set(by_path(write(tmp_path, "path,age\n'=a.jpg,30\n-b.jpg,31\n"))) == {"'=a.jpg", "-b.jpg"}


def test_each_wrong_line_is_a_line_of_the_message(tmp_path: Path) -> None:
    path = write(tmp_path, 'path,age\n"a\nb",x\nc,y\n')
    with pytest.raises(UsageError) as caught:
        read_table(path)
    assert len(caught.value.lines) == 2


def test_a_column_sex_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,Sex,age\na.jpg,f,30\n")
    (remark,) = read_table(path).remarks
    assert remark == "the column sex is not read: `columns` gender=sex reads it as the gender"
    assert not read_table(path, {"gender": "sex"}).remarks
    assert not read_table(path, {"group": "sex"}).remarks
    path.write_text("path,sex,gender\na.jpg,f,f\n")
    assert not read_table(path).remarks
