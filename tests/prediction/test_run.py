"""A run over images on the fake pipeline: the outputs, and what is checked before models are loaded."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FakeExtractor, FakeHeads, face, image

from arcage.errors import DeviceError, ForeignFileError, RemoteError, UsageError
from arcage.output.label_studio import CONFIG
from arcage.output.registry import FORMATS
from arcage.prediction.request import PredictRequest, images_or_webcam
from arcage.prediction.run import predict
from arcage.sources.inputs import named_inputs

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def photos(fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.jpg").write_bytes(image(face(30)))
    Path("in/b.jpg").write_bytes(image())


def request(**settings: Any) -> PredictRequest:
    return PredictRequest(inputs=named_inputs(["in"]), **settings)


def test_rows_go_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    summary = predict(request(out=Path("out.csv")))
    assert (summary.images, summary.faces, summary.error) == (2, 1, None)
    assert [row["status"] for row in csv.DictReader(Path("out.csv").read_text().splitlines())] == [
        "ok",
        "no_face",
    ]
    assert capsys.readouterr().out == ""


def test_unfamiliar_faces_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert predict(request(out=Path("out.csv"))).unfamiliar == 0
    monkeypatch.setattr(FakeHeads, "familiarity", 1e-5)
    assert predict(request(out=Path("out.csv"))).unfamiliar == 1
    # Nothing is predicted for the face that one could rely on.
    assert predict(request(out=Path("out.csv"), min_familiarity=0.5)).unfamiliar == 0
    first, second = csv.DictReader(Path("out.csv").read_text().splitlines())
    assert (first["status"], first["age"], first["p_female"]) == ("ok", "", "")
    assert (first["familiarity"], second["familiarity"]) == ("0.000010", "")


@pytest.mark.parametrize(
    ("format_", "terminal", "start"),
    [
        (None, False, "path,face,"),
        (None, True, "  age"),
        ("csv", True, "path,face,"),
        ("excel-csv", False, "\ufeffpath,face,"),
        ("jsonl", False, '{"path": "in/a.jpg"'),
        ("json", False, '[\n{"path": "in/a.jpg"'),
        ("coco", False, '{"info": '),
        ("label-studio", False, '[\n{"data": '),
        ("fiftyone", False, '{"labels": '),
        ("table", False, "  age"),
    ],
)
def test_the_format_of_standard_output(
    format_: Any,
    terminal: bool,
    start: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: terminal))
    monkeypatch.setattr("arcage.prediction.run.sys", stdout)
    predict(request(format=format_))
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"out": Path("a.txt")}, UsageError, "end its name in one of"),
        (
            {"out": Path("a.csv"), "format": "jsonl"},
            UsageError,
            "`format` jsonl is written to .jsonl, but `out` is a.csv",
        ),
        ({"format": "parquet"}, UsageError, "`format` parquet is not text: name a file"),
        ({"out": Path("mine.csv")}, ForeignFileError, "mine.csv was not written by arcage"),
        ({"report": Path("mine.csv")}, UsageError, "`report` mine.csv in .html"),
        ({"frames": Path("mine.csv")}, ForeignFileError, "mine.csv was not written by arcage"),
        ({"out": Path("a.csv"), "frames": Path("./a.csv")}, UsageError, "`out` and `frames` are both a.csv"),
        ({"annotate": Path("in/out")}, UsageError, "the pictures cannot go to in/out"),
        ({"heads": Path("none")}, UsageError, "no such file or folder: `heads` none"),
    ],
)
def test_outputs_are_checked_before_models_are_loaded(
    settings: dict[str, Any], error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.csv").write_text("mine\n")
    monkeypatch.setitem(sys.modules, "arcage.predictor", None)
    with pytest.raises(error, match=re.escape(words)):
        predict(request(**settings))
    assert Path("mine.csv").read_text() == "mine\n"


@pytest.mark.parametrize("format_", [name for name, one in FORMATS.items() if one.images_only])
def test_formats_of_images_hold_no_videos(format_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arcage.predictor", None)
    Path("a.mp4").touch()
    words = re.escape(f"`format` {format_} describes images, not ")
    with pytest.raises(UsageError, match=f"{words}a.mp4: write CSV, Excel, JSON or Parquet"):
        predict(PredictRequest(inputs=named_inputs(["in", "a.mp4"]), format=format_))
    with pytest.raises(UsageError, match=f"{words}a camera"):
        predict(PredictRequest(inputs=images_or_webcam(None, None, None, 1), webcam=1, format=format_))


def test_fiftyone_opens_files_only() -> None:
    inputs = replace(named_inputs(["in"]), arguments=("in", "https://x/a.jpg"))
    with pytest.raises(UsageError, match=r"opens files, not https://x/a\.jpg: download the images first"):
        predict(PredictRequest(inputs=inputs, format="fiftyone"))


def test_the_size_of_an_image_reaches_the_formats() -> None:
    predict(request(out=Path("a.json"), format="coco"))
    data = json.loads(Path("a.json").read_text())
    assert [(one["file_name"], one["width"], one["height"]) for one in data["images"]] == [
        ("in/a.jpg", 640, 480),
        ("in/b.jpg", 640, 480),
    ]
    assert [one["attributes"]["age"] for one in data["annotations"]] == [30]
    # From a cache too, and with the rows of another format in the file.
    for _ in range(2):
        predict(request(out=Path("a.json"), format="label-studio", cache=Path("cache")))
    (first, second) = json.loads(Path("a.json").read_text())
    assert first["predictions"][0]["result"][0]["original_width"] == 640
    assert second["predictions"][0]["result"] == []


def test_the_labelling_configuration_is_reported() -> None:
    reported: list[str] = []
    predict(request(out=Path("a.json"), format="label-studio"), report=reported.append)
    assert reported[1:] == CONFIG.splitlines()


def test_a_workbook() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    predict(request(out=Path("a.xlsx"), under=(18,)))
    header, *rows = openpyxl.load_workbook("a.xlsx").active.values
    assert header[-1] == "p_under_18"
    assert [(row[0], row[8], row[13]) for row in rows] == [
        ("in/a.jpg", 30, "ok"),
        ("in/b.jpg", None, "no_face"),
    ]


def test_a_workbook_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r"pip install 'arcage\[excel\]'"):
        predict(request(out=Path("a.xlsx")))


def test_a_foreign_file_is_replaced_if_asked() -> None:
    Path("out.csv").write_text("mine\n")
    predict(request(out=Path("out.csv"), overwrite=True))
    assert Path("out.csv").read_text().startswith("path,face,")


def test_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "note", "using the CPU")
    reported: list[str] = []
    warned: list[str] = []
    wanted = request(out=Path("out.csv"), report=Path("out.html"), annotate=Path("drawn"))
    predict(wanted, report=reported.append, warn=warned.append)
    assert reported == ["0 of 2 images drawn into drawn", "report: out.html"]
    assert warned == ["using the CPU"]


def test_progress_is_shown_for_several_images() -> None:
    shown: list[str] = []

    def progress(title: str, items: Any) -> Any:
        shown.append(f"{title} {sum(1 for _ in items())}")
        from contextlib import nullcontext

        return nullcontext(lambda: None)

    predict(request(out=Path("out.csv")), progress=progress)
    predict(PredictRequest(inputs=named_inputs(["in/a.jpg"]), out=Path("out.csv")), progress=progress)
    assert shown == ["Predicting 2"]


def test_a_server_that_fails_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RemoteError("no network")
    monkeypatch.setattr("arcage.prediction.run.ReadAhead.error", error)
    assert predict(request(out=Path("out.csv"))).error is error


def test_the_cache_is_used() -> None:
    for computed in (2, 0):
        counted: list[str] = []
        FakeExtractor.computed = staticmethod(counted.append)
        predict(request(out=Path("out.jsonl"), cache=Path("cache")))
        assert len(counted) == computed
    assert [json.loads(line)["age"] for line in Path("out.jsonl").read_text().splitlines()] == [30, None]
    FakeExtractor.computed = staticmethod(lambda sha256: None)


def test_a_webcam_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="camera 97"):
        predict(PredictRequest(inputs=images_or_webcam(None, None, None, 97), webcam=97))


def test_photos_need_no_code_for_videos() -> None:
    program = (
        "import sys, fakes; fakes.install()\n"
        "from arcage.cli import app\n"
        "app(['predict', 'in', '--out', 'out.csv', '--annotate', 'drawn', '--report', 'out.html'], "
        "standalone_mode=False)\n"
        "print(*sorted(name for name in sys.modules if name.startswith('arcage.')))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert "arcage.predictor" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("arcage.video")]


def large_tiff() -> bytes:
    import cv2
    import numpy as np

    encoded: bytes = cv2.imencode(".tiff", np.zeros((4000, 8000, 3), np.uint8))[1].tobytes()
    return encoded


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory need Linux")
def test_limits_of_decoding_reach_every_reader_of_an_image(arcage: Any) -> None:
    Path("one").mkdir()
    Path("one/a.tiff").write_bytes(large_tiff())
    low = ("--max-memory", "60MB")
    done = arcage("predict", "one", "--format", "jsonl", "--cache", "cache", *low)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["status"] == "unreadable"
    assert "than 60 MB of memory" in row["error"]
    # It is not cached, and higher limits read it.
    done = arcage("predict", "one", "--cache", "cache", "--annotate", "drawn", "--report", "a.html")
    assert done.exit_code == 0
    assert "1 of 1 image drawn" in done.stderr
    assert "data:image/jpeg" in Path("a.html").read_text() or '"thumbnail":"' in Path("a.html").read_text()
    # The descriptors come from the cache, but the pictures do not.
    done = arcage("predict", "one", "--cache", "cache", "--annotate", "none", "--report", "b.html", *low)
    assert done.exit_code == 0
    assert "0 of 1 image drawn" in done.stderr
    assert '"thumbnail":null' in Path("b.html").read_text()


@pytest.mark.parametrize("command", ["predict", "extract", "app"])
def test_limits_that_make_no_sense(arcage: Any, command: str) -> None:
    more = {"predict": ["in"], "extract": ["in", "--cache", "cache"], "app": []}[command]
    done = arcage(command, *more, "--max-memory", "much")
    assert done.exit_code == 2
    assert "--max-memory is a size such as 500MB or 2GB, not 'much'" in done.stderr
    done = arcage(command, *more, "--max-seconds", "0")
    assert done.exit_code == 2
    assert "--max-seconds takes a number of 0.1 or more" in done.stderr


def test_additional_columns_and_another_level_reach_all_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    wanted: dict[str, Any] = {"interval": 80, "under": (18, 35)}
    predict(request(out=Path("out.csv"), report=Path("page.html"), **wanted))
    first, second = csv.DictReader(Path("out.csv").read_text().splitlines())
    assert (first["age_low"], first["p_under_18"], first["p_under_35"]) == ("22.0", "0.0017", "0.7250")
    assert second["p_under_18"] == ""
    assert "80 % interval" in Path("page.html").read_text()
    # It is its own file, also if the columns differ.
    predict(request(out=Path("out.csv")))
    predict(request(format="table", **wanted))
    assert re.match(r"  age  80 %     gender        under 18  under 35  face", capsys.readouterr().out)
