"""COCO files, and pycocotools reading them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from predicted import FACES, NO_FACE, ROWS, UNDECODABLE, UNREADABLE

from arcage import __version__
from arcage.data.tables import read_table
from arcage.errors import OutputError
from arcage.output.coco import write_coco
from arcage.output.formats import write_file


def coco(path: Path, rows: Any = ROWS) -> dict[str, Any]:
    with write_file(path, "coco", more=["p_under_18"]) as write:
        for start in (0, 2, 3, 4):
            write(rows[start : 2 if start == 0 else start + 1])
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def test_images_annotations_and_what_cannot_be_read(tmp_path: Path) -> None:
    data = coco(tmp_path / "a.json")
    assert list(data) == ["info", "licenses", "categories", "images", "annotations", "unreadable"]
    assert data["info"]["version"] == __version__
    assert data["categories"] == [{"id": 1, "name": "face", "supercategory": "person"}]
    assert data["images"] == [
        {"id": 1, "file_name": FACES[0].path, "width": 400, "height": 200},
        {"id": 2, "file_name": NO_FACE.path, "width": 30, "height": 20},
        {"id": 3, "file_name": UNDECODABLE.path, "width": 30, "height": 20},
    ]
    assert data["unreadable"] == [{"file_name": UNREADABLE.path, "error": "empty file"}]
    first, second = data["annotations"]
    assert first == {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [0.0, 50.0, 100.0, 150.0], "area": 15000.0,
        "iscrowd": 0, "score": 0.988,
        "attributes": {
            "face": 0, "age": 34.2, "age_low": 27.0, "age_high": 42.0, "gender": "female", "p_female": 0.9712,
            "familiarity": 0.25, "p_under_18": 0.1235,
        },
    }  # fmt: skip
    assert (second["id"], second["bbox"], second["area"]) == (2, [200.0, 20.0, 100.0, 100.0], 10000.0)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_no_rows_at_all(tmp_path: Path) -> None:
    data = coco(tmp_path / "a.json", [])
    assert (data["images"], data["annotations"], data["unreadable"]) == ([], [], [])


def test_annotations_wait_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the number of faces: what is written is not kept."""
    out = io.StringIO()
    with write_coco(out, [], tmp_path / "a.json") as write:
        for _ in range(2000):
            write(FACES)
        assert '"annotations"' not in out.getvalue()
        assert list(tmp_path.iterdir()) == []  # it has no name
    data = json.loads(out.getvalue())
    assert [one["image_id"] for one in data["annotations"]] == [i // 2 + 1 for i in range(4000)]
    assert [one["id"] for one in data["annotations"]] == list(range(1, 4001))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, data: Any) -> int:
        raise OutputError("cannot write: No space left on device")

    (tmp_path / "a.json").write_text("old")
    monkeypatch.setattr("arcage.files._Output.write", full)
    with pytest.raises(OutputError, match="No space left"), write_file(tmp_path / "a.json", "coco") as write:
        write(FACES * 10_000)
    assert (tmp_path / "a.json").read_text() == "old"


def test_arcage_reads_it_as_labels(tmp_path: Path) -> None:
    coco(tmp_path / "a.json")
    read = read_table(tmp_path / "a.json").labels
    found = [(place.path, place.face, place.box, one.age, one.gender) for place, one in read.items()]
    assert found[0] == (FACES[0].path, 0, (0, 50, 100, 200), pytest.approx(34.2), 1)
    assert [str(value) for value in found[1][3:]] == ["nan", "nan"]


@pytest.mark.oracle
def test_pycocotools_reads_it(tmp_path: Path) -> None:
    reader = pytest.importorskip("pycocotools.coco")
    data = coco(tmp_path / "a.json")
    read = reader.COCO(str(tmp_path / "a.json"))
    assert [image["file_name"] for image in read.loadImgs(read.getImgIds())] == [
        image["file_name"] for image in data["images"]
    ]
    assert read.getAnnIds(imgIds=[1], catIds=read.getCatIds(["face"])) == [1, 2]
    assert read.getAnnIds(imgIds=[2, 3]) == []
    detections = [
        {k: one[k] for k in ("image_id", "category_id", "bbox", "score")} for one in data["annotations"]
    ]
    results = read.loadRes(detections)
    evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval(read, results, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # The detections are the annotations.
    assert evaluation.stats[0] == pytest.approx(1)
