"""The table of faces for notebooks: escaped, small, with the picture."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest

from arcage.output.notebook import notebook_html
from arcage.output.rows import row_without_face
from arcage.types import Prediction

FACE = Prediction(
    "a.jpg", 0, 1, 300, 300, 900, 900, 0.93, 35.7, 26.6, 48.4, "female", 0.934, "ok", None, 0.177
)
HOSTILE = '<script>alert(1)</script>"onerror="x\u202egpj.exe\x1b[31m'


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append(tag)
        self.attributes.update(attributes)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def picture_in(html: str) -> Any:
    data = re.search(r'src="data:image/jpeg;base64,([^"]*)"', html)
    assert data is not None
    return cv2.imdecode(np.frombuffer(base64.b64decode(data[1]), np.uint8), cv2.IMREAD_COLOR)


def test_the_table() -> None:
    row = replace(FACE, more={"p_under_18": 0.0123})
    page = Parsed(notebook_html([row], None, more=["p_under_18"], interval=80))
    assert page.tags == ["div", "table", "caption", "thead", "tr", *["th"] * 7, "tbody", "tr", *["td"] * 7]
    assert page.cells == [
        *("a.jpg", "face", "age", "80 %", "gender", "p_under_18", "familiarity", "score"),
        *("#0 of 1", "35.7", "27-48", "female 93 %", "0.0123", "0.18", "0.93"),
    ]


def test_missing_values_are_empty_cells() -> None:
    row = replace(FACE, age=None, age_low=None, age_high=None, gender=None, p_female=None, familiarity=None)
    page = Parsed(notebook_html([row], None))
    assert page.cells[-2:] == ["#0 of 1", "0.93"]
    assert page.tags.count("td") == 6


def test_no_face_and_unreadable() -> None:
    assert notebook_html([row_without_face("a.jpg")], None) == "<div><p>a.jpg: no face</p></div>"
    page = notebook_html([row_without_face("a.jpg", "no such <file>")], None)
    assert page == "<div><p>a.jpg: no such &lt;file&gt;</p></div>"
    assert notebook_html([], None) == "<div></div>"


@pytest.mark.parametrize("row", [replace(FACE, path=HOSTILE), row_without_face(HOSTILE, HOSTILE)])
def test_hostile_paths_are_text(row: Prediction) -> None:
    html = notebook_html([row], np.zeros((50, 50, 3), np.uint8))
    page = Parsed(html)
    assert "script" not in page.tags
    assert set(page.attributes) == {"alt", "src"}
    assert not {"\u202e", "\x1b"} & set(html)
    assert "<script>alert(1)</script>" in "".join(page.cells)


def test_the_picture_is_small_and_annotated() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 3000, 3), np.uint8)
    html = notebook_html([FACE], noise)
    assert len(html) < 300_000
    assert picture_in(html).shape == (320, 640, 3)
    grey = np.full((1500, 3000, 3), 128, np.uint8)
    drawn = picture_in(notebook_html([FACE], grey)).astype(int)
    assert np.abs(drawn[64, 64:192] - 128).max(axis=1).min() > 30  # the upper line of the box
    assert np.abs(drawn[150:, 400:] - 128).max() < 5
    assert picture_in(notebook_html([row_without_face("a.jpg")], grey)).std() < 1


def test_a_crowd_is_larger_and_its_table_is_limited() -> None:
    boxes = [(20 * (i % 60), 20 * (i // 60)) for i in range(120)]
    rows = [
        replace(FACE, face=i, faces=120, x1=x, y1=y, x2=x + 10, y2=y + 12) for i, (x, y) in enumerate(boxes)
    ]
    html = notebook_html(rows, np.full((600, 1200, 3), 200, np.uint8))
    assert 640 < max(picture_in(html).shape) <= 1280
    assert html.count("<tr>") == 51
    assert "and 70 other faces" in html


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 2)])
def test_odd_sizes(shape: tuple[int, int]) -> None:
    html = notebook_html([row_without_face("a.jpg")], np.zeros((*shape, 3), np.uint8))
    assert max(picture_in(html).shape) <= 1280
