"""Labels from file names and tables: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcage.data.labels import Label, is_number, label_from_name, merge, person_key
from arcage.data.tables import Place, parse_columns, read_table
from arcage.errors import UsageError

NAN = math.nan
SHARED = Path(__file__).parents[3] / "shared" / "data" / "utkface"


def plain(label: Label | None) -> tuple[object, ...] | None:
    """NaN is not equal to itself."""
    values = asdict(label) if label else {}
    return label and tuple(None if v != v else v for name, v in values.items() if name != "line")


def same(one: Label | None, other: Label | None) -> bool:
    return plain(one) == plain(other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("25_0_2_20170116174525125.jpg.chip.jpg", Label(25, 0, group="Asian")),
        ("1_1_0_20161219140623097.jpg", Label(1, 1, group="White")),
        ("116_1_4_20170112213500903.jpg.chip.jpg", Label(116, 1, group="Others")),
        ("0_0_3_20170116174525125.png", Label(0, 0, group="Indian")),
        ("120_0_1_20170116174525125.png", Label(120, 0, group="Black")),
        ("part1/deep/25_0_2_20170116174525125.jpg", Label(25, 0, group="Asian")),
        # As they are in the set: two without a race, one without the dot; a blank.
        ("61_1_20170109142408075.jpg.chip.jpg", Label(61, 1)),
        ("61_1_20170109150557335.jpg.chip.jpg", Label(61, 1)),
        ("39_1_20170116174525125.jpg.chip.jpg", Label(39, 1)),
        ("55_0_0_20170116232725357jpg.chip.jpg", Label(55, 0, group="White")),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", Label(24, 0, group="Black")),
        ("121_0_1_20170116174525125.jpg", None),
        ("999_0_1_20170116174525125.jpg", None),
        ("1000_0_1_20170116174525125.jpg", None),
        ("-5_0_1_20170116174525125.jpg", None),
        ("25_2_1_20170116174525125.jpg", None),
        ("25_0_5_20170116174525125.jpg", None),
        ("53__0_20170116184028385.jpg", None),
        ("25_0_2.jpg", None),
        ("25_0_2_2017.jpg", None),
        ("x25_0_2_20170116174525125.jpg", None),
        ("25_0_2_20170116174525125/photo.jpg", None),
        ("IMG_20170116_174525.jpg", None),
        ("", None),
    ],
)
def test_names_of_utkface(name: str, expected: Label | None) -> None:
    assert same(label_from_name("utkface", name), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0_MariaCallas_35_f.jpg", Label(35, 1, person="MariaCallas")),
        ("16448_DouglasFairbanks_55_m.jpg", Label(55, 0, person="DouglasFairbanks")),
        ("AgeDB/12_Jean_Luc_Picard_101_m.jpg", Label(101, 0, person="Jean_Luc_Picard")),
        ("7_Robert_Downey_Jr._50_m.jpg", Label(50, 0, person="Robert_Downey_Jr.")),
        ("8_Agent_007_40_m.png", Label(40, 0, person="Agent_007")),
        ("9_ÉdithPiaf_47_f.jpg", Label(47, 1, person="ÉdithPiaf")),
        ("9_A_0_f.jpg", Label(0, 1, person="A")),
        ("9_A_120_f.jpg", Label(120, 1, person="A")),
        ("9_A_121_f.jpg", None),
        ("9_A_40_x.jpg", None),
        ("9_A_40_f", None),
        ("9__40_f.jpg", None),
        ("A_40_f.jpg", None),
        ("25_0_2_20170116174525125.jpg", None),
    ],
)
def test_names_of_agedb(name: str, expected: Label | None) -> None:
    assert same(label_from_name("agedb", name), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("male/a.jpg", Label(gender=0)),
        ("Female/a.jpg", Label(gender=1)),
        ("train/MEN/deep/a.jpg", Label(gender=0)),
        ("men/women/a.jpg", Label(gender=1)),
        ("woman/man.jpg", Label(gender=1)),
        ("male.jpg", None),
        ("m/a.jpg", None),
        ("females and males/a.jpg", None),
        ("malefactors/female.jpg", None),
    ],
)
def test_names_of_folders(name: str, expected: Label | None) -> None:
    assert same(label_from_name("folders", name), expected)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def by_path(path: Path, columns: dict[str, str] | None = None) -> dict[str, Label]:
    return {place.path: label for place, label in read_table(path, columns).labels.items()}


def read(folder: Path, text: str) -> dict[str, object]:
    return {name: plain(label) for name, label in by_path(write(folder, text)).items()}


def refused(folder: Path, text: str | bytes) -> str:
    path = write(folder, text)
    with pytest.raises(UsageError) as raised:
        read_table(path)
    assert "labels.csv" in str(raised.value)
    return str(raised.value)


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


def test_a_table_of_one_attribute_or_of_none_in_a_line(tmp_path: Path) -> None:
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
        ("path|age\na|1\n", ["separated by commas", "path|age"]),
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
        ("path,age\ncafé,1\n".encode("latin-1"), ["UTF-8"]),
        ("path,age\na,1\n".encode("utf-16"), ["UTF-8"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["UTF-8"]),
    ],
)
def test_a_table_that_is_refused(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    message = refused(tmp_path, text)
    for word in words:
        assert word in message


def test_every_wrong_line_is_told(tmp_path: Path) -> None:
    lines = [f"{n}.jpg,{age},f,train,1" for n, age in enumerate([30, 121, 30, -1, 40, 200, 300, 400, "x"])]
    lines.append("9.jpg,30,f,some day,1")
    lines.append("10.jpg,30,f,,-2")
    message = refused(tmp_path, "path,age,gender,split,weight\n" + "\n".join(lines))
    told = message.splitlines()
    assert [line.split(": ")[0].split(" ")[-1] for line in told[:5]] == ["3", "5", "7", "8", "9"]
    assert told[5] == "and 3 more such lines"
    message = refused(tmp_path, "path,age,split,weight\n" + "a,3,some day,1\nb,3,,-2\nc,3,,inf\nd,3,,much\n")
    for words in ("line 2: unknown split 'some day'", "train, test, val", "line 3: '-2'", "line 4", "line 5"):
        assert words in message


def test_splits_and_weights(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "path,age,split,weight\na,30,Train,2\nb,30,val,0\nc,30, TEST ,\nd,30,,1e-3\ne,30,validation,1\n",
    )
    assert table == {
        "a": plain(Label(30, weight=2, split="train")),
        "b": plain(Label(30, weight=0, split="test")),
        "c": plain(Label(30, split="test")),
        "d": plain(Label(30, weight=0.001)),
        "e": plain(Label(30, weight=1, split="test")),
    }


def test_lines_are_known(tmp_path: Path) -> None:
    path = write(tmp_path, 'path,age\n\n"a\nb",30\nc,40\n')
    assert {name: label.line for name, label in by_path(path).items()} == {"a\nb": 4, "c": 5}


def test_a_line_that_says_nothing_contradicts_none(tmp_path: Path) -> None:
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


def test_columns_as_an_option() -> None:
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


def test_copies_of_an_image_are_joined_unless_they_contradict() -> None:
    assert same(merge([Label(30, 1), Label(30, 1)]), Label(30, 1))
    assert same(merge([Label(30), Label(gender=0, person="Ada"), Label(30, 0)]), Label(30, 0, "Ada"))
    assert same(merge([Label()]), Label())
    assert same(merge([Label(0, 0)]), Label(0, 0))
    assert same(
        merge([Label(30, person="MariaCallas"), Label(person="maria callas")]),
        Label(30, person="MariaCallas"),
    )
    assert same(
        merge([Label(1, weight=2, split="train"), Label(1, weight=3, split="test")]),
        Label(1, weight=2, split="test"),
    )
    assert same(merge([Label(1), Label(1, split="train")]), Label(1, split="train"))
    for other in (Label(31, 1), Label(30, 0), Label(30, 1, "Bo"), Label(30, 1, "Ada", "two")):
        assert merge([Label(30, 1, "Ada", "one"), other]) is None


def test_spellings_of_a_person() -> None:
    spellings = ("Édith_Piaf", "EdithPiaf", "edith piaf", "Edith-Piaf.")
    assert {person_key(name) for name in spellings} == {"edithpiaf"}
    assert person_key("___") == "___"
    assert person_key("王菲") == "王菲"
    assert len({person_key(name) for name in ("Ada", "Bo", "12", "1", "?", "")}) == 6


@pytest.mark.shared
def test_the_names_of_utkface_itself() -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    labels = [label_from_name("utkface", path.name) for path in SHARED.iterdir()]
    known = [label for label in labels if label is not None]
    assert len(known) == len(labels) == 19_023
    assert sum(label.group == "" for label in known) == 2
    assert {label.gender for label in known} == {0, 1}
    assert (min(label.age for label in known), max(label.age for label in known)) == (1, 116)


@pytest.mark.parametrize(
    "text", ["4_6", "4２", "４６", "١٢", "1e1", "0x1e", "inf", "Infinity", "1_0.5", "30y5", "9" * 400, "+-3"]
)
def test_what_python_takes_for_a_number_and_people_do_not(tmp_path: Path, text: str) -> None:
    assert f"{text!r} is not an age in years from 0 to 120" in refused(tmp_path, f"path,age\na,{text}\n")


@pytest.mark.parametrize("text", ["1_0", "١", "inf", "-1", "1e39", "1e-46", "1e-400", "0x1"])
def test_what_is_no_weight(tmp_path: Path, text: str) -> None:
    message = refused(tmp_path, f"path,age,weight\na,30,{text}\n")
    assert f"{text!r} is not a weight, 0 or a number from 1e-30 to 1e+30" in message


def test_digits_of_other_scripts_in_file_names() -> None:
    assert label_from_name("utkface", "٢٥_0_2_20170116174525125.jpg") is None
    assert label_from_name("agedb", "1_A_３５_f.jpg") is None


UNKNOWN = (
    "",
    " ",
    "NA",
    "na",
    "N/A",
    "n/a",
    "#N/A",
    "<NA>",
    "NaN",
    "nan",
    "NULL",
    "null",
    "None",
    "none",
    "-",
    "?",
    "n.a.",
    "NaT",
    "missing",
    "\\N",
    "#NV",
    "#N/D",
    "#N/A N/A",
    "-1.#IND",
    "1.#QNAN",
)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_one_rule_for_what_is_unknown(tmp_path: Path, suffix: str) -> None:
    """In every column except group and path, in every file format."""
    rows = [
        {"path": f"{n}.jpg", "age": word, "gender": word, "person": word, "split": word, "weight": word}
        for n, word in enumerate(UNKNOWN)
    ]
    rows += [
        {"path": name, "age": "30", "gender": "f", "person": name, "group": name}
        for name in ("Na", "Nan", "Null", "NA")
    ]
    path = tmp_path / f"labels.{suffix}"
    names = ("path", "age", "gender", "person", "split", "weight", "group")
    if suffix == "parquet":
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
    elif suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        lines = [",".join(row.get(name, "") for name in names) for row in rows]
        path.write_text("\n".join([",".join(names), *lines]))
    found = by_path(path)
    assert len(found) == len(UNKNOWN) + 4
    for n in range(len(UNKNOWN)):
        assert plain(found[f"{n}.jpg"]) == plain(Label())
    # These are names of people and countries.
    assert [found[name].person for name in ("Na", "Nan", "Null", "NA")] == ["Na", "Nan", "Null", ""]
    assert [found[name].group for name in ("Na", "Nan", "Null", "NA")] == ["Na", "Nan", "Null", "NA"]


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("25-32", 28.5),
        ("0-2", 1),
        ("3\u20139", 6),
        ("25 to 32", 28.5),
        ("(25, 32)", 28.5),
        ("[25, 32]", 28.5),
        ("(24, 32]", 28.5),
        ("[25, 33)", 28.5),
        ("(24.0, 32.0]", 28.5),
        ("(24.999, 32.0]", 28.5),
        ("[24.5, 32.5)", 28.5),
        ("[25;33)", 28.5),
        ("25 - 32", 28.5),
        ("25..32", 28.5),
        ("25~32", 28.5),
        ("24.5-32.5", 28.5),
        ("20-29 years", 24.5),
        ("40-60", 50),
        ("5-5", 5),
    ],
)
def test_a_range_of_ages_counts_as_its_midpoint(tmp_path: Path, text: str, age: float) -> None:
    table = read_table(write(tmp_path, f'path,age\na,30\nb,"{text}"\n'))
    assert [label.age for label in table.labels.values()] == [30, age]
    assert table.remarks == (
        "age ranges, read as their midpoints (25-32 as 28.5): 1; errors are measured from the midpoint",
    )


@pytest.mark.parametrize(
    "text",
    [
        *("60+", "60 +", "60 plus", "more than 70", ">70", "≥ 70", "70 and over", "70 or older", "<3"),
        *("(60, 100)", "0-120", "(60.0, inf]", "[60, inf)", "(-inf, 18.0]", "[60;Inf)"),
    ],
)
def test_an_open_range_is_no_age(tmp_path: Path, text: str) -> None:
    table = read_table(write(tmp_path, f'path,age,gender\na,30,f\nb,"{text}",m\n'))
    assert [plain(label) for label in table.labels.values()] == [plain(Label(30, 1)), plain(Label(gender=0))]
    assert table.remarks == ("open age ranges (60+) and ranges of more than 20 years, read as unknown: 1",)


@pytest.mark.parametrize(
    "text",
    ["32-25", "25,32", "25, 32", "25;32", "(25, 32", "100-140", "1-2-3", "25_32", "3-Sep", "[25, 25)"],
)
def test_what_is_no_range_of_ages(tmp_path: Path, text: str) -> None:
    message = refused(tmp_path, f'path,age\na,"{text}"\n')
    assert f"line 2: {text!r} is not an age in years from 0 to 120, nor a range such as 25-32" in message


def test_words_for_a_gender(tmp_path: Path) -> None:
    words = {
        0: ("male", "Male", "MALE", "man", "Men", "boy", "Boys", "m", "M", "0", "0.0"),
        1: ("female", "Female", "woman", "Women", "girl", "GIRLS", "f", "F", "w", "W", "1", "1.0"),
    }
    for gender, every in words.items():
        for word in every:
            table = read_table(write(tmp_path, f"path,gender\na,{word}\n"))
            assert [label.gender for label in table.labels.values()] == [gender]
            number = ("gender is given as a number: 0 is read as male, 1 as female",)
            assert table.remarks == (number if word[0] in "01" else ())
    for word in ("h", "homme", "2", "-1", "true", "x", "1_", "other"):
        assert f"unknown gender {word!r}" in refused(tmp_path, f"path,gender\na,{word}\n")


@pytest.mark.parametrize(
    "text",
    [
        'path;age;weight\na.jpg;30,5;"1,5"\nb, c.jpg;40;2\n',
        "\ufeffpath;age;weight\r\na.jpg;30,5;1,5\r\nb, c.jpg;40;2\r\n",
        "sep=;\npath;age;weight\na.jpg;30.5;1.5\nb, c.jpg;40;2\n",
        "path\tage\tweight\na.jpg\t30.5\t1.5\nb, c.jpg\t40\t2\n",
    ],
    ids=["semicolons", "Excel", "a line for Excel", "tabs"],
)
def test_other_separators(tmp_path: Path, text: str) -> None:
    expected = {"a.jpg": plain(Label(30.5, weight=1.5)), "b, c.jpg": plain(Label(40, weight=2))}
    assert read(tmp_path, text) == expected


def test_numbers_and_rows_of_a_spreadsheet(tmp_path: Path) -> None:
    """A decimal comma in every column of numbers, and rows that were emptied."""
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
    assert table.remarks == ("a table of predictions: its ages and genders are used as labels, face by face",)
    twice = text + "p/two.jpg,1,2,-5,6,7,8,41,male,ok\n"
    assert "line 5: another label for face 1 of p/two.jpg than in line 3" in refused(tmp_path, twice)
    assert "'a' is not a face number" in refused(tmp_path, text.replace("two.jpg,0", "two.jpg,a"))
    # A column of that name in any other table is ignored, as others are.
    other = read_table(write(tmp_path, "path,face,age\na,happy,30\n"))
    assert (list(other.labels), other.predictions) == ([Place("a")], False)


def test_identifiers_of_persons_differ_by_every_character(tmp_path: Path) -> None:
    numbers = ("1_23", "12_3", "-123", "12.3", "123", "1", "10", "1.10", "p1", "p-1", "p_1_2", "p_12")
    assert len({person_key(one) for one in numbers}) == len(numbers)
    assert person_key("P12") == person_key("p12")
    # Accents are spelling, vowels are not.
    assert person_key("José") == person_key("Jose\u0301") == person_key("jose")
    assert len({person_key(name) for name in ("राम", "रमा", "रम")}) == 3
    assert [is_number(one) for one in ("1_23", "-123", "12.3", "１２", "p1", "Ada")] == [True] * 4 + [
        False
    ] * 2
    # pandas makes 1.0 of 1 in a column with gaps.
    found = read(tmp_path, "path,age,person\na,1,1.0\nb,1,1\nc,1,10.0\nd,1,10\ne,1,1.5\nf,1,-1.00\n")
    assert [label[2] for label in found.values()] == ["1", "1", "10", "10", "1.5", "-1"]
    assert same(merge([Label(1, person="1"), Label(1, person="1")]), Label(1, person="1"))
    assert merge([Label(1, person="1_23"), Label(1, person="12_3")]) is None


def test_accents_in_columns_and_groups(tmp_path: Path) -> None:
    path = write(tmp_path, "path,a\u0302ge,group\na,30,Zoe\u0308\nb,30,Zo\u00eb\n")
    assert {label.group for label in by_path(path, {"age": "\u00c2ge"}).values()} == {"Zo\u00eb"}
