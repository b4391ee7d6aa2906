"""Images with faces that the user gave, in whole runs on the fake pipeline.

Of a given face, the fake age is the height of the box, and p_female is 1 if there are landmarks, otherwise 0.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FINGERPRINT, face, image

from arcage.cache import Cache
from arcage.data.boxes_file import LANDMARKS
from arcage.errors import UsageError
from arcage.extraction.inputs import named_images
from arcage.sources.inputs import named_inputs

POINTS = (20, 40, 40, 40, 30, 50, 22, 65, 38, 65)


@pytest.fixture(autouse=True)
def photos(fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number, name in enumerate("abc"):
        Path(f"in/{name}.jpg").write_bytes(image(face(30 + number)))
    write("in/a.jpg,10,20,50,80", "in/b.jpg,1,2,30,47", "in/b.jpg,300,200,340,231")


def write(*rows: str, header: str = "path,x1,y1,x2,y2", name: str = "boxes.csv") -> None:
    Path(name).write_text("\n".join([header, *rows]) + "\n")


def table(result: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(result.stdout.splitlines()))


def ages(result: Any) -> list[str]:
    return [row["age"] for row in table(result)]


def test_images_get_their_faces() -> None:
    inputs = named_images(["in"], boxes=Path("boxes.csv"))
    assert inputs.faces_from == "boxes"
    found = {source.name: source.faces for source in inputs}
    assert {name: faces.boxes.tolist() for name, faces in found.items() if faces is not None} == {
        "a.jpg": [[10, 20, 50, 80]],
        "b.jpg": [[1, 2, 30, 47], [300, 200, 340, 231]],
        "c.jpg": [],
    }
    assert all(source.faces is not None for source in inputs)  # each time


def test_without_own_faces_they_are_detected() -> None:
    inputs = named_images(["in"])
    assert inputs == named_inputs(["in"])
    assert (inputs.faces_from, inputs.remark()) == ("detector", "")
    assert all(source.faces is None for source in inputs)


def test_without_a_path_the_images_are_those_of_the_file() -> None:
    inputs = named_images(None, boxes=Path("boxes.csv"))
    assert [source.path for source in inputs] == ["in/a.jpg", "in/b.jpg"]
    assert inputs.only is None
    part = named_images([], None, "1/2", boxes=Path("boxes.csv"))
    other = named_images([], None, "2/2", boxes=Path("boxes.csv"))
    assert len(list(part)) + len(list(other)) == 2


def test_aligned_crops() -> None:
    inputs = named_images(["in"], aligned=True)
    assert inputs.faces_from == "aligned"
    assert all(source.faces is not None and source.faces.aligned for source in inputs)


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="an aligned crop is one face without a box"):
        named_images(["in"], boxes=Path("boxes.csv"), aligned=True)
    with pytest.raises(UsageError, match="nowhere"):
        named_images(["in"], boxes=Path("nowhere.csv"))
    with pytest.raises(UsageError, match="no images given"):
        named_images(None)
    with pytest.raises(UsageError, match="no images given"):
        named_images(None, aligned=True)


def test_each_box_is_a_row(arcage: Callable[..., Any]) -> None:
    result = arcage("predict", "in", "--boxes", "boxes.csv")
    assert result.exit_code == 0
    rows = table(result)
    assert [(row["path"], row["face"], row["faces"], row["age"], row["status"]) for row in rows] == [
        ("in/a.jpg", "0", "1", "60.0", "ok"),
        ("in/b.jpg", "0", "2", "45.0", "ok"),
        ("in/b.jpg", "1", "2", "31.0", "ok"),
        ("in/c.jpg", "", "0", "", "no_face"),
    ]
    assert [rows[1][name] for name in ("x1", "y1", "x2", "y2")] == ["1.0", "2.0", "30.0", "47.0"]
    assert "1 image has no box in --boxes" in result.stderr


def test_results_can_be_given_back(arcage: Callable[..., Any]) -> None:
    arcage("predict", "in", "--boxes", "boxes.csv", "--out", "faces.csv", "-q")
    assert ages(arcage("predict", "--boxes", "faces.csv")) == ["60.0", "45.0", "31.0", ""]
    arcage("predict", "in", "--boxes", "boxes.csv", "--out", "faces.parquet", "-q")
    assert ages(arcage("predict", "in", "--boxes", "faces.parquet")) == ["60.0", "45.0", "31.0", ""]


def test_landmarks(arcage: Callable[..., Any]) -> None:
    points = ",".join(map(str, POINTS))
    write(
        f"in/a.jpg,10,20,50,80,{points}",
        f"in/a.jpg,10,20,50,70,{',' * 9}",
        header="path,x1,y1,x2,y2," + ",".join(LANDMARKS),
    )
    rows = table(arcage("predict", "--boxes", "boxes.csv"))
    assert [(row["age"], row["p_female"], row["det_score"]) for row in rows] == [
        ("60.0", "1.0000", "1.000"),
        ("50.0", "0.0000", "0.750"),
    ]


def test_a_box_outside_of_its_image(arcage: Callable[..., Any]) -> None:
    write("in/a.jpg,700,20,750,80", "in/a.jpg,10,20,50,80", "in/b.jpg,-90,-80,0,10")
    result = arcage("predict", "in/a.jpg", "in/b.jpg", "--boxes", "boxes.csv", "--under", 18)
    rows = table(result)
    assert [(row["face"], row["faces"], row["status"]) for row in rows] == [
        ("0", "2", "no_face"),
        ("1", "2", "ok"),
        ("0", "1", "no_face"),
    ]
    assert rows[0]["error"] == rows[2]["error"] == "the box is outside of the image"
    assert rows[0]["x1"] == "700.0"
    for name in ("age", "age_low", "age_high", "gender", "p_female", "familiarity", "p_under_18"):
        assert rows[0][name] == "", name
    assert rows[1]["age"] == "60.0"
    assert "1 with a face, 1 without" in result.stderr


def test_options_that_contradict_boxes(arcage: Callable[..., Any]) -> None:
    for arguments, words in (
        (["in", "--boxes", "boxes.csv", "--aligned"], "leave out --boxes or --aligned"),
        (["in", "--boxes", "boxes.csv", "--min-score", 0.6], "leave out --min-score"),
        (["--webcam", 0, "--boxes", "boxes.csv"], "leave out --boxes and --aligned"),
        (["--webcam", 0, "--aligned"], "leave out --boxes and --aligned"),
    ):
        result = arcage("predict", *arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr


def test_which_faces(arcage: Callable[..., Any]) -> None:
    assert ages(arcage("predict", "in/b.jpg", "--boxes", "boxes.csv", "--faces", "largest")) == ["45.0"]


def test_boxes_of_other_images_are_reported(arcage: Callable[..., Any], tmp_path: Path) -> None:
    words = "boxes.csv: 2 boxes belong to 1 image that was not given, such as in/b.jpg"
    assert words in arcage("predict", "in/a.jpg", "--boxes", "boxes.csv").stderr
    assert words in arcage("extract", "in/a.jpg", "--boxes", "boxes.csv", "--cache", "c").stderr
    # The other parts have them.
    assert "belong" not in arcage("predict", "in", "--boxes", "boxes.csv", "--shard", "1/2").stderr


def test_a_list_and_standard_input(arcage: Callable[..., Any]) -> None:
    Path("list.txt").write_text("in/b.jpg\n./in/a.jpg\n")
    assert ages(arcage("predict", "--from-file", "list.txt", "--boxes", "boxes.csv")) == [
        "60.0",
        "45.0",
        "31.0",
    ]
    write("-,1,2,3,22")
    result = arcage("predict", "-", "--boxes", "boxes.csv", stdin=Path("in/a.jpg").read_bytes())
    assert ages(result) == ["20.0"]


def test_relative_paths_of_an_annotation_folder(arcage: Callable[..., Any]) -> None:
    """As in COCO: the paths in annotations/ are relative to the folder of the images."""
    Path("annotations").mkdir()
    Path("annotations/faces.json").write_text(
        '{"images": [{"id": 1, "file_name": "b.jpg"}],'
        ' "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 33]}]}'
    )
    assert ages(arcage("predict", "in", "--boxes", "annotations/faces.json")) == ["", "33.0", ""]
    # The folder of the file.
    write("b.jpg,1,2,3,41", name="in/faces.csv")
    assert ages(arcage("predict", "--boxes", "in/faces.csv")) == ["39.0"]


def test_a_video_has_no_boxes(arcage: Callable[..., Any]) -> None:
    Path("in/v.mp4").write_bytes(b"x")
    for arguments in (["--boxes", "boxes.csv"], ["--aligned"]):
        row = table(arcage("predict", "in/v.mp4", *arguments))[0]
        assert row["status"] == "unreadable"
        assert row["error"] == "a video, not an image: the faces that are given are those of images"


@pytest.mark.parametrize("engine", ["predict", "extract"])
def test_caches_never_mix_faces_of_different_origins(engine: str, arcage: Callable[..., Any]) -> None:
    def run(*arguments: str) -> Any:
        result = arcage(engine, "in", "--cache", "c", *arguments)
        assert result.exit_code == 0, result.stderr
        return result

    write(*(f"in/{name}.jpg,10,20,50,80" for name in "abc"))
    for arguments in ([], ["--boxes", "boxes.csv"], ["--aligned"]):
        assert "in the cache" not in run(*arguments).stderr, arguments
    assert set(Cache.fingerprints("c")) == {FINGERPRINT, f"{FINGERPRINT}-boxes", f"{FINGERPRINT}-aligned"}
    for suffix, expected in (("", [30, 31, 32]), ("-boxes", [60] * 3), ("-aligned", [40] * 3)):
        table = Cache("c", FINGERPRINT + suffix).table()
        assert sorted(table.descriptors(np.arange(3))[:, 0]) == expected
    # The same boxes are known, others are not.
    if engine == "extract":
        assert "3 images were in the cache" in run("--boxes", "boxes.csv").stderr
        write("in/a.jpg,10,20,50,81", *(f"in/{name}.jpg,10,20,50,80" for name in "bc"))
        assert "2 images were in the cache" in run("--boxes", "boxes.csv").stderr


def test_annotated_pictures_and_a_page(arcage: Callable[..., Any], photo: bytes) -> None:
    Path("in").joinpath("d.jpg").write_bytes(photo)
    write("in/d.jpg,177.9,62.9,268.5,175.5", "in/d.jpg,900,900,950,950")
    result = arcage(
        "predict", "in/d.jpg", "--boxes", "boxes.csv", "--annotate", "drawn", "--report", "page.html"
    )
    assert result.exit_code == 0
    assert Path("drawn/d.jpg").stat().st_size > 1000
    assert "outside of the image" in Path("page.html").read_text()
