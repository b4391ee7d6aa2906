"""The strict JSON reader."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from arcage.readers.strict_json import MAX_BYTES, parse_json, read_json


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "[]", '""', "null", "-0", "1e-999", "9223372036854775807", " [1] "),
        *('"[[[["', '{"[": "]", "\\"{": 1}', '"\\ud83d\\ude00"'),
        '{"a": [1, 2.5, "é", true, null, {"b": -9223372036854775808}]}',
    ],
)
def test_reads_json(text: str) -> None:
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 100_000, "nested more than 32 levels"),
        (b"[" * 33 + b"]" * 33, "nested more than 32 levels"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested more than 32 levels"),
        (b'["]", ' * 33 + b"1" + b"]" * 33, "nested more than 32 levels"),
        (b'"' * 99 + b"[" * 99, "nested|Extra data"),
        (b" " * (MAX_BYTES + 1), "larger than 1,048,576 bytes"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'\xef\xbb\xbf{"a": 1}', "Expecting value"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"NaN", "NaN is not"),
        (b"[-Infinity]", "-Infinity is not"),
        (b"1e999", "out of range"),
        (b"-1e999", "out of range"),
        (b"9223372036854775808", "out of range"),
        (b"-9223372036854775809", "out of range"),
        (b"9" * 5000, "out of range"),
        (b'{"a": 1, "a": 1}', "'a' is there twice"),
        (b'{"a": 1, "\\u0061": 1}', "'a' is there twice"),
        (b'[{"b": 1, "c": {"b": 1, "b": 2}}]', "'b' is there twice"),
        (b"", "Expecting value"),
        (b"{'a': 1}", "Expecting"),
        (b'{"a": 1} 2', "Extra data"),
        (b'"a\nb"', "control character"),
    ],
)
def test_refuses_everything_else_in_short_words(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        parse_json(data)
    assert len(str(error.value)) < 120


def test_nesting_is_measured_outside_of_texts() -> None:
    deep = "[" * 32 + '"[[[[\\"{{"' + "]" * 32
    assert parse_json(deep) == json.loads(deep)


@pytest.mark.parametrize("unit", [b'"\\"', b'"\\', b'["', b"[]", b'{"', b'\\"[', b"1", b"[1e5,"])
def test_time_is_linear(unit: bytes) -> None:
    data = unit * (MAX_BYTES // len(unit))
    start = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        parse_json(data)
    assert time.process_time() - start < 2


def test_limits_can_be_given() -> None:
    assert parse_json(b"[" * 40 + b"]" * 40, max_depth=40)
    with pytest.raises(ValueError, match="larger than 3 bytes"):
        parse_json(b"[12]", max_bytes=3)


def test_reads_a_regular_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"é": 1}', "utf-8")
    assert read_json(file) == {"é": 1}
    with pytest.raises(ValueError, match="too large: 9 bytes"):
        read_json(file, max_bytes=8)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "b.json")
    with pytest.raises(ValueError, match="folder"):
        read_json(tmp_path)
    with pytest.raises(ValueError, match=r"."):
        read_json("a\0b")
