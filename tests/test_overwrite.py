"""Results of arcage are replaced; other files are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcage.data.imdb_wiki import check_labels_file
from arcage.errors import ForeignFileError, UsageError
from arcage.files import refuse_foreign
from arcage.heads.export import check_onnx_file
from arcage.output.formats import check_rows_file, write_file
from arcage.output.registry import FORMATS, FormatName
from arcage.output.rows import COLUMNS
from arcage.report.evaluation_plots import CAPTIONS
from arcage.report.evaluation_report import check_report_files
from arcage.report.labels_report import check_label_report_files
from arcage.report.plots import new_axes, png
from arcage.report.predictions_page import check_page_file, write_page
from arcage.training.folder import check_heads_folder
from arcage.types import Prediction
from arcage.video.write import FRAME_COLUMNS, check_frames_file, write_frames

Run = Callable[..., Any]
ROWS = [
    Prediction(
        'a "b" {,}.jpg', 0, 1, 1, 2, 3, 4, 0.9, 30, 20, 40, "male", 0.1, "ok", None, image_size=(9, 9)
    ),
    Prediction("ü.jpg", None, 0, *[None] * 10, "unreadable", 'a "reason"'),  # type: ignore[arg-type]
]


def test_the_mark_may_stand_at_either_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"mark" + bytes(200_000), bytes(200_000) + b"mark"):
        path.write_bytes(content)
        refuse_foreign(b"mark", path)
    for content in (b"m", bytes(100_000) + b"mark" + bytes(100_000)):
        path.write_bytes(content)
        with pytest.raises(ForeignFileError, match="file was not written by arcage, and would be replaced"):
            refuse_foreign(b"mark", path)
    refuse_foreign(b"mark", tmp_path, tmp_path / "nothing")


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS[1:], ROWS])
@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if one.suffix])
def test_rows_are_recognised(tmp_path: Path, name: FormatName, rows: list[Prediction]) -> None:
    """A format may replace another one with the same suffix."""
    if name == "xlsx":
        pytest.importorskip("openpyxl")
    path = tmp_path / f"out{FORMATS[name].suffix}"
    with write_file(path, name) as write:
        write(rows)
    check_rows_file(path)


def test_rows_and_frames_of_older_versions_are_recognised(tmp_path: Path) -> None:
    """They had no familiarity."""
    old = COLUMNS[: COLUMNS.index("familiarity")]
    assert (*old, "familiarity") == COLUMNS
    (tmp_path / "a.csv").write_text(",".join(old) + "\n")
    (tmp_path / "b.csv").write_text(",".join([*old, "p_under_18"]) + "\n")
    line = '"path": "a", ' + ", ".join(f'"{name}": null' for name in old[1:])
    (tmp_path / "a.jsonl").write_text(f"{{{line}}}\n")
    pq.write_table(pa.table({name: [1] for name in old}), tmp_path / "a.parquet")
    for name in ("a.csv", "b.csv", "a.jsonl", "a.parquet"):
        check_rows_file(tmp_path / name)
    frames = ",".join(FRAME_COLUMNS[: FRAME_COLUMNS.index("familiarity")])
    (tmp_path / "frames.csv").write_text(frames + "\n")
    check_frames_file(tmp_path / "frames.csv")


def test_rows_that_an_editor_has_saved_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with write_file(path) as write:
        write(ROWS)
    text = path.read_text().replace("30.0", "31.0").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    check_rows_file(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "name,phone\nx,1\n"),
        ("a.csv", "path,age,gender\na.jpg,3,male\n"),
        ("a.csv", ",".join(COLUMNS) + ",mine\n"),
        ("a.csv", "mine," + ",".join(COLUMNS) + "\n"),
        ("a.csv", ",".join(COLUMNS).replace(",", ";") + "\n"),
        ("a.csv", " "),
        ("a.jsonl", '{"path": "a.jpg", "age": 3}\n'),
        ("a.jsonl", '{"path": "a", "face": 0, "faces": 1, "x1": 1, "error": null, "mine": 1}\n'),
        ("a.jsonl", '{"path": "a", "face": 0, "faces": 1, "x1": 3, "note": "x", "error": null}\n'),
        ("a.jsonl", "no JSON"),
        ("a.json", "[]"),
        ("a.json", '[{"path": "a.jpg", "age": 3}]'),
        ("a.json", '{"info": {"description": "mine"}, "images": []}'),
        ("a.json", '{"labels": {\n"a.jpg": [{"label": "dog"}]\n}}'),
        ("a.json", '[\n{"data": {"image": "a.jpg"}}\n]'),
        ("a.xlsx", "no workbook"),
        ("a.parquet", "no Parquet"),
        ("a.parquet", "PAR1 nor this PAR1"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ForeignFileError):
        check_rows_file(tmp_path / name)


def test_other_parquet_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for columns in (["path", "age"], [*COLUMNS, "mine"]):
        pq.write_table(pa.table({name: [1] for name in columns}), path)
        with pytest.raises(ForeignFileError):
            check_rows_file(path)


def test_pages_and_frames_are_recognised(tmp_path: Path) -> None:
    page, frames = tmp_path / "a.html", tmp_path / "a.csv"
    with write_page(page, "photos"), write_frames(frames):
        pass
    check_page_file(page)
    check_frames_file(frames)
    with pytest.raises(ForeignFileError):
        check_rows_file(frames)
    page.write_text("<title>mine</title>")
    frames.write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(ForeignFileError):
        check_page_file(page)
    with pytest.raises(ForeignFileError):
        check_frames_file(frames)
    with pytest.raises(UsageError, match=r"in \.csv"):
        check_frames_file(tmp_path / "a.txt")


def test_plots_are_recognised(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = new_axes()[0]
    for name in CAPTIONS:
        (tmp_path / f"{name}.png").write_bytes(png(figure))
    check_report_files(tmp_path)
    (tmp_path / "scatter.png").write_bytes(b"\x89PNG\r\n\x1a\n mine")
    with pytest.raises(ForeignFileError, match=r"scatter\.png"):
        check_report_files(tmp_path)


@pytest.mark.parametrize("name", ["report.html", "report.json"])
def test_other_files_in_the_folder_of_a_report(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    check_report_files(tmp_path)
    (tmp_path / name).write_text('{"images": {}}')
    with pytest.raises(ForeignFileError):
        check_report_files(tmp_path)


@pytest.mark.parametrize("name", ["labels.html", "labels.json", "suspicious.csv"])
def test_other_files_in_the_folder_of_a_label_report(tmp_path: Path, name: str) -> None:
    check_label_report_files(tmp_path)
    (tmp_path / name).write_text("path,age\n")
    with pytest.raises(ForeignFileError):
        check_label_report_files(tmp_path)


def test_folders_for_heads(tmp_path: Path, bundled: None) -> None:
    from arcage.heads.store import BUNDLED

    check_heads_folder(tmp_path / "new")
    folder = tmp_path / "heads"
    shutil.copytree(BUNDLED, folder)
    (folder / "notes.txt").write_text("mine")
    check_heads_folder(folder)
    # An interrupted fit leaves this file.
    (folder / "notes.txt").unlink()
    (folder / "manifest.json").unlink()
    (folder / "trials.jsonl").write_text("{}\n")
    (folder / ".arcage-1.tmp").write_text("half")
    check_heads_folder(folder)
    (folder / "photo.jpg").write_text("mine")
    with pytest.raises(ForeignFileError, match="heads was not written by arcage"):
        check_heads_folder(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model-card.md", "curves.json", "photo.jpg"])
def test_folders_that_hold_something_else_than_heads(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"name": "mine"}')
    with pytest.raises(ForeignFileError):
        check_heads_folder(tmp_path)


def test_models_in_onnx_are_recognised(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "heads.onnx"
    # As a byte, version 10 of the format is a line feed.
    for producer, version, own in (("arcage", 9, True), ("arcage", 10, True), ("pytorch", 9, False)):
        model = onnx.helper.make_model(onnx.GraphProto(), producer_name=producer, ir_version=version)
        path.write_bytes(model.SerializeToString())
        if own:
            check_onnx_file(path)
        else:
            with pytest.raises(ForeignFileError):
                check_onnx_file(path)
    with pytest.raises(UsageError, match=r"in \.onnx"):
        check_onnx_file(tmp_path / "a.txt")


def test_cleaned_labels_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("path,age,gender,person,left_out,born,photo_taken,face_score,second_face_score\n")
    check_labels_file(path)
    path.write_text("path,age,gender\n")
    with pytest.raises(ForeignFileError):
        check_labels_file(path)


# The commands


@pytest.fixture
def photo_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").write_bytes(fakes.image(fakes.face()))


@pytest.mark.parametrize(
    ("option", "name", "own"),
    [
        ("--out", "mine.csv", "path,face,"),
        ("--out", "mine.jsonl", '{"path": "a.jpg", "face": 0'),
        ("--out", "mine.json", '[\n{"path": "a.jpg", "face": 0'),
        ("--out", "mine.parquet", "PAR1"),
        ("--report", "mine.html", "<!DOCTYPE html>"),
        ("--frames", "mine.csv", "path,frame,"),
    ],
)
def test_predict_checks_its_outputs_before_any_work(
    arcage: Run, photo_file: None, option: str, name: str, own: str
) -> None:
    path = Path(name)
    path.write_text("mine\n")
    command = ("predict", "a.jpg", option, name)
    fakes.FakeHeads.calls.clear()
    done = arcage(*command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"arcage: {name} was not written by arcage, and would be replaced: choose another name, or replace "
        "it with --overwrite\n"
    )
    assert path.read_text() == "mine\n"
    assert fakes.FakeHeads.calls == []

    for options in (["--overwrite"], []):  # its own result needs no option
        assert arcage(*command, *options).exit_code == 0
        assert path.read_bytes().startswith(own.encode())


def test_annotated_pictures_are_checked_before_any_work(arcage: Run, photo_file: None) -> None:
    Path("drawn").mkdir()
    Path("drawn/a.jpg").write_text("mine")
    fakes.FakeHeads.calls.clear()
    done = arcage("predict", "a.jpg", "--annotate", "drawn")
    assert done.exit_code == 2
    assert "drawn/a.jpg was not written by arcage" in done.stderr.replace("\\", "/")
    assert "--overwrite" in done.stderr
    assert (Path("drawn/a.jpg").read_text(), fakes.FakeHeads.calls) == ("mine", [])


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("fit", "--cache", "c", "--labels", "utkface", "--out", "mine"), "mine/manifest.json"),
        (("fit", "--cache", "c", "--labels", "utkface", "--out", "mine"), "mine/photo.jpg"),
        (
            ("fit", "--from", "bundled", "--cache", "c", "--labels", "x.csv", "--out", "mine"),
            "mine/photo.jpg",
        ),
        (("evaluate", "--cache", "c", "--labels", "utkface", "--out", "mine.json"), "mine.json"),
        (("evaluate", "--cache", "c", "--labels", "utkface", "--report", "mine"), "mine/scatter.png"),
        (("data", "describe", "--cache", "c", "--labels", "utkface", "--report", "mine"), "mine/labels.html"),
        (("data", "clean", "imdb.mat", "--out", "mine.csv"), "mine.csv"),
        (("heads", "export", "bundled", "--out", "mine.onnx"), "mine.onnx"),
    ],
)
def test_the_other_commands_check_their_outputs_before_any_work(
    arcage: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(json.dumps({"mine": 1}))
    for given in ("c", "x.csv", "imdb.mat"):
        Path(given).touch()
    done = arcage(*command)
    assert done.exit_code == 2
    assert "was not written by arcage" in done.stderr
    assert "--overwrite" in done.stderr
    assert Path(name).read_text() == '{"mine": 1}'
    help_ = arcage(*[word for word in command[:2] if not word.startswith("-")], "--help")
    assert "--overwrite" in help_.stdout


def test_two_results_in_one_file(arcage: Run, photo_file: None) -> None:
    done = arcage("predict", "a.jpg", "--out", "a.csv", "--frames", "./a.csv")
    assert (done.exit_code, done.stderr) == (2, "arcage: --out and --frames are both a.csv: give two names\n")
