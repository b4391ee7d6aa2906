"""The report of `arcage evaluate`: its files, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import fakes
import numpy as np
import pytest
from caches import FINGERPRINT, image, write
from pages import Page, picture
from reports import HEADS, Made, answer, report_on

from arcage.cache import Cache
from arcage.evaluation.metrics import evaluate
from arcage.heads.model import Predictions
from arcage.images.decoder import decode
from arcage.report.evaluation_plots import CAPTIONS
from arcage.report.evaluation_report import HTML, JSON, Evaluation, write_report
from arcage.report.prepare import prepare


def test_the_files(made: Made) -> None:
    faces, full, _, folder = made
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == {HTML, JSON, *(f"{name}.png" for name in CAPTIONS)}
    assert json.loads((out / JSON).read_text("utf-8")) == full
    for name in CAPTIONS:
        pixels = decode((out / f"{name}.png").read_bytes())
        assert pixels.shape == (585, 810, 3)
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50, "something is drawn"
    # The metrics are unchanged, and there are additional keys.
    plain = evaluate(answer(faces), replace(faces.labels(), source=None))
    assert {part: full[part] for part in plain} == plain
    assert full.keys() - plain.keys() == {
        *("images", "measured", "intervals", "worst_sets", "curves", "worst_faces", "age_assurance"),
    }


def test_equal_results_give_equal_files(made: Made, tmp_path: Path) -> None:
    faces, _, _, folder = made
    options = {"holdout": 0.25, "warning": "too <good> to be true", "images": [folder / "photos"]}
    names = Cache(folder / "cache", FINGERPRINT).names()
    report_on(tmp_path, faces, answer(faces), names=names, **options)
    for file in (folder / "out").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


AGE_PLOTS = {"scatter", "error_by_age", "coverage", "kept_by_width", "kept_by_familiarity"}


def test_without_an_attribute(made: Made, tmp_path: Path) -> None:
    faces, answers = made[0], answer(made[0])
    nothing = np.full(len(faces), np.nan, np.float32)
    no_age = replace(answers, age=nothing, age_low=nothing, age_high=nothing)
    full, page = report_on(tmp_path / "gender", faces, no_age)
    assert {path.stem for path in (tmp_path / "gender").glob("*.png")} == CAPTIONS.keys() - AGE_PLOTS
    assert full["worst_faces"]["age"] == []
    assert "No face has both a labelled and a predicted age." in page.texts
    assert "Mean absolute age error" not in page.texts
    full, page = report_on(tmp_path / "age", faces, replace(answers, p_female=nothing))
    assert {path.stem for path in (tmp_path / "age").glob("*.png")} == AGE_PLOTS
    assert full["worst_faces"]["gender"] == []
    assert "Gender accuracy" not in page.texts
    # Only gender labels: no age band, no group.
    gender_only = replace(faces, age=nothing, group=np.full(len(faces), ""))
    full, page = report_on(tmp_path / "labels", gender_only, answers)
    assert full["groups"] == full["age_bands"] == {}
    assert "By group" not in page.texts
    assert "By gender" in page.texts
    full, page = report_on(tmp_path / "none", gender_only, replace(answers, p_female=nothing))
    assert not list((tmp_path / "none").glob("*.png"))
    assert "Plots" not in page.texts


def test_age_checks(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = made[0]
    assert made[1]["age_assurance"] is None
    assert "Age checks" not in made[2].texts
    monkeypatch.setattr("arcage.evaluation.assurance.FEW", 1)
    age = np.where(np.arange(len(faces)) < 30, 15, 40).astype(np.float32)
    full, page = report_on(tmp_path, replace(faces, age=age), answer(faces))
    assert full["age_assurance"]["faces"] == {"13-17": 30, "under 18": 30, "18 and older": 30}
    assert "Age checks" in page.texts
    # Heads of an older version have no distribution.
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {*CAPTIONS, "accepted_by_age", "accepted_or_challenged"}


def test_one_face(made: Made, tmp_path: Path) -> None:
    one = made[0].select(np.arange(len(made[0])) == 0)
    answers = Predictions(*(getattr(answer(made[0]), f.name)[:1] for f in fields(Predictions)))
    full, page = report_on(tmp_path, one, answers)
    assert full["overall"]["n_age"] == full["overall"]["n_gender"] == 1
    assert set(full["intervals"]["overall"].values()) == {None}
    assert page.cards() == 2
    assert "There are too few faces." in page.texts


def test_heads_with_an_empty_manifest(made: Made, tmp_path: Path) -> None:
    faces, answers = made[0], answer(made[0])
    metrics = evaluate(answers, replace(faces.labels(), source=None))
    report = {"images": {}, **metrics, "age_assurance": None}
    prepare(tmp_path)
    evaluation = Evaluation(report, answers, faces, replace(HEADS, manifest={}), labels="x.csv")
    write_report(tmp_path, evaluation)
    assert FINGERPRINT in Page((tmp_path / HTML).read_text("utf-8")).texts


def test_bootstrap_samples_are_of_persons(made: Made, tmp_path: Path) -> None:
    faces = made[0]
    named = replace(faces, person=np.array([f"p{number % 20}" for number in range(len(faces))]))
    full, page = report_on(tmp_path, named, answer(faces))
    assert full["intervals"]["drawn"] == "persons"
    assert full["intervals"]["overall"] != made[1]["intervals"]["overall"]
    assert "each with all of their faces" in page.words


def test_matplotlib_is_loaded_only_for_a_report() -> None:
    code = (
        "import sys, arcage.cli, arcage.report.evaluation_report, arcage.report.labels_report\n"
        "assert not {'matplotlib', 'sklearn', 'pandas'} & set(sys.modules), 'loaded too early'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class FakeHeads(fakes.FakeHeads):
    manifest: ClassVar[dict[str, Any]] = {"training": {"labels": "labels.csv"}}
    folder = age = gender = None


@pytest.fixture
def run(arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `arcage evaluate` on twenty labelled pictures."""
    monkeypatch.setattr("arcage.training.run.load_heads", lambda folder: FakeHeads())
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    lines, images = ["path,age,gender"], []
    for number in range(20):
        Path("photos", f"{number}.jpg").write_bytes(picture(number))
        lines.append(f"{number}.jpg,{20 + number},{'mf'[number % 2]}")
        images.append((f"{number}.jpg", image(picture(number), [(20 + 2 * number, number % 2)])))
    write(Path("cache"), images, fingerprint=fakes.FINGERPRINT)
    Path("labels.csv").write_text("\n".join(lines))
    return lambda *options: arcage("evaluate", "--cache", "cache", "--labels", "labels.csv", *options)


def test_the_command(run: Callable[..., Any]) -> None:
    done = run("--json", "--out", "plain.json")
    assert done.exit_code == 0, done.stderr
    before = json.loads(done.stdout)
    again = run("--json", "--out", "again.json", "--report", "r", "--images", "photos")
    assert again.exit_code == 0, again.stderr
    assert again.stdout == done.stdout
    assert Path("plain.json").read_bytes() == Path("again.json").read_bytes()
    assert "report: r/report.html" in again.stderr.replace("\\", "/")
    assert "missing" not in again.stderr.split("report:")[1]
    full = json.loads(Path("r", JSON).read_text("utf-8"))
    assert {part: full[part] for part in before} == before
    assert full["worst_faces"]["age"][0]["names"] == ["19.jpg"]
    page = Page(Path("r", HTML).read_text("utf-8"))
    assert "The heads were fitted on labels of this name" in page.words
    Path("photos", "19.jpg").unlink()
    done = run("--report", "r", "--images", "photos")
    assert "thumbnails missing: 1;" in done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == ["all", "20"]
    assert run("--report", "r", "--images", "photos", "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--images", "photos"), 2, "--report DIR"),
        (("--report", "r", "--images", "nowhere"), 2, "name the one that was extracted"),
        (("--report", "labels.csv"), 3, "choose another place"),
    ],
)
def test_errors_are_reported(
    run: Callable[..., Any], options: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*options)
    assert done.exit_code == code
    assert words in done.stderr
    assert done.stdout == ""
    assert not Path("r").exists()


def test_matplotlib_is_missing(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    done = run("--report", "r")
    assert done.exit_code == 3
    assert "pip install 'arcage[report]'" in done.stderr
    assert run().exit_code == 0, "only the report needs it"
