"""Values in label tables: how they are read, and which are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from label_tables import by_path, plain, read, refused, write

from arcage.data.cells import parse_box
from arcage.data.labels import Label
from arcage.data.tables import read_table

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
def test_spellings_of_unknown_values(tmp_path: Path, suffix: str) -> None:
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
    "text", ["4_6", "4２", "４６", "١٢", "1e1", "0x1e", "inf", "Infinity", "1_0.5", "30y5", "9" * 400, "+-3"]
)
def test_notations_that_only_python_accepts_are_refused(tmp_path: Path, text: str) -> None:
    assert f"{text!r} is not an age in years from 0 to 120" in refused(tmp_path, f"path,age\na,{text}\n")


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
def test_a_range_is_read_as_its_midpoint(tmp_path: Path, text: str, age: float) -> None:
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
def test_an_open_range_is_unknown(tmp_path: Path, text: str) -> None:
    table = read_table(write(tmp_path, f'path,age,gender\na,30,f\nb,"{text}",m\n'))
    assert [plain(label) for label in table.labels.values()] == [plain(Label(30, 1)), plain(Label(gender=0))]
    assert table.remarks == ("open age ranges (60+) and ranges of more than 20 years, read as unknown: 1",)


@pytest.mark.parametrize(
    "text",
    ["32-25", "25,32", "25, 32", "25;32", "(25, 32", "100-140", "1-2-3", "25_32", "3-Sep", "[25, 25)"],
)
def test_ranges_that_are_refused(tmp_path: Path, text: str) -> None:
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


@pytest.mark.parametrize("text", ["1_0", "١", "inf", "-1", "1e39", "1e-46", "1e-400", "0x1"])
def test_weights_that_are_refused(tmp_path: Path, text: str) -> None:
    message = refused(tmp_path, f"path,age,weight\na,30,{text}\n")
    assert f"{text!r} is not a weight, 0 or a number from 1e-30 to 1e+30" in message


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


@pytest.mark.parametrize(
    ("numbers", "box"),
    [
        ("1 2 3.5 4", (1, 2, 3.5, 4)),
        ("-5 -5 1e3 4", (-5, -5, 1000, 4)),
        *((f"1 2 3 {text}", None) for text in ("", "x", "nan", "inf", "1e300", "-1e8")),
    ],
)
def test_boxes(numbers: str, box: tuple[float, ...] | None) -> None:
    names = ("x1", "y1", "x2", "y2")
    assert parse_box(dict(zip(names, numbers.split(" "), strict=True))) == box
    assert parse_box({"x1": "1"}) is None
