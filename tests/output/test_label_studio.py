"""Tasks of Label Studio, and its SDK validating them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from predicted import FACES, NO_FACE, ROWS, UNREADABLE

from arcage import __version__
from arcage.data.tables import read_table
from arcage.output.formats import write_file
from arcage.output.label_studio import CONFIG, address

ROOT = Path(__file__).parents[2]


def tasks(path: Path, rows: Any = ROWS) -> list[dict[str, Any]]:
    with write_file(path, "label-studio", more=["p_under_18"]) as write:
        write(rows)
    content: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return content


def test_tasks_with_predictions(tmp_path: Path) -> None:
    first, no_face, unreadable, undecodable = tasks(tmp_path / "a.json")
    assert first["data"] == {
        "image": "/data/local-files/?d=in/a%20b.jpg", "path": FACES[0].path, "status": "ok",
    }  # fmt: skip
    (prediction,) = first["predictions"]
    assert (prediction["model_version"], prediction["score"]) == (f"arcage {__version__}", 0.75)
    rectangle, age, gender, second = prediction["result"]
    assert rectangle == {
        "id": "face-0", "from_name": "face", "to_name": "image", "type": "rectanglelabels",
        "original_width": 400, "original_height": 200, "image_rotation": 0, "score": 0.9877,
        "value": {
            "x": 0.0, "y": 25.0, "width": 25.0, "height": 75.0, "rotation": 0, "rectanglelabels": ["face"],
        },
    }  # fmt: skip
    assert (age["id"], age["type"], age["value"]["number"]) == ("face-0", "number", 34.2)
    assert (gender["id"], gender["value"]["choices"], gender["score"]) == ("face-0", ["female"], 0.9712)
    assert {one["value"]["x"] for one in (rectangle, age, gender)} == {0}
    # Neither age nor gender.
    assert (second["id"], second["type"]) == ("face-1", "rectanglelabels")

    assert no_face["data"]["status"] == "no_face"
    assert no_face["predictions"] == [{"model_version": f"arcage {__version__}", "result": []}]
    assert unreadable["data"]["error"] == UNREADABLE.error
    assert "predictions" not in unreadable
    # Databases cannot store a name that is not UTF-8.
    assert undecodable["data"]["path"] == r"caf\udce9.jpg"
    assert undecodable["data"]["image"].endswith("?d=caf%E9.jpg")


def test_no_rows_at_all(tmp_path: Path) -> None:
    assert tasks(tmp_path / "a.json", []) == []


def test_accepted_predictions_are_labels(tmp_path: Path) -> None:
    """An export of Label Studio has what was accepted as annotations."""
    exported = tasks(tmp_path / "a.json", FACES)
    for number, task in enumerate(exported):
        task["id"] = number
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    (tmp_path / "b.json").write_text(json.dumps(exported))
    read = read_table(tmp_path / "b.json").labels
    found = [(place.path, place.box, one.age, one.gender) for place, one in read.items()]
    assert found[0] == (FACES[0].path, (0, 50, 100, 200), pytest.approx(34.2), 1)
    assert [str(value) for value in found[1][2:]] == ["nan", "nan"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a.jpg", "/data/local-files/?d=a.jpg"),
        ("./x/é&b=#?.jpg", "/data/local-files/?d=x/%C3%A9%26b%3D%23%3F.jpg"),
        ("/home/me/a.jpg", "/data/local-files/?d=home/me/a.jpg"),
        ("s3://bucket/a b.jpg", "s3://bucket/a b.jpg"),
        (ROWS[-1].path, "/data/local-files/?d=caf%E9.jpg"),
    ],
)
def test_addresses(path: str, shown: str) -> None:
    assert address(path) == shown


def test_the_documentation_shows_the_configuration() -> None:
    assert f"```xml\n{CONFIG}```" in (ROOT / "docs" / "guide" / "output.md").read_text("utf-8")


@pytest.mark.oracle
def test_label_studio_accepts_them(tmp_path: Path) -> None:
    sdk = pytest.importorskip("label_studio_sdk.label_interface")
    project = sdk.LabelInterface(CONFIG)
    project.validate()
    written = tasks(tmp_path / "a.json")
    for task in written:
        for prediction in task.get("predictions", []):
            assert project.validate_prediction(prediction, return_errors=True) == []
    wrong = written[0]["predictions"][0]
    wrong["result"][2]["value"]["choices"] = ["woman"]
    assert project.validate_prediction(wrong, return_errors=True)
    assert NO_FACE.status == "no_face"
