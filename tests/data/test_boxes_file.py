"""Files of boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arcage.data.boxes_file import LANDMARKS, read_boxes
from arcage.errors import UsageError
from arcage.sources.source import Source
from arcage.types import GivenFaces

POINTS = (20.0, 40.0, 40.0, 40.0, 30.0, 50.0, 22.0, 65.0, 38.0, 65.0)


def faces(path: Path, image: str = "a.jpg") -> GivenFaces:
    return read_boxes(path).faces_of(Source(image, image))


def boxes(path: Path, image: str = "a.jpg") -> list[list[float]]:
    return [list(map(float, box)) for box in faces(path, image).boxes]


def coco(path: Path, annotations: Any, images: Any = None) -> Path:
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}] if images is None else images
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "boxes.csv"


@pytest.mark.parametrize(
    "text",
    [
        "path,x1,y1,x2,y2\na.jpg,10,20,50.5,80\n",
        "\ufeffx1;y1;x2;y2;PATH;note\r\n10;20;50,5;80;a.jpg;x\r\n",
        "path\tx1\ty1\tx2\ty2\n\na.jpg\t10\t 20 \t5.05e1\t80\n\t\t\t\t\n",
        'sep=;\npath;x1;y1;x2;y2\n"a.jpg";10;20;50.5;80\n',
    ],
)
def test_csv(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    assert boxes(file) == [[10, 20, 50.5, 80]]


def test_other_encodings(file: Path) -> None:
    text = "path,x1,y1,x2,y2\ncaf\xe9.jpg,10,20,50.5,80\n"
    file.write_text(text, encoding="utf-16")  # with a byte order mark, as PowerShell writes it
    assert boxes(file, "caf\xe9.jpg") == [[10, 20, 50.5, 80]]
    file.write_bytes(text.encode("latin-1"))  # the name of a file that is not UTF-8
    assert boxes(file, "caf\udce9.jpg") == [[10, 20, 50.5, 80]]
    file.write_bytes(b"\xff\xfe" + b"path\xd8\xd8")
    with pytest.raises(UsageError, match=r"boxes\.csv is not text .*; save it in UTF-8"):
        read_boxes(file)


def test_an_excel_file(file: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["path", "x1", "y1", "x2", "y2"], ["a.jpg", 10, 20, 50.5, 80]):
        book.active.append(row)
    book.save(file.with_suffix(".xlsx"))
    assert boxes(file.with_suffix(".xlsx")) == [[10, 20, 50.5, 80]]


def test_predictions_are_boxes(file: Path) -> None:
    """What `arcage predict` writes, also for images without a face and for names like formulas."""
    header = "path,face,faces,x1,y1,x2,y2,det_score,age,status,error\n"
    rows = ["a.jpg,0,2,10.0,20.0,50.5,80.0,0.9,30,ok,", "a.jpg,1,2,1.0,2.0,3.0,4.0,0.9,30,ok,"]
    rows += ["b.jpg,,0,,,,,,,no_face,", "'=c.jpg,0,1,1.0,2.0,3.0,4.0,0.9,30,ok,"]
    file.write_text(header + "\n".join(rows))
    assert boxes(file) == [[10, 20, 50.5, 80], [1, 2, 3, 4]]
    assert boxes(file, "b.jpg") == []
    assert boxes(file, "=c.jpg") == [[1, 2, 3, 4]]
    assert read_boxes(file, keep_paths=True).images() == ("a.jpg", "b.jpg", "=c.jpg")


def test_other_tables(file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"path": "a.jpg", "x1": 10, "y1": 20.0, "x2": 50.5, "y2": 80}
    lines = file.with_suffix(".jsonl")
    lines.write_text(json.dumps(row) + "\n" + json.dumps({"path": "b.jpg", "x1": None}))
    assert boxes(lines) == [[10, 20, 50.5, 80]]
    table = file.with_suffix(".parquet")
    pq.write_table(pa.table({name: [value] for name, value in row.items()}), table)
    assert boxes(table) == [[10, 20, 50.5, 80]]


def test_landmarks(file: Path) -> None:
    cells = ",".join(map(str, POINTS))
    file.write_text(
        f"path,x1,y1,x2,y2,{','.join(LANDMARKS)}\na.jpg,10,20,50,80,{cells}\na.jpg,1,2,3,4,{',' * 9}\n"
    )
    found = faces(file)
    assert found.landmarks[0].reshape(-1).tolist() == list(POINTS)
    assert np.isnan(found.landmarks[1]).all()


ALL_COLUMNS = f"path,x1,y1,x2,y2,{','.join(LANDMARKS)}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column path: boxes need a first line with .* path, x1, y1, x2, y2; it has none$"),
        ("a.jpg,10,20,50,80\n", "has no column path"),
        ("path,x1,y1,x2\n", "no column y2.*; it has path, x1, y1, x2$"),
        ("path,x1,y1,x2,y2,x1\n", "more than one column x1"),
        ("path,x1,y1,x2,y2,nose_x\n", "no column left_eye_x"),
        ("path,x1,y1,x2,y2\n", "has no boxes and no images"),
        ("path,x1,y1,x2,y2\na,b.jpg,1,2,3,4\n", "line 2: 6 values for 5 columns; put a path with commas"),
        ("path,x1,y1,x2,y2\na.jpg,1,2,3\n", "line 2: 4 values for 5 columns"),
        ("path,x1,y1,x2,y2\n,1,2,3,4\n", "line 2: the path is empty"),
        ("path,x1,y1,x2,y2\na.jpg,1,2,x,4\n", "line 2: 'x' is not a number of pixels"),
        ("path,x1,y1,x2,y2\na.jpg,1,2,1_0,4\n", "line 2: '1_0' is not a number"),
        ("path,x1,y1,x2,y2\na.jpg,1,2,,4\n", "line 2: the box 1, 2, nan, 4 is not four numbers of pixels"),
        ("path,x1,y1,x2,y2\na.jpg,1,2,nan,4\n", "line 2: the box 1, 2, nan, 4 is not four numbers"),
        ("path,x1,y1,x2,y2\na.jpg,1,2,-inf,4\n", "is not four numbers of pixels"),
        ("path,x1,y1,x2,y2\na.jpg,1,2,1e999,4\n", "is not four numbers of pixels"),
        ("path,x1,y1,x2,y2\na.jpg,5,2,5,4\n", "line 2: the box 5, 2, 5, 4 has no area"),
        ("path,x1,y1,x2,y2\na.jpg,5,4,9,2\n", "has no area"),
        ("path,x1,y1,x2,y2\na.jpg,0.2,0.1,0.5,0.6\n", "0.2, 0.1, 0.5, 0.6 is within two pixels"),
        ('path,x1,y1,x2,y2\n"a.jpg,5,4,9,2\n', "check the quotation marks"),
        (ALL_COLUMNS + "a.jpg,1,2,3,4,1,2,3,4,5,6,7,8,9,\n", "landmarks are missing"),
        (ALL_COLUMNS + "a.jpg,,,,,1,2,3,4,5,6,7,8,9,9\n", "landmarks without a box"),
    ],
)  # fmt: skip
def test_wrong_tables(text: str, words: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_boxes(file)


def test_files_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the boxes .*boxes\.csv"):
        read_boxes(file)
    file.mkdir()
    with pytest.raises(UsageError, match="cannot read the boxes"):
        read_boxes(file)


def test_coco(file: Path) -> None:
    keypoints = [value for i in range(5) for value in (*POINTS[2 * i : 2 * i + 2], 2)]
    path = coco(
        file.with_suffix(".json"),
        [
            {"id": 1, "image_id": 7, "bbox": [10, 20, 40.5, 60], "keypoints": keypoints, "score": 0.9},
            {"id": 2, "image_id": 7, "bbox": [1, 2, 3, 4], "keypoints": [*keypoints[:-1], 0]},
            {"id": 3, "image_id": 7, "bbox": [5, 6, 1, 1], "keypoints": []},
        ],
    )
    assert boxes(path) == [[10, 20, 50.5, 80], [1, 2, 4, 6], [5, 6, 6, 7]]
    found = faces(path)
    assert found.landmarks[0].reshape(-1).tolist() == list(POINTS)
    assert np.isnan(found.landmarks[1:]).all()  # a point that is not labelled
    assert boxes(path, "b.jpg") == []
    assert read_boxes(path, keep_paths=True).images() == ("a.jpg", "b.jpg")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(boxes(path)) == 3


BOX = {"image_id": 7, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ([BOX, BOX | {"bbox": [1, 2, -3, 4]}], "annotation 1: the box 1, 2, -2, 6 has no area"),
        ([BOX | {"bbox": [1, 2, 0, 4], "id": 9}], "annotation 9: the box 1, 2, 1, 6 has no area"),
        ([BOX | {"bbox": [1, 2, 3]}], "annotation 0: the bbox is not 4 numbers"),
        ([BOX | {"bbox": None}], "the bbox is not 4 numbers"),
        ([BOX | {"bbox": ["1", 2, 3, 4]}], "are not all numbers"),
        ([BOX | {"bbox": [True, 2, 3, 4]}], "are not all numbers"),
        ([{"image_id": 7}], "annotation 0: there is no 'bbox'"),
        ([{"bbox": [1, 2, 3, 4]}], "there is no 'image_id'"),
        ([BOX | {"image_id": 3}], "there is no image 3"),
        ([BOX | {"image_id": []}], "annotation 0: "),
        ([BOX | {"keypoints": [1, 2, 2] * 17}], "there are 17 keypoints instead of 5: left_eye, right_eye"),
        ([BOX | {"keypoints": "x"}], "there are no keypoints instead of 5"),
        ([5], "is not a COCO file .annotations is not a list of objects."),
        ({}, "annotations is not a list of objects"),
    ],
)
def test_wrong_annotations(annotations: Any, words: str, file: Path) -> None:
    with pytest.raises(UsageError, match=words):
        read_boxes(coco(file.with_suffix(".json"), annotations))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a COCO file"),
        ("[]", "is not a COCO file .it is not an object.: it needs images with id and file_name"),
        ("{}", "there is no 'images'"),
        ('{"images": [{"id": 1}], "annotations": []}', "there is no 'file_name'"),
        ('{"images": [{"id": 1, "file_name": 5}], "annotations": []}', "a file_name is not text"),
        ('{"images": [{"id": [], "file_name": "x"}], "annotations": []}', "is not a COCO file"),
        (
            '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}',
            "two images have the id 1",
        ),
        ('{"images": [], "annotations": [{"bbox": [NaN]}]}', "NaN is not a JSON number"),
        ("[" * 100, "nested more than 32 levels deep"),
    ],
)
def test_wrong_json(text: str, words: str, file: Path) -> None:
    path = file.with_suffix(".json")
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_boxes(path)


def test_a_json_file_has_a_limit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.data.boxes_file.MAX_JSON", 50)
    with pytest.raises(UsageError, match="larger than 50 bytes"):
        read_boxes(coco(file.with_suffix(".json"), [BOX]))
