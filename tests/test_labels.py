"""Labels from file names and tables: what is read, what is refused, and in which words."""

from __future__ import annotations

import math
from dataclasses import astuple
from pathlib import Path

import pytest

from arcage.data.labels import Label, label_from_name, merge, read_table
from arcage.errors import UsageError

NAN = math.nan


def plain(label: Label | None) -> tuple[object, ...] | None:
    """NaN is not equal to itself."""
    return label and tuple(None if value != value else value for value in astuple(label))


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


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str) -> dict[str, object]:
    return {name: plain(label) for name, label in read_table(write(folder, text)).items()}


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
        ("path;age\na;1\n", ["separated by commas", "path;age"]),
        ("a.jpg,30\n", ["first line", "a.jpg, 30"]),
        ("path,age,Age\na,1,2\n", ["more than one column age"]),
        ("path,age\na,1\nb,121\n", ["line 3", "'121'", "0 to 120", "leave it empty"]),
        ("path,age\na,-1\n", ["line 2", "'-1'"]),
        ("path,age\na,nan\n", ["line 2", "'nan'"]),
        ("path,age\na,inf\n", ["line 2", "'inf'"]),
        ("path,age\na,thirty\n", ["line 2", "'thirty'"]),
        ("path,age\na,30-39\n", ["line 2", "'30-39'"]),
        ("path,gender\na,f\nb,woman\n", ["line 3", "'woman'", "female"]),
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
    for other in (Label(31, 1), Label(30, 0), Label(30, 1, "Bo"), Label(30, 1, "Ada", "two")):
        assert merge([Label(30, 1, "Ada", "one"), other]) is None
