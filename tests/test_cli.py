"""The command line on the fake pipeline: options, output and exit codes."""

from __future__ import annotations

import csv
import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import fakes
import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from fakes import FINGERPRINT, FakeExtractor, face, image
from imports import HEAVY
from typer.testing import CliRunner

import arcage.cli
from arcage.cache import Cache
from arcage.doctor import examine
from arcage.embedder.packs.inventory import list_models

ROOT = Path(__file__).parents[1]
Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images in the current folder, under ``in``."""
    monkeypatch.chdir(tmp_path)
    files = {
        "in/10 years.jpg": image(face(10)),
        "in/b/empty.jpg": b"",
        "in/b/none.PNG": image(),
        "in/b/text.jpg": b"text",
        "in/é/ü.jpeg": image(face(20), face(30, 0.2)),
        "in/readme.txt": b"",
    }
    for name, data in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)
    Path("in/broken.jpg").symlink_to("nowhere")
    return tmp_path


EXPECTED = [
    ("in/10 years.jpg", "ok", "10.0"),
    ("in/b/empty.jpg", "unreadable", ""),
    ("in/b/none.PNG", "no_face", ""),
    ("in/b/text.jpg", "unreadable", ""),
    ("in/broken.jpg", "unreadable", ""),
    ("in/é/ü.jpeg", "ok", "20.0"),
    ("in/é/ü.jpeg", "ok", "30.0"),
]


def table(text: str) -> list[tuple[str, str, str]]:
    return [(row["path"], row["status"], row["age"]) for row in csv.DictReader(io.StringIO(text))]


# predict


def test_a_row_for_each_face_or_image_in_the_order_of_the_paths(arcage: Run, folder: Path) -> None:
    done = arcage("predict", "in")
    assert done.exit_code == 0
    assert table(done.stdout) == EXPECTED
    errors = [row["error"] for row in csv.DictReader(io.StringIO(done.stdout))]
    text = "text is not a supported image format: a list of images is read with `arcage predict --from-file`"
    assert errors == ["", "empty file", "", text, "no such file", "", ""]
    assert "6 images" in done.stderr
    assert "2 with a face, 1 without, 3 unreadable; 3 faces" in done.stderr
    assert arcage("predict", "in", "--quiet").stderr == ""


def test_files_folders_and_a_list(arcage: Run, folder: Path) -> None:
    Path("list.txt").write_text("in/b/none.PNG\n\nin/10 years.jpg\n")
    done = arcage("predict", "in/é", "--from-file", "list.txt")
    assert [path for path, _, _ in table(done.stdout)] == [
        "in/10 years.jpg",
        "in/b/none.PNG",
        "in/é/ü.jpeg",
        "in/é/ü.jpeg",
    ]
    done = arcage("predict", "--from-file", "-", stdin=b"in/b\0in/10 years.jpg\0")
    assert table(done.stdout) == EXPECTED[:4]


def test_standard_input(arcage: Run) -> None:
    done = arcage("predict", "-", stdin=image(face(44)))
    assert done.exit_code == 0
    assert table(done.stdout) == [("-", "ok", "44.0")]
    done = arcage("predict", "-", stdin=b"")
    assert done.exit_code == 1
    assert table(done.stdout) == [("-", "unreadable", "")]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_out(arcage: Run, folder: Path, suffix: str) -> None:
    done = arcage("predict", "in", "--out", f"out.{suffix}")
    assert (done.exit_code, done.stdout) == (0, "")
    out = Path(f"out.{suffix}")
    if suffix == "csv":
        assert table(out.read_text("utf-8")) == EXPECTED
        return
    if suffix == "jsonl":
        rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    else:
        rows = pq.read_table(out).to_pylist()
    assert [(row["path"], row["status"], str(row["age"] or "")) for row in rows] == EXPECTED


def test_formats_of_standard_output(arcage: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = arcage("predict", "in", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["status"] for line in lines] == [status for _, status, _ in EXPECTED]
    lines = arcage("predict", "in", "--format", "table").stdout.splitlines()
    assert len(lines) == 1 + len(EXPECTED)
    assert lines[1].split() == [
        "10.0",
        "5-18",
        "female",
        "90",
        "%",
        "#0",
        "of",
        "1",
        "0.95",
        "in/10",
        "years.jpg",
    ]
    terminal = SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True), stdin=sys.stdin)
    monkeypatch.setattr("arcage.prediction.run.sys", terminal)
    assert arcage("predict", "in").stdout.splitlines() == lines


def test_parts_are_the_whole(arcage: Run, folder: Path) -> None:
    parts = [table(arcage("predict", "in", "--shard", f"{i}/3").stdout) for i in (1, 2, 3)]
    assert sorted(row for part in parts for row in part) == sorted(EXPECTED)
    assert max(map(len, parts)) < len(EXPECTED)


def test_which_faces(arcage: Run, folder: Path) -> None:
    large = face(70, box=(0, 0, 400, 400), score=0.6)
    Path("a.jpg").write_bytes(image(face(20, box=(300, 200, 340, 280)), large))

    def ages(*options: object) -> list[str]:
        return [age for _, _, age in table(arcage("predict", "a.jpg", *options).stdout)]

    assert ages() == ages("--faces", "all") == ["20.0", "70.0"]
    assert ages("--faces", "largest") == ["70.0"]
    assert ages("--faces", "center") == ["20.0"]
    assert ages("--min-score", "0.7") == ["20.0"]
    assert arcage("predict", "a.jpg", "--min-score", "0.99").exit_code == 1


def test_pictures(arcage: Run, folder: Path) -> None:
    for name in ("photos/a.jpg", "photos/b/a.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(name, np.full((300, 400, 3), 99, np.uint8))
    Path("photos/c.jpg").write_bytes(b"")
    done = arcage("predict", "photos", "--annotate", "out")
    assert done.exit_code == 0
    assert "2 of 3 images drawn" in done.stderr
    assert sorted(map(str, Path("out").rglob("*.jpg"))) == ["out/a.jpg", "out/b/a.jpg"]
    assert arcage("predict", "photos", "--annotate", "photos").exit_code == 2


# Exit codes


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("in",), 0),
        (("in", "--strict"), 1),
        (("in/10 years.jpg",), 0),
        (("in/10 years.jpg", "--strict"), 0),
        (("in/b/none.PNG",), 1),
        (("in/b/text.jpg",), 1),
        (("in/broken.jpg",), 1),
        (("in/nowhere.jpg",), 2),
        (("nowhere/", "in"), 2),
        (("in/10 years.jpg/",), 2),
        (("in/*.jpg",), 2),
        (("",), 2),
        (("/",), 2),
        (("//",), 2),
        (("/.",), 2),
        (("in", "/etc/.."), 2),
        (("file:///",), 2),
        (("disk",), 2),
        (("in/b/none.PNG", "in/b/text.jpg"), 0),
        (("in/10 years.jpg", "in/b/text.jpg", "--strict"), 1),
        (("--from-file", "list.txt"), 0),
        (("--from-file", "list.txt", "--strict"), 1),
        (("empty",), 1),
        (("empty", "--shard", "1/2"), 0),
        (("--from-file", "/dev/null"), 1),
        (("empty", "--strict"), 1),
        (("folder of one",), 0),
        ((), 2),
        (("in", "-"), 2),
        (("--from-file", "nowhere.txt"), 2),
        (("in", "--out", "out.txt"), 2),
        (("in", "--out", "out"), 2),
        (("in", "--out", "out.csv", "--format", "jsonl"), 2),
        (("in", "--format", "parquet"), 2),
        (("in", "--faces", "two"), 2),
        (("in", "--min-score", "2"), 2),
        (("in", "--nonsense"), 2),
        (("in", "--annotate", "in/out"), 2),
        (("in", "--shard", "1"), 2),
        (("-", "--shard", "1/2"), 2),
        (("in", "--out", "nowhere/out.csv"), 3),
        (("in", "--device", "cuda"), 3),
        (("in", "--pack", "another"), 3),
        (("in", "--heads", "nowhere"), 2),
        (("in", "--cache", "in/readme.txt"), 3),
    ],
)
def test_exit_codes_of_predict(arcage: Run, folder: Path, arguments: tuple[str, ...], code: int) -> None:
    Path("empty").mkdir()
    Path("folder of one").mkdir()
    Path("folder of one/a.jpg").write_bytes(image())
    Path("list.txt").write_text("in/b/none.PNG")
    Path("disk").symlink_to("/")
    done = arcage("predict", *arguments)
    assert done.exit_code == code, done.stderr
    if code >= 2:
        assert done.stdout == ""
        assert done.stderr
    elif "--out" not in arguments:
        assert done.stdout.startswith("path,face,faces,")


@pytest.mark.parametrize("command", ["predict", "extract"])
def test_a_missing_path_is_named_before_any_work(
    arcage: Run, folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "arcage.predictor", None)
    monkeypatch.setitem(sys.modules, "arcage.embedder.extractor", None)
    to = ("--out", "out.csv") if command == "predict" else ("--cache", "cache")
    done = arcage(command, "in", "typo/", "typo.jpg", *to)
    assert done.exit_code == 2
    assert done.stderr == "arcage: no such file or folder: typo/, typo.jpg; check the spelling\n"
    done = arcage(command, *(f"typo{i}" for i in range(9)), *to)
    assert "typo0, typo1, typo2, typo3, typo4 and 4 more;" in done.stderr
    done = arcage(command, "in/*.heic", *to)
    assert "in/*.heic; no file matches the pattern: name a folder" in done.stderr
    assert not Path("out.csv").exists()
    assert not Path("cache").exists()


def test_unreadable_paths_are_rows(arcage: Run, folder: Path) -> None:
    os.mkfifo("pipe.jpg")
    Path("list.txt").write_text("typo.jpg\ntypo/\nin/10 years.jpg/\nin/10 years.jpg\n")
    done = arcage("predict", "in/broken.jpg", "pipe.jpg", "--from-file", "list.txt")
    assert done.exit_code == 0
    assert [(row["path"], row["error"]) for row in csv.DictReader(io.StringIO(done.stdout))] == [
        ("in/10 years.jpg/", "Not a directory"),
        ("in/10 years.jpg", ""),
        ("in/broken.jpg", "no such file"),
        ("pipe.jpg", "not a regular file but a pipe, socket or device"),
        ("typo/", "no such file"),
        ("typo.jpg", "no such file"),
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("fit", "--cache", "none", "--labels", "utkface", "--out", "new"), "--cache none"),
        (("fit", "--cache", "in", "--labels", "no.csv", "--out", "new"), "--labels no.csv"),
        (("fit", "--cache", "in", "--labels", "utkface", "--from", "none", "--out", "new"), "--from none"),
        (
            (
                *("fit", "--cache", "in", "--labels", "agedb", "--from", "bundled", "--out", "new"),
                *("--reference", "none", "no.csv"),
            ),
            "--reference none, --reference no.csv",
        ),
        (("evaluate", "--cache", "none", "--labels", "utkface", "--report", "new"), "--cache none"),
        (("evaluate", "--cache", "in", "--labels", "utkface", "--heads", "none"), "--heads none"),
        (("compare", "bundled", "none", "--cache", "in", "--labels", "utkface"), "none"),
        (("data", "describe", "--cache", "none", "--labels", "no.csv", "--report", "new"), "--cache none"),
        (("data", "clean", "no.mat", "--out", "new.csv"), "no.mat"),
        (("heads", "export", "none", "--out", "new.onnx"), "none"),
        (("app", "--heads", "none"), "--heads none"),
        (("doctor", "--cache", "none"), "--cache none"),
        (("extract", "in", "no.jpg", "--cache", "new"), "no.jpg"),
    ],
)
def test_every_command_names_a_missing_path(
    arcage: Run, folder: Path, arguments: tuple[str, ...], named: str
) -> None:
    done = arcage(*arguments)
    assert done.exit_code == 2, done.stderr
    assert f"arcage: no such file or folder: {named}" in done.stderr
    assert (done.stdout, list(Path().glob("new*"))) == ("", [])


def test_a_folder_without_images(arcage: Run, tmp_path: Path) -> None:
    done = arcage("predict", tmp_path, "--out", tmp_path / "out.csv")
    assert done.exit_code == 1
    assert done.stderr == f"no images found in {tmp_path}\n"
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1


def test_a_folder_that_cannot_be_listed(arcage: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # for root, no folder is closed
    done = arcage("predict", tmp_path / "closed")
    assert done.exit_code == 1
    assert "cannot list folder: Permission denied" in done.stdout
    assert arcage("predict", tmp_path).exit_code == 0


def test_usage_is_checked_before_models_are_loaded(
    arcage: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "arcage.predictor", None)
    for arguments in [(), ("in", "--out", "a.txt"), ("in", "--annotate", "in"), ("in", "-")]:
        assert arcage("predict", *arguments).exit_code == 2


def test_errors_say_what_to_do(arcage: Run, folder: Path) -> None:
    for arguments, advice in [
        ((), "--from-file"),
        (("in", "--out", "out.txt"), ".csv, .jsonl, .json, .parquet, .xlsx"),
        (("in", "--out", "nowhere/out.csv"), "create the folder first"),
        (("in", "-"), "cannot be combined with paths"),
        (("in", "--out", "a.csv", "--format", "table"), "leave it out to write csv to a.csv"),
    ]:
        done = arcage("predict", *arguments)
        assert advice in done.stderr
        assert done.stderr.startswith("arcage: ")
        assert "Traceback" not in done.stderr


def test_a_library_that_cannot_be_loaded(arcage: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arcage.predictor", None)
    done = arcage("predict", "in")
    assert done.exit_code == 3
    assert "arcage doctor" in done.stderr


def test_a_fallback_is_reported_once(arcage: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeExtractor, "note", "using the CPU: no GPU")
    assert arcage("predict", "in").stderr.count("using the CPU") == 1
    assert arcage("extract", "in", "--cache", "cache").stderr.count("using the CPU") == 1


@pytest.mark.parametrize(
    ("paths", "hint"),
    [(("in",), "throughput"), (("in/10 years.jpg",), "latency"), (("in/b", "in/é"), "throughput")],
)
def test_one_image_is_predicted_with_low_latency(
    arcage: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, paths: tuple[str, ...], hint: str
) -> None:
    hints: list[str] = []
    monkeypatch.setattr(
        "arcage.predictor.Extractor", lambda *a, **k: hints.append(a[2]) or FakeExtractor(*a, **k)
    )
    arcage("predict", *paths)
    assert hints == [hint]


# The cache


def test_predicting_from_a_cache(arcage: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert arcage("extract", "in", "--cache", "cache").exit_code == 0
    computed: list[str] = []
    monkeypatch.setattr(FakeExtractor, "computed", staticmethod(computed.append))
    assert table(arcage("predict", "in", "--cache", "cache").stdout) == EXPECTED
    assert computed == []


def test_extract(arcage: Run, folder: Path) -> None:
    done = arcage("extract", "in", "--cache", "cache")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "6 images" in done.stderr
    again = arcage("extract", "in", "--cache", "cache")
    assert "5 images were in the cache" in again.stderr
    names = Cache("cache", FINGERPRINT).names().names.tolist()
    assert names == ["10 years.jpg", "b/empty.jpg", "b/none.PNG", "b/text.jpg", "é/ü.jpeg"]
    arcage("extract", "in", "--cache", "nameless", "--no-names", "--quiet")
    assert len(Cache("nameless", FINGERPRINT).names()) == 0
    for part in (1, 2):
        assert arcage("extract", "in", "--cache", "parts", "--shard", f"{part}/2").exit_code == 0
    assert len(Cache("parts", FINGERPRINT)) == 5


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("in",), 2),
        (("--cache", "cache"), 2),
        (("in", "--cache", "cache", "--shard", "3/2"), 2),
        (("in/b/text.jpg", "--cache", "cache"), 1),
        (("in/10 years.jpg", "--cache", "cache"), 0),
        (("in", "--cache", "in/readme.txt"), 3),
    ],
)
def test_exit_codes_of_extract(arcage: Run, folder: Path, arguments: tuple[str, ...], code: int) -> None:
    assert arcage("extract", *arguments).exit_code == code


def test_damage_in_the_cache_is_reported(arcage: Run, folder: Path) -> None:
    arcage("extract", "in", "--cache", "cache")
    (shard,) = (Path("cache") / FINGERPRINT).glob("*.npy")
    shard.write_bytes(b"")
    for command in ("extract", "predict"):
        done = arcage(command, "in/10 years.jpg", "--cache", "cache", "--quiet")
        assert done.exit_code == 0
        assert "damaged in the cache" in done.stderr
        assert "Delete these files" in done.stderr


# In separate processes


def wait_for(log: Path, count: int) -> None:
    while not log.exists() or len(log.read_text().split()) < count:
        time.sleep(0.01)


def many(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04d}.jpg").write_bytes(image(face(number % 80), width=number + 1))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ctrl_c_keeps_the_rows_so_far(tmp_path: Path, start: Run, suffix: str) -> None:
    many(tmp_path / "in", 400)
    out = tmp_path / f"out.{suffix}"
    out.write_text("old")
    command = ("predict", tmp_path / "in", "--out", out, "--overwrite")
    process = start(*command, FAKE_DELAY=0.01, FAKE_LOG=tmp_path / "log")
    wait_for(tmp_path / "log", 150)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in words
    if suffix == "csv":
        paths = [path for path, _, _ in table(out.read_text())]
    else:
        paths = pq.read_table(out)["path"].to_pylist()
    assert paths == [str(tmp_path / "in" / f"{n:04d}.jpg") for n in range(len(paths))]
    assert 64 <= len(paths) < 400
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "log", f"out.{suffix}"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, start: Run, suffix: str) -> None:
    many(tmp_path / "in", 300)
    out = tmp_path / f"out.{suffix}"
    out.write_text("old")
    process = start("predict", tmp_path / "in", "--out", out, "--overwrite", FAKE_FILE_BYTES=2000)
    _, words = process.communicate()
    assert process.returncode == 3, words
    assert "cannot write" in words
    assert "Traceback" not in words
    assert "ignored" not in words
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", f"out.{suffix}"]


@pytest.mark.slow
def test_a_closed_pipe_is_not_an_error(tmp_path: Path, start: Run) -> None:
    many(tmp_path / "in", 400)
    process = start("predict", tmp_path / "in", "--quiet", FAKE_DELAY=0.002)
    assert process.stdout.readline().startswith("path,")
    process.stdout.close()
    words = process.stderr.read()
    assert (process.wait(), words) == (0, "")
    process.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_standard_output_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(image(face()))
    command = f"{sys.executable} {ROOT}/tests/fakes.py predict {tmp_path} > /dev/full"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "standard output" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf_8(tmp_path: Path, start: Run) -> None:
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    with open(folder + b"/caf\xe9.jpg", "wb") as file:
        file.write(image(face(33)))
    for options in ([], ["--format", "table"], ["--format", "jsonl"], ["--cache", tmp_path / "cache"]):
        process = start("predict", tmp_path / "in", *options)
        rows, words = process.communicate()
        assert process.returncode == 0, words
        assert "caf\\udce9.jpg" in rows
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        process = start("predict", tmp_path / "in", "--out", tmp_path / name)
        assert (process.communicate()[0], process.returncode) == ("", 0)
    process = start("extract", tmp_path / "in", "--cache", tmp_path / "cache")
    assert (process.communicate()[0], process.returncode) == ("", 0)


def loaded(text: str) -> set[str]:
    """Return the top-level modules that a program has imported at its end."""
    program = f"import sys\ntry:\n{text}\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    return {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "command", [[], ["predict"], ["extract"], ["models"], ["models", "fetch"], ["doctor"]]
)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    modules = loaded(
        f"    from arcage.cli import main\n    sys.argv[1:] = {[*command, '--help']}\n    main()"
    )
    assert not modules & HEAVY
    assert "click" not in modules or int(typer.__version__.split(".")[1]) < 26


def test_predicting_imports_no_library_for_fitting(folder: Path) -> None:
    text = "    import fakes; fakes.install()\n    from arcage.cli import main; sys.argv[1:] = {}; main()"
    unwanted = {"sklearn", "scipy", "lightgbm", "rich"}
    assert not loaded(text.format(["predict", "in"])) & {*unwanted, "pyarrow", "pandas"}
    # pyarrow imports pandas if it is installed.
    assert not loaded(text.format(["predict", "in", "--cache", "cache"])) & unwanted


# Help, models, doctor


def commands(app: typer.Typer = arcage.cli.app, prefix: str = "") -> list[str]:
    names = [
        prefix + (command.name or command.callback.__name__.replace("_", "-"))  # type: ignore[union-attr]
        for command in app.registered_commands
    ]
    for group in app.registered_groups:
        names += commands(group.typer_instance, f"{group.name} ")  # type: ignore[arg-type]
    return names


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_and_is_in_the_docs(arcage: Run, command: str) -> None:
    done = arcage(*command.split(), "--help")
    assert done.exit_code == 0
    described = done.stdout.split("\n\n")[1].strip()
    assert len(described) > 20
    for option in re.findall(r"^  (--[a-z0-9-]+)", done.stdout, re.MULTILINE):
        line = re.search(rf"^  {option}\b.*(\n {{10,}}\S.*)?", done.stdout, re.MULTILINE)
        assert line
        assert len(line[0].split()) > 2, f"{command} {option} says nothing"
    docs = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if docs[0].exists():
        assert any(f"arcage {command}" in page.read_text("utf-8") for page in docs)


def test_version_and_no_command(arcage: Run) -> None:
    assert arcage("--version").stdout == f"arcage {sys.modules['arcage'].__version__}\n"
    assert arcage().exit_code == 2
    assert arcage("nonsense").exit_code == 2


def test_models_list(arcage: Run, bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    pack = tmp_path / "models" / "buffalo_l"
    pack.mkdir(parents=True)
    for name in ("det_10g.onnx", "w600k_r50.onnx"):
        (pack / name).write_bytes(b"not opened")
    lines = arcage("models", "list").stdout.splitlines()
    assert sum("compact" in line for line in lines) >= 2
    assert [line.split()[:2] for line in lines if "RESEARCH ONLY" in line] == [
        ["buffalo_l", "det_10g"],
        ["buffalo_l", "w600k_r50"],
    ]
    models = json.loads(arcage("models", "list", "--json").stdout)
    assert {model["pack"] for model in models} == {"compact", "buffalo_l"}
    assert all(Path(model["path"]).is_file() for model in models)
    assert len(models) == len(list_models())


def test_doctor_without_problems(bundled: None) -> None:
    from arcage.cli import app

    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.stdout
    report = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert report["healthy"]
    assert [finding["check"] for finding in report["findings"]] == [f.check for f in examine()]


def test_doctor_finds_problems(arcage: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "arcage.embedder.engines.onnxruntime.installed_distributions",
        lambda: ("onnxruntime", "onnxruntime-gpu"),
    )
    monkeypatch.setattr("arcage.embedder.packs.record.BUNDLED_FOLDER", tmp_path)
    monkeypatch.setattr("arcage.predictor.load_heads", lambda _: 1 / 0)
    done = arcage("doctor")
    assert done.exit_code == 3
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in done.stdout
    report = json.loads(arcage("doctor", "--json").stdout)
    levels = {finding["check"]: finding["level"] for finding in report["findings"]}
    assert not report["healthy"]
    assert levels["onnxruntime"] == levels["models"] == levels["self-test"] == "problem"
    assert levels["version"] == "ok"
    assert "pip install" in {f["check"]: f["text"] for f in report["findings"]}["models"]


def test_doctor_reports_a_failed_import(arcage: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    done = arcage("doctor")
    assert done.exit_code == 3
    assert re.search(r"^problem +opencv: .*cv2", done.stdout, re.MULTILINE)


def test_the_fake_has_the_signatures_of_the_real_classes() -> None:
    from arcage.embedder.extractor import Extractor
    from arcage.heads.model import Heads

    def parameters(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    for fake, real in [(fakes.FakeExtractor, Extractor), (fakes.FakeHeads, Heads)]:
        for name, member in inspect.getmembers(fake, inspect.isfunction):
            if hasattr(real, name) and not name.startswith("_"):
                assert parameters(member) == parameters(getattr(real, name))


@pytest.mark.parametrize("command", ["", "predict", "extract", "fit", "models fetch", "doctor", "app"])
def test_options_are_spelled_in_lower_case(arcage: Run, command: str) -> None:
    text = arcage(*command.split(), "--help").stdout
    names = re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", text)
    assert "--help" in names
    assert [name for name in names if name != name.lower()] == []


def test_an_option_whose_metavar_is_its_name(arcage: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(image(face()))
    assert arcage("predict", tmp_path / "a.jpg", "--device", "cpu").exit_code == 0
