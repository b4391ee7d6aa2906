"""Exports of Label Studio. The files were written by its own converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exported_labels import EXPORTS, TRUTH, read_export

from arcage.data.label_studio import from_minimal, from_tasks, image_path, is_label_studio
from arcage.data.tables import read_table
from arcage.errors import UsageError


@pytest.mark.parametrize("name", ["label-studio.json", "label-studio-min.json", "label-studio.csv"])
def test_each_face_gets_what_was_answered_about_its_box(tmp_path: Path, name: str) -> None:
    assert read_export(tmp_path, name) == TRUTH


def result(kind: str, value: Any, name: str, region: str = "r", **box: float) -> dict[str, Any]:
    size = {"original_width": 400, "original_height": 200} if box else {}
    return {"from_name": name, "type": kind, "id": region, "value": {**box, kind: value}, **size}


def task(*results: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"image": "a.jpg"}, "annotations": [{"result": list(results)}], **changed}


def test_answers_about_the_image() -> None:
    (label,) = from_tasks([task(result("choices", ["male"], "sex"), result("number", 30, "age", "q"))])
    assert (label.number, label.path, label.box) == (7, "a.jpg", None)
    assert label.answers == {"sex": "male", "age": "30"}


def test_answers_about_the_image_belong_to_its_only_box() -> None:
    place = {"x": 25, "y": 10, "width": 50, "height": 20}
    box = result("rectanglelabels", ["Face"], "label", "b", **place)
    (label,) = from_tasks([task(box, result("number", 30, "age", "q"))])
    assert label.box == (100, 20, 300, 60)
    assert label.answers == {"label": "Face", "age": "30"}
    other = result("rectanglelabels", ["Face"], "label", "c", x=0, y=0, width=10, height=10)
    assert [
        one.answers.get("age") for one in from_tasks([task(box, other, result("number", 30, "age"))])
    ] == [
        None,
        None,
    ]


def test_the_label_of_a_box_can_be_the_answer() -> None:
    place = {"x": 0, "y": 0, "width": 50, "height": 50}
    results = [result("rectanglelabels", [text], "tag", text, **place) for text in ("Woman", "25-32")]
    assert [one.answers for one in from_tasks([task(*results)])] == [
        {"tag": "Woman", "gender": "Woman"},
        {"tag": "25-32", "age": "25-32"},
    ]


def test_a_turned_box_has_an_upright_one_around_it() -> None:
    # 100 by 40 pixels, turned by 90 degrees around its upper left corner at (200, 100).
    place = {"x": 50, "y": 50, "width": 25, "height": 20, "rotation": 90}
    (label,) = from_tasks([task(result("rectanglelabels", ["Face"], "label", **place))])
    assert label.box == pytest.approx((160, 100, 200, 200))


def test_the_last_annotation_counts_and_ground_truth_before_it() -> None:
    def made(age: int, day: int, **more: Any) -> dict[str, Any]:
        return {"result": [result("number", age, "age")], "updated_at": f"2026-11-{day:02}T10:00:00Z", **more}

    def age(*annotations: dict[str, Any]) -> list[str]:
        return [one.answers["age"] for one in from_tasks([task(annotations=list(annotations))])]

    assert age(made(1, 9), made(2, 11), made(3, 10)) == ["2"]
    assert age(made(1, 9, ground_truth=True), made(2, 11)) == ["1"]
    assert age(made(1, 9), made(2, 11, was_cancelled=True)) == ["1"]
    assert age(made(2, 11, was_cancelled=True)) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/data/local-files/?d=photos/a%20b/%C3%A9.jpg", "photos/a b/é.jpg"),
        ("s3://bucket/folder/a%20b.jpg", "folder/a b.jpg"),
        ("https://example.org/x/a.jpg?X-Amz-Signature=1", "x/a.jpg"),
        ("/data/upload/1/0a1b2c3d-a.jpg", "/data/upload/1/0a1b2c3d-a.jpg"),
        ("photos/100%.jpg", "photos/100%.jpg"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_paths(text: str, path: str) -> None:
    assert image_path(text) == path


def test_the_image_is_found_in_the_data_of_a_task() -> None:
    def path(data: dict[str, Any], key: str | None = None) -> str:
        return from_tasks([task(result("number", 3, "age"), data=data)], key)[0].path

    assert path({"note": "x", "image": "a"}) == "a"
    assert path({"note": "x", "portrait": "a.PNG"}) == "a.PNG"
    assert path({"note": "b.jpg", "image": "a.jpg"}) == "a.jpg"
    assert path({"photo": "a.jpg", "other": "b.jpg"}, "other") == "b.jpg"
    for data in ({"note": "x"}, {}, {"image": "data:image/png;base64,AAAA"}, {"image": 3}):
        with pytest.raises(ValueError, match="task 7 names no image"):
            path(data)


def test_answers_without_their_boxes_that_cannot_be_told_apart() -> None:
    box = {"x": 0, "y": 0, "width": 50, "height": 50, "original_width": 9, "original_height": 9}
    boxes = [{**box, "rectanglelabels": ["Face"]}, {**box, "x": 50, "rectanglelabels": ["Face"]}]
    record = {"id": 3, "annotation_id": 1, "image": "a.jpg", "label": boxes}
    found = from_minimal([{**record, "gender": ["male", "female"]}])
    assert [one.answers["gender"] for one in found] == ["male", "female"]
    boxes.append({**box, "x": 20, "rectanglelabels": ["Face"]})
    with pytest.raises(ValueError, match=r"task 3 has 3 boxes and 2 answers to gender: .* export as JSON"):
        from_minimal([{**record, "gender": ["male", "female"]}])


def test_wrong_answers_are_reported_by_task(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task(result("number", 300, "age"))]))
    with pytest.raises(UsageError, match=r"export\.json, task 7: '300' is not an age"):
        read_table(path)
    path.write_text(json.dumps([task(result("choices", ["male"], "sex"))]))
    with pytest.raises(UsageError, match=r"no answers called age or gender; it has sex\. .* `columns`"):
        read_table(path)
    assert [label.gender for label in read_table(path, {"gender": "sex"}).labels.values()] == [0]


@pytest.mark.parametrize(
    "content",
    [
        '[{"annotations": 3}]',
        '[{"annotations": [], "data": {}}, 5]',
        '[{"annotations": [{"result": [{"value": []}, 7]}], "data": {"image": "a.jpg"}}]',
        '[{"annotations": [{"result": {"a": 1}}], "data": {"image": "a.jpg"}}]',
        '[{"annotations": [3, {"result": [{"value": {"x": "a", "choices": {}}}]}], "data": {"image": "a"}}]',
        '[{"annotation_id": 1, "image": "a.jpg", "age": {"x": 1}, "gender": [[]]}]',
        '[{"annotation_id": 1, "id": [], "age": 3}, 4]',
        "[" * 100,
    ],
)
def test_damaged_exports_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"export\.json"):
        read_table(path)


def test_a_damaged_cell_of_csv(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text('annotation_id,annotator,lead_time,image,age\n1,1,3,a.jpg,"[{""number"": 4}"\n')
    with pytest.raises(UsageError, match=r"export\.csv, line 2: age is damaged"):
        read_table(path)
    assert is_label_studio(
        (EXPORTS / "label-studio.csv").read_text().splitlines()[0].replace('"', "").split(",")
    )
    assert not is_label_studio(["path", "age", "annotator"])
