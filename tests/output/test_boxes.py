"""Boxes and values of faces for annotation tools."""

from __future__ import annotations

from dataclasses import replace

import pytest
from predicted import FACES, NO_FACE, ROWS

from arcage.output.boxes import attributes, images, inner_box, pixel_box, relative_box


def test_boxes_are_inside_the_image() -> None:
    assert inner_box(FACES[0]) == (0, 50, 100, 150)
    assert pixel_box(replace(FACES[1], x1=200.04, x2=300.26)) == [200.0, 20.0, 100.2, 100.0]
    assert relative_box(FACES[0]) == [0, 0.25, 0.25, 0.75]
    assert relative_box(FACES[1], 100) == [50, 10, 25, 50]
    third = replace(FACES[1], image_size=(300, 300), x1=0.0, x2=100.0)
    assert relative_box(third) == [0, 0.066667, 0.333333, 0.333333]
    assert relative_box(third, 100) == [0, 6.6667, 33.3333, 33.3333]
    assert inner_box(replace(FACES[0], x1=-20.0, x2=-10.0)) == (0, 50, 0, 150)


@pytest.mark.parametrize("row", [NO_FACE, replace(FACES[0], image_size=None)])
def test_a_row_without_a_box(row: object) -> None:
    with pytest.raises(ValueError, match="has no box in an image of known size"):
        inner_box(row)  # type: ignore[arg-type]


def test_values_that_are_there() -> None:
    assert attributes(FACES[0], ["p_under_18"]) == {
        "face": 0, "age": 34.2, "age_low": 27.0, "age_high": 42.0, "gender": "female", "p_female": 0.9712,
        "familiarity": 0.25, "p_under_18": 0.1235,
    }  # fmt: skip
    assert attributes(FACES[1], ["p_under_18"]) == {
        "face": 1,
        "age_low": 3.0,
        "age_high": 9.0,
        "p_female": 0.5,
    }


def test_the_rows_of_an_image_belong_together() -> None:
    grouped = [(path, len(rows)) for path, rows in images(ROWS)]
    assert grouped == [("in/a b.jpg", 2), ("c.jpg", 1), ("d.jpg", 1), (ROWS[-1].path, 1)]
