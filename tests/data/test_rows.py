"""Rows of label files: lines and rows without an end, JSON of other forms, and Parquet that is larger than it
looks. Tables of the usual kind are in test_tables.py."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from label_tables import by_path

from arcage.data.rows import MAX_LINE
from arcage.data.tables import read_table
from arcage.errors import UsageError
from arcage.process.cell import CellLimits


def refused(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    start = time.process_time()
    with pytest.raises(UsageError) as raised:
        read_table(path)
    assert time.process_time() - start < 3
    message = str(raised.value)
    assert name in message
    assert len(message) < 3000
    return message


def parquet(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "t.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * (MAX_LINE + 1), "line 1: a line or row of more than 1,048,576"),
        ("path,age\n" + "x" * (MAX_LINE + 1), "line 2: a line or row of more than"),
        ("path,age\na,1\n" + "," * (MAX_LINE + 1), "line 3: a line or row of more than"),
        ("path,age\n" + '"a' + '\nb","' * (MAX_LINE // 4), "a line or row of more than"),
        ("x" * 200_000 + "\n", "field larger than field limit"),
        ("path,age\n" + "x" * 200_000 + ",1\n", "field larger than field limit"),
        ("path,age\n" + "x" * 9000 + ",1\n", "line 2: the path has 9,000 characters; the limit is 8,192"),
        ("path,age\na," + "9" * 9000 + "\n", "line 2: the age has 9,000 characters"),
        ("path,age,person\na,9," + "x" * 300 + "\n", "line 2: the person has 300 characters"),
        ("path,age,group\na,9," + "x" * 300 + "\n", "line 2: the group has 300 characters"),
        ("path,age\na\0b,9\n", "line 2: the path has a NUL character"),
        ("path,age,person\na,9,A\0\n", "line 2: the person has a NUL character"),
        ("".join(f"column {n}," for n in range(50_000)) + "\n1\n", "column 19 and 49,98"),
        ("x" * 9000 + ",age\n", "needs a first line"),
    ],
)
def test_csv_without_an_end_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, "t.csv", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "line 1: not JSON (nested"),
        ('{"path": "a", "age": 1e999}', "line 1: not JSON (the number"),
        ('{"path": "a", "age": NaN}', "line 1: not JSON (NaN"),
        ('{"path": "a", "age": ' + "9" * 5000 + "}", "line 1: not JSON (the integer"),
        ('{"path": "a", "age": 3, "age": 4}', "line 1: not JSON (the key 'age' is there twice)"),
        ('{"path": "a", "age": [3]}', "line 1: age is not text or a number"),
        ('{"path": {"a": 1}, "age": 3}', "line 1: path is not text or a number"),
        ('{"path": "a", "age": 3}\n' + " " * (MAX_LINE + 1), "line 2: a line or row of more than"),
        ('{"path": "a", "age": 3, "person": "\\ud800"}', "line 1: the person is not text"),
        ('{"path": "a", "age": 3, "person": "a\\u0000"}', "line 1: the person has a NUL"),
    ],
)
def test_json_lines_of_other_forms_are_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, "t.jsonl", text)


def test_json_lines_with_other_columns_in_each_line(tmp_path: Path) -> None:
    """A table of all lines and all columns would have 10^9 cells."""
    path = tmp_path / "t.jsonl"
    lines = ({"path": f"{n}", "age": n % 100, **{f"{n} {k}": [1] for k in range(9)}} for n in range(10_000))
    path.write_text("\n".join(map(json.dumps, lines)))
    start = time.process_time()
    assert len(read_table(path).labels) == 10_000
    assert time.process_time() - start < 5


def test_paths_that_are_not_utf_8_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"path": "a\\udcff", "age": 3}')
    assert list(by_path(tmp_path / "t.jsonl")) == ["a\udcff"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero-{name}").symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / f"zero-{name}"):
        with pytest.raises(UsageError, match=r"cannot read the labels .*: not a regular file"):
            read_table(path)


def test_only_the_needed_columns_of_parquet_are_read(tmp_path: Path) -> None:
    """The images have 2 GB, four times the limit of the process that reads them."""
    n = 2000
    image = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array([b"\0" * 1_000_000]))
    paths = [f"{i}.jpg" for i in range(n)]
    columns = {"path": paths, "image": image, "age": [35] * n, "more": [{"a": 1}] * n}
    assert list(by_path(parquet(tmp_path, columns))) == paths


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"path": ["a"], "age": pa.array([2**62], pa.timestamp("us"))}, "age has values that cannot be read"),
        ({"path": ["a"], "age": pa.array([2**62], pa.duration("ms"))}, "age has values that cannot be read"),
        ({"path": ["a"], "age": pa.array([2**30], pa.int32()).cast(pa.date32())}, "age has values"),
        ({"path": ["a"], "age": [[3]]}, "the column age has the type list"),
        ({"path": ["a"], "age": [3], "person": [{"a": 1}]}, "the column person has the type struct"),
        ({"path": [b"\xff"], "age": [3]}, "UTF8|UTF-8|utf-8"),
        ({"path": ["x" * 100_000], "age": [3]}, "the column path has a text of 100,000 bytes"),
        (
            {"path": ["a"] * 9, "age": [3] * 9, "person": pa.array(["x" * 9000] * 9).dictionary_encode()},
            "the column person has a text of 9,000 bytes",
        ),
        (
            {"path": [f"{n}" for n in range(9)], "age": [math.nan] * 9, "Age": [1] * 9},
            "more than one column age",
        ),
        ({"path": ["a"], "age": [3], "person": ["A\0"]}, "row 1: the person has a NUL"),
    ],
)
def test_parquet_of_other_types_is_refused(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    path = parquet(tmp_path, columns)
    with pytest.raises(UsageError) as raised:
        read_table(path)
    assert any(word in str(raised.value) for word in words.split("|"))


def test_types_of_text_and_numbers_are_read_from_parquet(tmp_path: Path) -> None:
    from decimal import Decimal

    columns = {
        "path": pa.array([b"a.jpg", b"b.jpg"]),
        "age": pa.array([Decimal("30.5"), None]),
        "person": pa.array(["A", "A"], pa.large_string()).dictionary_encode(),
        "group": pa.array([1, 2], pa.int8()),
        "weight": pa.array([1.5, math.nan], pa.float32()),
        "split": pa.nulls(2),
    }
    labels = by_path(parquet(tmp_path, columns, row_group_size=1))
    assert [(name, one.person, one.group) for name, one in labels.items()] == [
        ("a.jpg", "A", "1"),
        ("b.jpg", "A", "2"),
    ]
    assert (labels["a.jpg"].age, labels["a.jpg"].weight) == (30.5, 1.5)


def test_rows_that_take_no_room_are_refused(tmp_path: Path) -> None:
    n = 500_000
    path = parquet(tmp_path, {"path": pa.array(["a"]).take(pa.array([0] * n)), "age": pa.array([3] * n)})
    assert path.stat().st_size < 7000
    with pytest.raises(UsageError, match="it has 500,000 rows"):
        read_table(path)


def test_a_needed_column_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcage.data.rows.LIMITS", CellLimits(memory=1 << 24, seconds=5))
    columns = {"path": ["x" * 20_000_000] * 2, "age": [3] * 2}
    path = parquet(tmp_path, columns, use_dictionary=False, compression="zstd")
    with pytest.raises(UsageError, match=r"more than 16 MiB of memory"):
        read_table(path)


def test_parquet_with_little_that_stands_for_much_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 5000
    columns = {"path": pa.array(["p" * 1000 + str(i) for i in range(n)]), "age": pa.array([40] * n)}
    encoding = {"path": "DELTA_BYTE_ARRAY", "age": "PLAIN"}
    options = {"use_dictionary": False, "column_encoding": encoding, "compression": "zstd"}
    path = parquet(tmp_path, columns, **options)
    assert path.stat().st_size < 20_000
    assert len(by_path(path)) == n
    monkeypatch.setattr("arcage.data.rows.ALWAYS_READ", 3_000_000)
    with pytest.raises(UsageError, match=r"more than 3,\d+,\d+ bytes of text"):
        read_table(path)
    assert len(by_path(parquet(tmp_path, {"path": ["a", "b"], "age": [1, 2]}))) == 2
