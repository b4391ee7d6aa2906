"""Labels of exports as rows of a table."""

from __future__ import annotations

import pytest

from arcage.data.exported import ExportedLabel, as_text, exported_rows, with_name_of_box


def test_rows_have_what_is_read_and_number_the_boxes_of_an_image() -> None:
    labels = [
        ExportedLabel("task", 5, "a.jpg", {"Age": "3", "note": "x"}, (1, 2, 3.5, 4)),
        ExportedLabel("task", 5, "a.jpg", {"Age": "4", "x1": "9"}, (5, 6, 7, 1e300)),
        ExportedLabel("task", 6, "b.jpg", {"path": "evil"}),
    ]
    (_, header), *rows = exported_rows(labels, {"age", "gender", "x1", "path"})
    assert header == ["path", "face", "x1", "y1", "x2", "y2", "Age", "note"]
    assert rows == [
        (5, ["a.jpg", "0", "1", "2", "3.5", "4", "3"]),
        (5, ["a.jpg", "1", "5", "6", "7", "10000000.0", "4"]),
        (6, ["b.jpg", "", "", "", "", "", ""]),
    ]


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("Female", {"gender": "Female"}),
        ("m", {"gender": "m"}),
        ("25-32", {"age": "25-32"}),
        ("1", {"age": "1"}),
        ("face", {}),
        ("", {}),
        ("60+", {}),
        ("unknown", {}),
    ],
)
def test_the_name_of_a_box(name: str, added: dict[str, str]) -> None:
    assert with_name_of_box({}, name) == added
    assert with_name_of_box({"age": "9", "gender": "f"}, name) == {"age": "9", "gender": "f"}


def test_answers_as_text() -> None:
    assert [as_text(value) for value in ("a", 3, 3.5, None, ["b"], ["a", "b"], [], {"a": 1}, [["c"]])] == [
        *("a", "3", "3.5", "", "b", "", "", "", "c")
    ]
