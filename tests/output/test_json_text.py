"""JSON that is written item by item."""

from __future__ import annotations

import io
import json

import pytest
from predicted import ROWS, UNDECODABLE

from arcage.output.json_text import as_json, items, write_array, write_lines
from arcage.output.rows import json_row


def test_an_array_has_the_rows_of_json_lines() -> None:
    array, lines = io.StringIO(), io.StringIO()
    with write_array(array, ["p_under_18"]) as write:
        write(ROWS[:2])
        write(ROWS[2:])
    write_lines(lines, ["p_under_18"])(ROWS)
    rows = json.loads(array.getvalue())
    assert rows == [json_row(row, ["p_under_18"]) for row in ROWS]
    assert rows == [json.loads(line) for line in lines.getvalue().splitlines()]
    assert rows[-1]["path"] == UNDECODABLE.path
    # A row is a line, as programs such as grep want it.
    assert array.getvalue().splitlines()[1].removesuffix(",") == lines.getvalue().splitlines()[0]


def test_an_array_without_rows() -> None:
    text = io.StringIO()
    with write_array(text, []):
        pass
    assert text.getvalue() == "[\n]\n"


def test_text_that_nobody_sees_is_escaped() -> None:
    assert as_json("é\x1b\u202e\udce9") == r'"é\u001b\u202e\udce9"'


def test_an_error_leaves_the_end_out() -> None:
    text = io.StringIO()
    with pytest.raises(TypeError), items(text, "[", "]") as add:
        add("1", "2", *None)  # type: ignore[misc]
    assert text.getvalue() == "["
