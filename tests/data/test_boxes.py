"""The boxes of many images."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from arcage.data.boxes import Boxes, BoxRow
from arcage.errors import UsageError
from arcage.sources.source import Source

BOX = (10.0, 20.0, 50.0, 80.0)
POINTS = (20.0, 40.0, 40.0, 40.0, 30.0, 50.0, 22.0, 65.0, 38.0, 65.0)
MIRRORED = (40.0, 40.0, 20.0, 40.0, 30.0, 50.0, 38.0, 65.0, 22.0, 65.0)


def boxes_of(*rows: tuple[object, ...], keep_paths: bool = False) -> Boxes:
    """Return boxes from rows of a path, a box and perhaps landmarks."""
    made = [
        BoxRow(
            f"line {number}", str(path), tuple(rest[0]) if rest else (), tuple(rest[1]) if rest[1:] else ()
        )  # type: ignore[arg-type]
        for number, (path, *rest) in enumerate(rows, 2)
    ]
    return Boxes(Path("b.csv"), made, keep_paths=keep_paths)


def lefts(boxes: Boxes, path: str) -> list[float]:
    return boxes.faces_of(Source(path, path)).boxes[:, 0].tolist()


def at(x: float) -> tuple[float, ...]:
    return x, 20, x + 40, 80


def test_the_faces_of_an_image_are_in_the_order_of_the_file() -> None:
    boxes = boxes_of(("b.jpg", at(3)), ("a.jpg", at(1)), ("b.jpg", at(2)), ("a.jpg", at(1)))
    assert lefts(boxes, "b.jpg") == [3, 2]
    assert lefts(boxes, "a.jpg") == [1, 1]  # each row is a face, also one that is there twice
    assert lefts(boxes, "c.jpg") == []
    assert boxes.faces_from == "boxes"


def test_spellings_of_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    boxes = boxes_of(("in/a.jpg", at(1)), ("./in//b/../c.jpg", at(2)), (str(tmp_path / "d.jpg"), at(3)))
    for path in ("in/a.jpg", "./in/a.jpg", str(tmp_path / "in" / "a.jpg"), "x/../in/a.jpg"):
        assert lefts(boxes, path) == [1], path
    assert lefts(boxes, "in/c.jpg") == [2]
    assert lefts(boxes, "d.jpg") == [3]
    # An absolute and a relative path of one image.
    both = boxes_of((str(tmp_path / "a.jpg"), at(1)), ("a.jpg", at(2)))
    assert lefts(both, "a.jpg") == [1, 2]


def test_urls_rows_of_parquet_and_standard_input() -> None:
    url = "s3://bucket/a//b.jpg"
    boxes = boxes_of((url, at(1)), ("faces.parquet#3", at(2)), ("-", at(3)))
    assert lefts(boxes, url) == [1]
    assert lefts(boxes, "s3://bucket/a/b.jpg") == []  # another object
    assert lefts(boxes, "./faces.parquet#3") == [2]
    assert lefts(boxes, "faces.parquet#4") == []
    assert boxes.faces_of(Source("-", "-", data=b"x")).boxes[0, 0] == 3


def test_the_folder_of_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "there", "images"):
        (tmp_path / name).mkdir()
    (tmp_path / "there" / "a.jpg").touch()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).touch()
    monkeypatch.chdir(tmp_path / "here")
    rows = [("a.jpg", at(1)), ("b.jpg", at(2))]

    def chosen(*folders: str) -> str:
        boxes = boxes_of(*rows, keep_paths=True)
        boxes.choose_folder(folders)
        return os.path.relpath(os.path.dirname(os.path.abspath(boxes.images()[0])), tmp_path)

    assert chosen(".", "../there") == "there"
    assert chosen(".", "../there", "../images") == "images"
    assert chosen(".", "..") == "here"  # none has an image
    Path("a.jpg").touch()
    assert chosen(".", "../there") == "here"  # the first of those with most
    boxes = boxes_of(*rows)
    boxes.choose_folder(["../images"])
    assert lefts(boxes, "../images/b.jpg") == [2]
    assert lefts(boxes, "b.jpg") == []


def test_the_images_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    boxes = boxes_of(("b.jpg", at(1)), ("a.jpg", at(1)), ("b.jpg", at(1)), ("s3://x/y.jpg",), keep_paths=True)
    assert boxes.images() == ("b.jpg", "a.jpg", "s3://x/y.jpg")
    boxes.choose_folder([str(tmp_path / "in")])
    assert boxes.images() == (str(tmp_path / "in" / "b.jpg"), str(tmp_path / "in" / "a.jpg"), "s3://x/y.jpg")


def test_landmarks_of_some_rows() -> None:
    boxes = boxes_of(("a.jpg", at(1)), ("b.jpg", BOX, POINTS), ("a.jpg", at(2)))
    assert np.isnan(boxes.faces_of(Source("a.jpg", "")).landmarks).all()
    assert boxes.faces_of(Source("b.jpg", "")).landmarks.reshape(-1).tolist() == list(POINTS)
    assert np.isnan(boxes_of(("a.jpg", BOX)).faces_of(Source("a.jpg", "")).landmarks).all()


def test_left_and_right_of_the_person() -> None:
    """Landmarks that look mirrored are those of programs that name the sides as the person does."""
    boxes = boxes_of(("a.jpg", BOX, MIRRORED), ("b.jpg", BOX, MIRRORED), ("c.jpg", BOX, POINTS))
    assert boxes.faces_of(Source("a.jpg", "")).landmarks.reshape(-1).tolist() == list(POINTS)
    # A single one in profile may look so.
    boxes = boxes_of(("a.jpg", BOX, MIRRORED), ("b.jpg", BOX, POINTS), ("c.jpg", BOX, POINTS))
    assert boxes.faces_of(Source("a.jpg", "")).landmarks.reshape(-1).tolist() == list(MIRRORED)
    # Upside down is not mirrored.
    turned = tuple(100 - value for value in POINTS)
    assert boxes_of(("a.jpg", BOX, turned)).faces_of(Source("a.jpg", "")).landmarks[0, 0].tolist() == [80, 60]


def test_an_image_without_a_face() -> None:
    boxes = boxes_of(("a.jpg",), ("b.jpg", BOX))
    assert len(boxes.faces_of(Source("a.jpg", ""))) == 0
    with pytest.raises(UsageError, match=r"b\.csv has no boxes and no images"):
        boxes_of()


def test_a_remark_on_boxes_of_other_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    boxes = boxes_of(("a.jpg", BOX), ("b.jpg", BOX), ("b.jpg", BOX), ("c.jpg", BOX), ("d.jpg",))
    boxes.faces_of(Source("a.jpg", ""))
    assert boxes.remark() == (
        "b.csv: 3 boxes belong to 2 images that were not given, such as b.jpg; relative paths are those in "
        f"{tmp_path}"
    )
    boxes.faces_of(Source("b.jpg", ""))
    assert boxes.remark().startswith("b.csv: 1 box belongs to 1 image that was not given, such as c.jpg;")
    boxes.faces_of(Source("c.jpg", ""))
    assert boxes.remark() == ""
    assert boxes_of(("a.jpg",)).remark() == ""


def test_wrong_rows() -> None:
    with pytest.raises(UsageError) as caught:
        boxes_of(("a.jpg", BOX), *[(f"{i}.jpg", (5, 5, 5, 9)) for i in range(8)])
    first = str(caught.value.args[0])
    assert first.startswith("b.csv, line 3: the box 5, 5, 5, 9 has no area")
    assert len(caught.value.args) == 6
    assert caught.value.args[5] == "and 3 more such rows"


def test_paths_that_are_not_utf8() -> None:
    boxes = boxes_of(("caf\udce9.jpg", at(4)))
    assert lefts(boxes, "caf\udce9.jpg") == [4]


def test_many_rows_take_little_memory() -> None:
    count = 100_000

    def rows() -> Iterator[BoxRow]:
        for number in range(count):
            yield BoxRow("", f"folder/{number // 2}.jpg", at(number % 500), ())

    tracemalloc.start()
    try:
        boxes = Boxes(Path("b.csv"), rows())
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 70 * count
    assert peak < 140 * count
    assert lefts(boxes, "folder/700.jpg") == [400, 401]
    assert lefts(boxes, f"folder/{count // 2 - 1}.jpg") == [498, 499]
