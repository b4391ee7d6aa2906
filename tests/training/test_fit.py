"""From a cache and labels to heads on disk, by the library and by the commands fit, evaluate and predict."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from caches import FINGERPRINT, image, write
from faces import DIMENSION, FAST
from projects import (
    AGE,
    FIT,
    GENDER,
    LINEAR,
    PACK,
    SHARE,
    Run,
    X,
    fit,
    labelled,
    made_up,
)

from arcage import __version__
from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces
from arcage.data.sampling import Sampling
from arcage.errors import HeadsError, UsageError
from arcage.heads.fit import fit_heads
from arcage.heads.settings import FOLDS, Settings
from arcage.heads.store import ARRAYS, CARD, IMAGES, MANIFEST, fitted_images, load_heads
from arcage.report.boosting_curves import EVENTS, JSON, PNG
from arcage.training.evaluate import evaluate_labelled
from arcage.training.fit import Fitted
from arcage.training.overlap import fitted_on, fitted_words
from arcage.types import Labels


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> LabelledFaces:
    return labelled(made_up(tmp_path_factory.mktemp("made up") / "cache"))


@pytest.fixture(scope="module")
def boosted(everyone: LabelledFaces, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Path]:
    out = tmp_path_factory.mktemp("heads") / "new" / "heads"
    return fit(everyone, out, settings=FAST, holdout=SHARE), out


def test_fitting_writes_heads_that_load(everyone: LabelledFaces, boosted: tuple[Fitted, Path]) -> None:
    fitted, out = boosted
    beside = {JSON, PNG, EVENTS}  # where their libraries are installed
    assert {path.name for path in out.iterdir()} - beside == {ARRAYS, CARD, IMAGES, MANIFEST}
    assert (out / JSON).exists()
    loaded = load_heads(out)
    loaded.check(FINGERPRINT)
    x = everyone.descriptors()
    for field in ("age", "age_low", "age_high", "p_female"):
        now, then = (getattr(heads.predict(x), field) for heads in (loaded, fitted.heads))
        np.testing.assert_allclose(now, then, rtol=1e-5, atol=1e-4)
    guess = np.abs(AGE - np.median(AGE)).mean()
    assert fitted.held_out is not None
    again = evaluate_labelled(loaded, everyone.select(everyone.held_out(SHARE)))
    assert again["overall"] == pytest.approx(fitted.held_out["overall"], rel=1e-3, abs=1e-4)
    assert fitted.held_out["overall"]["mae"] < 0.9 * guess
    assert fitted.out_of_fold["overall"]["mae"] < 0.9 * guess


def test_the_manifest_tells_all(everyone: LabelledFaces, boosted: tuple[Fitted, Path]) -> None:
    fitted, out = boosted
    manifest = json.loads((out / MANIFEST).read_text("utf-8"))
    aside = int(everyone.held_out(SHARE).sum())
    assert 60 < aside < 140
    assert manifest["fingerprint"] == FINGERPRINT
    assert manifest["dimension"] == DIMENSION
    assert (manifest["pack"], manifest["models"]) == ("compact", ["made up", "embedder"])
    assert manifest["training"] == {
        "labels": "utkface",
        "faces": 400 - aside,
        "variants": 0,
        "ages": [1, 89],
        "held_out": aside,
        "held_out_share": SHARE,
        "split": False,
        "sources": {},
        "images": {
            "labelled": 403,
            "used": 400,
            "no_face": 1,
            "unreadable": 1,
            "contradictory": 1,
            "copies": 2,
            "unlabelled": 1,
            "missing": 0,
            "ambiguous": 0,
        },
    }
    assert manifest["settings"]["kind"] == "boosted"
    assert manifest["settings"]["seed"] == 0
    assert manifest["settings"]["age"]["rounds"] == 40
    assert manifest["versions"]["arcage"] == __version__
    assert {"python", "numpy", "lightgbm", "scikit-learn"} <= set(manifest["versions"])
    assert manifest["held_out"] == fitted.held_out
    assert manifest["out_of_fold"] == fitted.out_of_fold
    assert manifest["held_out"]["overall"]["n_age"] == aside
    assert manifest["out_of_fold"]["overall"]["n_age"] == 400 - aside
    assert list(manifest["held_out"]["groups"]) == ["Black", "White"]


def test_the_model_card(boosted: tuple[Fitted, Path]) -> None:
    fitted, out = boosted
    card = (out / CARD).read_text("utf-8")
    assert fitted.held_out is not None
    report = fitted.held_out
    n = report["overall"]["n_age"]
    for words in (
        "boosted; seed 0; model pack `compact` (made up, embedder)",
        f"Labels: utkface. Fitted on {400 - n} faces, ages 1 to 89. {n} faces (25 %,",
        "Of 403 distinct labelled images, 3 were left out: 1 without a detected face, 1 unreadable, 1 with",
        "2 further exact copies",
        "UTKFace",
        "MS-Celeb-1M",
        "Held-out faces",
        f"({FOLDS} folds)",
        "## Intended use and limitations",
    ):
        assert words in card
    assert "research only.\n" not in card.replace("for non-commercial research only. Its ages", "")
    groups = report["groups"]
    worst = max(groups, key=lambda group: groups[group]["mae"])
    low, high = fitted.heads.manifest["intervals"]["groups"][worst]["mae"]
    assert low < groups[worst]["mae"] < high
    mae = f"{groups[worst]['mae']:.2f} ({low:.2f} to {high:.2f})"
    assert f"Largest age error by group: {worst}: MAE {mae}." in card
    assert f"- All faces: MAE {report['overall']['mae']:.2f} (" in card
    least = min(report["genders"], key=lambda gender: report["genders"][gender]["gender_accuracy"])
    assert f"Lowest gender accuracy by gender: {least}: gender " in card
    assert "nan" not in card
    assert "None" not in card


def test_a_card_for_other_labels(everyone: LabelledFaces, tmp_path: Path) -> None:
    gender_only = replace(everyone, age=np.full(400, np.nan, np.float32), group=np.full(400, ""))
    pack = replace(PACK, name="buffalo_l", research_only=True)
    fitted = fit(gender_only, tmp_path, labels="mine.csv", pack=pack)
    card = (tmp_path / CARD).read_text("utf-8")
    assert fitted.held_out is None
    assert "Labels: mine.csv. Fitted on 400 faces. Of" in card
    assert "weights are for non-commercial research only" in card
    for words in ("UTKFace", "MS-Celeb", "Held-out", "held out", "age error", "nan", "None"):
        assert words not in card
    manifest = json.loads((tmp_path / MANIFEST).read_text("utf-8"))
    assert manifest["training"]["ages"] is None
    assert manifest["held_out"] is None
    assert manifest["out_of_fold"]["overall"]["n_age"] == 0


@pytest.mark.parametrize("settings", [LINEAR, FAST], ids=["linear", "boosted"])
def test_what_cannot_be_fitted_is_left_out_and_said(
    everyone: LabelledFaces, tmp_path: Path, settings: Settings
) -> None:
    men = replace(everyone, gender=np.zeros(400, np.float32))
    balanced = Sampling(balance="age")
    fitted = fit(men, tmp_path / "men", settings=settings, holdout=SHARE, sampling=balanced)
    assert fitted.left_out == {
        "gender": "all labelled faces have the same gender, male: add faces of the other one"
    }
    assert fitted.heads.gender is None
    assert fitted.heads.age is not None
    assert fitted.held_out is not None
    assert (fitted.held_out["overall"]["n_age"] > 50, fitted.held_out["overall"]["n_gender"]) == (True, 0)
    same = replace(everyone, age=np.full(400, 30, np.float32))
    fitted = fit(same, tmp_path / "same", settings=settings, sampling=balanced)
    assert fitted.left_out == {"age": "all labelled faces have the same age, 30: add other ages"}
    assert (fitted.heads.age, fitted.heads.gender is None) == (None, False)
    nearly = replace(everyone, age=np.where(np.arange(400) < 370, 30, 40).astype(np.float32))
    assert fit(nearly, tmp_path / "nearly", settings=LINEAR).left_out == {
        "age": "370 of 400 labelled faces have the same age, 30: add other ages"
    }
    few = np.where(np.arange(400) < 49, everyone.age, np.nan).astype(np.float32)
    fitted = fit(replace(everyone, age=few), tmp_path / "few", settings=settings)
    assert fitted.left_out == {"age": "only 49 faces have a label for age; at least 50 are needed"}
    nothing = replace(same, gender=np.ones(400, np.float32))
    with pytest.raises(
        UsageError, match=r"same age, 30: .*; all labelled faces have the same gender, female"
    ):
        fit(nothing, tmp_path / "nothing", settings=settings)
    person = np.where(np.arange(400) < 200, "Ada", "Bo")
    with pytest.raises(UsageError, match=r"fewer than 10 persons or groups \(2\): add more of them"):
        fit(replace(everyone, person=person), tmp_path / "two", settings=settings)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("settings", [LINEAR, FAST], ids=["linear", "boosted"])
def test_weights_far_apart(everyone: LabelledFaces, tmp_path: Path, settings: Settings) -> None:
    weight = np.full(400, 1e-12, np.float32)
    weight[0] = 1e12
    with pytest.raises(UsageError, match=r"weights go from 1e-12 to 1e\+12, a ratio of more than 1,000,000:"):
        fit(replace(everyone, weight=weight), tmp_path, settings=settings)
    # Their scale does not matter.
    for scale in (1e-30, 1e30):
        weight = np.where(np.arange(400) % 2, scale, 0).astype(np.float32)
        assert fit(replace(everyone, weight=weight), tmp_path, settings=settings).heads.age is not None


@pytest.mark.parametrize("settings", [LINEAR, FAST], ids=["linear", "boosted"])
def test_held_out_faces_are_never_fitted_on(
    everyone: LabelledFaces, boosted: tuple[Fitted, Path], tmp_path: Path, settings: Settings
) -> None:
    """Absurd labels and descriptors for the held-out faces change the report, and not a byte of the heads."""
    hashes = everyone.sha256()
    aside = dict(zip(hashes, everyone.held_out(SHARE).tolist(), strict=True))
    mask = np.array([aside[image(f"image {n}").sha256] for n in range(400)])
    x, age, gender = X.copy(), AGE.copy(), GENDER.copy()
    x[mask] = 60_000
    age[mask] = 120 - age[mask]
    gender[mask] = 1 - gender[mask]
    absurd = labelled(made_up(tmp_path / "absurd", x, age, gender))
    assert absurd.sha256() == hashes
    other = fit(absurd, tmp_path / "other", settings=settings, holdout=SHARE)
    if settings is FAST:
        honest, folder = boosted
    else:
        folder = tmp_path / "honest"
        honest = fit(everyone, folder, settings=settings, holdout=SHARE)
    assert (folder / ARRAYS).read_bytes() == (tmp_path / "other" / ARRAYS).read_bytes()
    assert honest.out_of_fold == other.out_of_fold
    assert honest.held_out != other.held_out
    # The comparison can fail: fitted on all, the heads differ.
    if settings is LINEAR:
        fit(everyone, tmp_path / "all", settings=settings)
        assert (folder / ARRAYS).read_bytes() != (tmp_path / "all" / ARRAYS).read_bytes()


@pytest.mark.parametrize("unknown", [0, 30])
def test_persons_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown: int) -> None:
    """In the folds as well as in the held-out part, even where some faces' persons are not known."""
    cache = write(
        tmp_path / "cache", [(f"{n}.jpg", image(str(n), [X[n]])) for n in range(400)], dimension=DIMENSION
    )
    lines = [f"{n}.jpg,{AGE[n]:.0f},{'' if n < unknown else n % 50}" for n in range(400)]
    (tmp_path / "labels.csv").write_text("path,age,person\n" + "\n".join(lines))
    faces_ = labelled_faces(cache, str(tmp_path / "labels.csv"))
    seen: list[np.ndarray] = []

    def listening(x: np.ndarray, labels: Labels, **options: Any) -> Any:
        assert labels.person is not None
        seen.append(labels.person)
        return fit_heads(x, labels, **options)

    monkeypatch.setattr("arcage.training.fit.fit_heads", listening)
    fit(faces_, tmp_path / "heads", holdout=SHARE)
    (groups,) = seen
    train = faces_.select(~faces_.held_out(SHARE))
    assert len(groups) == len(train)
    known = train.person != ""
    assert len(np.unique(groups)) == len(np.unique(train.person[known])) + (~known).sum()
    held_out = faces_.person[faces_.held_out(SHARE)]
    assert not set(held_out) & set(train.person) - {""}


def test_a_place_that_cannot_be_written_is_known_before_fitting(
    everyone: LabelledFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcage.training.fit.fit_heads", lambda *a, **k: pytest.fail("fitted for nothing"))
    (tmp_path / "file").write_text("")
    for out in ("file", "file/below", "file/far/below"):
        with pytest.raises(HeadsError, match=r"file is not a folder; choose another `out`"):
            fit(everyone, tmp_path / out)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(HeadsError, match="read-only; choose another `out`"):
        fit(everyone, tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_too_few_faces_leave_the_old_heads(everyone: LabelledFaces, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("old")
    few = everyone.select(np.arange(400) % 7 == 0)
    with pytest.raises(UsageError, match="faces have a label for age; at least"):
        fit(few, tmp_path, holdout=0.5)
    with pytest.raises(UsageError, match=r"all labelled faces \(40\) are held out; take a smaller `holdout`"):
        fit(everyone.select(np.arange(400) < 40), tmp_path, holdout=0.5)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]
    assert (tmp_path / MANIFEST).read_text() == "old"


def test_whether_heads_were_fitted_on_what_judges_them(boosted: tuple[Fitted, Path]) -> None:
    heads = boosted[0].heads
    assert fitted_on(heads, "utkface", 0)
    assert fitted_on(heads, "utkface", SHARE + 0.01)
    assert not fitted_on(heads, "utkface", SHARE)
    assert not fitted_on(heads, "utkface", 0.01)
    assert not fitted_on(heads, "other.csv", 0)
    for training in (None, [], {}, {"labels": "utkface"}, {"labels": "utkface", "held_out_share": None}):
        strange = replace(heads, manifest={"training": training})
        assert fitted_on(strange, "utkface", SHARE) == (training not in (None, [], {}))


def test_faces_that_heads_know_by_the_images(
    everyone: LabelledFaces, boosted: tuple[Fitted, Path], tmp_path: Path
) -> None:
    """Regardless of the name of the labels, also for heads of older versions, by their centers."""
    aside = everyone.held_out(SHARE)
    fitted = int((~aside).sum())
    new = load_heads(boosted[1])
    images = fitted_images(new)
    assert images is not None
    assert images.shape == (fitted, 5)
    # Absurd descriptors: only the content matters.
    other = labelled(made_up(tmp_path / "cache", X + 5))
    for labels in ("utkface", "other.csv"):
        assert fitted_words(new, everyone, labels, 0) == f"were fitted on {fitted} of these 400 faces"
        assert fitted_words(new, other, labels, 0) == f"were fitted on {fitted} of these 400 faces"
        assert fitted_words(new, everyone.select(aside), labels, 0) == ""
    old = replace(new, manifest={k: v for k, v in new.manifest.items() if k != "images"})
    assert fitted_images(old) is None
    found = re.fullmatch(
        r"were fitted on about ([0-9]+) of these 400 faces", fitted_words(old, everyone, "other.csv", 0)
    )
    assert found
    assert int(found[1]) == pytest.approx(fitted, rel=0.1)
    assert fitted_words(old, other, "other.csv", 0) == ""
    assert fitted_words(old, other, "utkface", 0) == "", "centers are expected, and none is found"
    linear = fit(everyone, tmp_path / "linear").heads
    named = "were fitted on labels of this name, which may be these images"
    assert fitted_words(linear, everyone, "utkface", 0) == named
    assert fitted_words(linear, everyone, "other.csv", 0) == ""
    loaded = load_heads(tmp_path / "linear")
    assert fitted_words(loaded, everyone, "other.csv", 0) == "were fitted on 400 of these 400 faces"


def test_training_faces_in_files_that_were_saved_anew(
    everyone: LabelledFaces, boosted: tuple[Fitted, Path], tmp_path: Path
) -> None:
    """Their content is another one, their descriptors are nearly the same."""
    heads = load_heads(boosted[1])
    anew = labelled(made_up(tmp_path / "anew", X * 1.001, content="anew"))
    fitted = int((~everyone.held_out(SHARE)).sum())
    found = re.fullmatch(
        r"were fitted on about ([0-9]+) of these 400 faces, some as re-encoded copies",
        fitted_words(heads, anew, "other.csv", 0),
    )
    assert found
    assert int(found[1]) == pytest.approx(fitted, rel=0.1)
    others = labelled(made_up(tmp_path / "others", X + 5, content="other"))
    assert fitted_words(heads, others, "other.csv", 0) == ""
    # An honest split has a few such copies on both sides.
    aside = everyone.held_out(SHARE)
    x = np.where((np.arange(len(X)) < 20)[:, None], X, X + 5)
    few = labelled(made_up(tmp_path / "few", x, content="few"))
    assert 0 < aside.sum() < len(aside)
    assert fitted_words(heads, few, "other.csv", 0) == ""


def test_a_damaged_list_of_images(everyone: LabelledFaces, tmp_path: Path) -> None:
    fit(everyone, tmp_path)
    heads = load_heads(tmp_path)
    for data in (b"", b"x" * 99, (tmp_path / IMAGES).read_bytes()[:-1]):
        (tmp_path / IMAGES).write_bytes(data)
        with pytest.raises(HeadsError, match=r"images\.npy is damaged .*; fit the heads again"):
            fitted_images(heads)
    (tmp_path / IMAGES).unlink()
    assert fitted_images(heads) is None
    # Predictions do not need it.
    assert np.isfinite(load_heads(tmp_path).predict(everyone.descriptors()).age).all()


@pytest.mark.usefixtures("bundled")
def test_the_bundled_heads_know_their_images() -> None:
    heads = load_heads()
    images = fitted_images(heads)
    assert images is not None
    assert len(images) == heads.manifest["training"]["faces"] == 18_587


# The commands


EVALUATE = ("evaluate", "--cache", "cache", "--labels", "utkface", "--heads", "heads")


def test_from_photos_to_answers(ready: Path, run: Run) -> None:
    manifest = json.loads(Path("heads", MANIFEST).read_text("utf-8"))
    table = Path("fit.txt").read_text()
    assert table.splitlines()[1].split()[1] == str(manifest["held_out"]["overall"]["n_age"])
    words = Path("fit.err").read_text()
    assert "images: labelled 160, used 160" in words
    assert "errors on held-out faces; the heads and their model card are in heads" in words

    done = run(*EVALUATE, "--holdout", SHARE)
    assert (done.exit_code, done.stdout) == (0, table)
    assert "too optimistic" not in done.stderr
    # The table is the only output, unless another option writes the figures.
    assert run(*EVALUATE, "--holdout", SHARE, "--quiet").stdout == table
    assert run(*EVALUATE, "--holdout", SHARE, "--quiet", "--out", "figures.json").stdout == ""
    done = run(*EVALUATE, "--holdout", SHARE, "--json", "--out", "figures.json", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert Path("figures.json").read_text() == done.stdout
    assert report.pop("images")["used"] == 160
    assert report.keys() == manifest["held_out"].keys()
    for figure, value in report["overall"].items():
        assert value == pytest.approx(manifest["held_out"]["overall"][figure], abs=1e-4)
    assert report["overall"]["mae"] < 3
    assert report["overall"]["gender_accuracy"] > 0.9

    done = run("predict", "photos", "--heads", "heads", "--quiet")
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 160
    for row in rows:
        age = float(Path(row["path"]).name.split("_")[0])
        assert abs(float(row["age"]) - age) < 10
        assert float(row["age_low"]) <= float(row["age"]) <= float(row["age_high"])


@pytest.mark.skipif(os.name == "nt", reason="POSIX: pseudo-terminals")
@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_figures_go_to_a_file_while_words_go_to_a_terminal(
    ready: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
) -> None:
    from terminals import Terminal

    from arcage.cli import main

    arguments = [*FIT, "--out", str(tmp_path / "h")] if command == "fit" else EVALUATE[1:]
    monkeypatch.setattr(sys, "argv", ["arcage", command, *arguments])
    terminal = Terminal()
    with open(os.dup(terminal.theirs), "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(SystemExit) as left:
            main()
    words = terminal.text()
    assert left.value.code == 0
    assert "MAE" in capfd.readouterr().out
    assert "images: " in words
    assert "MAE" not in words


def test_figures_on_the_training_faces_are_called_so(ready: Path, run: Run) -> None:
    for options in ((), ("--holdout", 0.9)):
        done = run(*EVALUATE, *options)
        assert done.exit_code == 0
        assert "too optimistic" in done.stderr
        assert "too optimistic" not in done.stdout
    assert run(*EVALUATE, "--quiet").stderr == ""
    rows = [f"{path.name},{path.name.split('_')[0]}" for path in Path("photos").iterdir()]
    Path("mine.csv").write_text("path,age\n" + "\n".join(rows))
    evaluate = ("evaluate", "--cache", "cache", "--labels", "mine.csv", "--heads", "heads")
    done = run(*evaluate)
    assert done.exit_code == 0
    # Recognised by the images, regardless of the name of the labels.
    training = json.loads(Path("heads", MANIFEST).read_text("utf-8"))["training"]
    fitted, held_out = training["faces"], training["held_out"]
    assert fitted + held_out == 160
    assert (
        f"the heads were fitted on {fitted} of these 160 faces: the metrics are too optimistic" in done.stderr
    )
    assert done.stdout.splitlines()[1].split()[-3:] == ["0", "-", "-"]


def test_fitting_on_a_table(ready: Path, run: Run, tmp_path: Path) -> None:
    rows = [f"{path.name},{'mf'[int(path.name.split('_')[1])]}" for path in Path("photos").iterdir()]
    (tmp_path / "my.csv").write_text("path,gender\n" + "\n".join(rows))
    labels = ("--cache", "cache", "--labels", tmp_path / "my.csv", "--kind", "linear")
    done = run("fit", *labels, "--out", tmp_path / "h", "--seed", 7, "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "h" / MANIFEST).read_text("utf-8"))
    assert manifest["training"]["labels"] == "my.csv", "where it lay is nobody's business"
    assert manifest["settings"]["seed"] == 7
    done = run("predict", "photos", "--heads", tmp_path / "h", "--quiet")
    rows_ = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["age"] for row in rows_} == {""}
    assert {row["gender"] for row in rows_} == {"male", "female"}


def test_one_gender_only(ready: Path, run: Run, tmp_path: Path) -> None:
    rows = [f"{path.name},{path.name.split('_')[0]},male" for path in Path("photos").iterdir()]
    (tmp_path / "men.csv").write_text("path,age,gender\n" + "\n".join(rows))
    out = ("--out", tmp_path / "heads")
    fit = ("fit", "--cache", "cache", "--labels", tmp_path / "men.csv", "--kind", "linear", *out)
    said = (
        "gender is not fitted, only age (as with --only age): all labelled faces have the same gender, "
        "male: add faces of the other one"
    )
    for options in ((), ("--quiet",)):
        done = run(*fit, *options)
        assert done.exit_code == 0
        assert said in done.stderr.splitlines()
        if options:
            assert done.stdout == ""
        else:
            assert done.stdout.splitlines()[1].split()[-3:] == ["0", "-", "-"]
    assert run(*fit, "--only", "age", "--quiet").stderr == ""
    done = run(*fit, "--only", "gender")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        2,
        "arcage: all labelled faces have the same gender, male: add faces of the other one",
    )


def test_several_sets_in_one_fit(ready: Path, run: Run, tmp_path: Path) -> None:
    """With two caches that share some photos, and a split in one of the tables."""
    rng = np.random.default_rng(1)
    (tmp_path / "more").mkdir()
    lines = ["Bild,Alter,Geschlecht,split"]
    for n in range(120):
        age, gender = int(rng.integers(1, 80)), n % 2
        face = fakes.face(age + rng.normal() * 2, gender + rng.normal() * 0.2)
        (tmp_path / "more" / f"{n}.jpg").write_bytes(fakes.image(face, width=2000 + n))
        lines.append(f"{n}.jpg,{age},{'mf'[gender]},{'test' if n % 4 == 0 else 'train'}")
    for photo in sorted(Path("photos").iterdir())[:10]:
        shutil.copy(photo, tmp_path / "more")
        age, gender = photo.name.split("_")[:2]
        lines.append(f"{photo.name},{age},{gender},train")
    table = tmp_path / "more.csv"
    table.write_text("\n".join(lines))
    assert run("extract", tmp_path / "more", "--cache", tmp_path / "c", "--augment", 1).exit_code == 0
    one = ("--cache", "cache", "--labels", "utkface")
    two = ("--cache", tmp_path / "c", "--labels", table, "--columns", "")
    two = (*two, "--columns", "path=bild,age=Alter,gender=Geschlecht")
    out = ("--kind", "linear", "--out", tmp_path / "h")
    done = run("fit", *one, *two, *out)
    assert done.exit_code == 0, done.stderr
    assert "images: labelled 280, used 280" in done.stderr
    training = json.loads((tmp_path / "h" / MANIFEST).read_text("utf-8"))["training"]
    assert training["labels"] == "utkface + more.csv"
    assert (training["split"], training["held_out"], training["held_out_share"]) == (True, 30, 0)
    assert training["sources"] == {"more.csv": 90, "utkface": 160}
    card = (tmp_path / "h" / CARD).read_text("utf-8")
    assert "From more.csv: 90 faces. From utkface: 160 faces." in card
    assert "30 faces (by the labels' split) were held out" in card
    assert "UTKFace (Zhang" in card

    evaluate = ("evaluate", "--heads", tmp_path / "h", "--json")
    done = run(*evaluate, *one, *two)
    assert json.loads(done.stdout)["overall"]["n_age"] == 30
    assert "30 of 280 faces are held out by the split in the labels" in done.stderr
    assert "too optimistic" not in done.stderr
    done = run(*evaluate, "--cache", tmp_path / "c", *two[2:4], "--columns", two[-1])
    assert json.loads(done.stdout)["overall"]["n_age"] == 30
    assert "too optimistic" not in done.stderr
    # Of what was fitted on, and of a share that was not left out.
    for options in (one, (*one, *two, "--holdout", 0.2)):
        assert "too optimistic" in run(*evaluate, *options).stderr

    assert run("fit", *one, *two, *out, "--holdout", 0.2, "--quiet").stdout == ""
    done = run("fit", *one, *two, *out, "--holdout", 0.2)
    table_ = [line.split()[0] for line in done.stdout.splitlines()]
    assert table_[-2:] == ["more.csv", "utkface"]
    done = run(*evaluate, *one, *two, "--holdout", 0.2, "--report", tmp_path / "r", "--images", "photos")
    sources = json.loads(done.stdout)["sources"]
    assert set(sources) == {"more.csv", "utkface"}
    assert sources["more.csv"]["n_age"] == 30
    assert "too optimistic" not in done.stderr
    assert "By source" in (tmp_path / "r" / "report.html").read_text("utf-8")

    # The variants of both caches are asked for.
    done = run("fit", *one, *two, *out, "--augment", 1)
    assert done.exit_code == 2
    assert "the cache cache lacks 1 degraded variant of its faces" in done.stderr
    assert run("extract", "photos", "--cache", tmp_path / "p", "--augment", 1).exit_code == 0
    done = run("fit", "--cache", tmp_path / "p", *one[2:], *two, *out, "--augment", 1)
    assert done.exit_code == 0, done.stderr
    only = ("--labels", table, "--columns", "path=bild,age=Alter,gender=Geschlecht", "--quiet")
    done = run("fit", "--cache", tmp_path / "c", *only, *out, "--holdout", 0.2)
    assert done.exit_code == 0
    done = run("fit", "--cache", "cache", "--cache", tmp_path / "c", *only, *out)
    assert done.exit_code == 2
    assert "1 --labels and 2 --cache" in done.stderr


def test_a_split_that_leaves_nothing(ready: Path, run: Run, tmp_path: Path) -> None:
    rows = [f"{path.name},30,test" for path in Path("photos").iterdir()]
    (tmp_path / "t.csv").write_text("path,age,split\n" + "\n".join(rows))
    done = run("fit", "--cache", "cache", "--labels", tmp_path / "t.csv", "--out", tmp_path / "h")
    assert done.exit_code == 2
    assert "all labelled faces (160) are held out; the labels' split leaves none" in done.stderr


def test_degraded_variants_are_extracted_beside_the_faces_and_fitted_on(
    ready: Path, run: Run, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    for augment in (1, 2, 2):
        done = run("extract", "photos", "--cache", cache, "--augment", augment)
        assert done.exit_code == 0, done.stderr
    assert "160 images were in the cache" in done.stderr
    # A folder for each, and the names once.
    assert len(Cache.fingerprints(cache)) == 3
    fit = ("--cache", cache, "--labels", "utkface", "--kind", "linear", "--quiet")
    arrays = set()
    for augment in (0, 1, 2):
        done = run("fit", *fit, "--augment", augment, "--out", tmp_path / f"h{augment}")
        assert done.exit_code == 0, done.stderr
        manifest = json.loads((tmp_path / f"h{augment}" / MANIFEST).read_text("utf-8"))
        # Figures are of the faces as they are, each counted once.
        assert manifest["training"]["variants"] == augment
        assert manifest["training"]["faces"] == manifest["out_of_fold"]["overall"]["n_age"] == 160
        assert manifest["fingerprint"] == FINGERPRINT
        arrays.add(manifest["arrays"]["sha256"])
    assert len(arrays) == 3
    done = run("extract", *sorted(Path("photos").iterdir())[:20], "--cache", tmp_path / "c", "--augment", 1)
    assert run("extract", "photos", "--cache", tmp_path / "c").exit_code == 0
    done = run("fit", "--cache", tmp_path / "c", *fit[2:], "--augment", 1, "--out", tmp_path / "h")
    assert done.exit_code == 2
    assert "variant 1 of 12 % of the faces only" in done.stderr


def test_a_cache_that_has_nothing_yet_gives_the_faces_as_they_are(
    everyone: LabelledFaces, tmp_path: Path
) -> None:
    x, has = everyone.descriptors_in(Cache(tmp_path / "c", FINGERPRINT, dimension=DIMENSION).table())
    assert not has.any()
    np.testing.assert_array_equal(x, everyone.descriptors())
    x, has = everyone.descriptors_in(everyone.table)
    assert has.all()
    np.testing.assert_array_equal(x, everyone.descriptors())


def test_a_variant_is_never_split_from_its_face(everyone: LabelledFaces, tmp_path: Path) -> None:
    """Copies of the faces as variants: an honest cross-fit learns nothing from them."""
    x, age = everyone.descriptors()[:300], everyone.age[:300]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=x.shape).astype(np.float32)
    nothing = np.full(len(x), np.nan, np.float32)
    settings = replace(FAST, kind="lightgbm")
    _, alone = fit_heads(noise, Labels(age, nothing), fingerprint="f", settings=settings)
    _, joined = fit_heads(
        noise, Labels(age, nothing), fingerprint="f", settings=settings, variants=[noise, noise]
    )
    guess = np.abs(age - np.median(age)).mean()
    assert np.abs(alone.age - age).mean() > 0.9 * guess
    assert np.abs(joined.age - age).mean() > 0.9 * guess
    assert joined.age.shape == age.shape


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("fit", *FIT), 2, "--out"),
        (("fit", "--labels", "utkface", "--out", "h"), 2, "--cache"),
        (("fit", "--cache", "cache", "--out", "h"), 2, "--labels"),
        (("fit", *FIT, "--kind", "cubist", "--out", "h"), 2, "boosted"),
        (("fit", *FIT, "--holdout", "1", "--out", "h"), 2, "0.9"),
        (("fit", *FIT, "--seed", "-1", "--out", "h"), 2, "seed"),
        (("fit", *FIT, "--labels", "none.csv", "--out", "h"), 2, "no such file"),
        (
            ("fit", *FIT, "--labels", "celeba", "--out", "h"),
            2,
            "folders, imdb-wiki, or a .csv",
        ),
        (("fit", *FIT, "--labels", "agedb", "--out", "h"), 2, "no file name has the form of agedb"),
        (("fit", *FIT, "--cache", "nowhere", "--out", "h"), 2, "`arcage extract` makes a cache"),
        (("fit", *FIT, "--pack", "other", "--out", "h"), 3, f"only of {FINGERPRINT}"),
        (("fit", *FIT, "--out", "fit.txt"), 3, "not a folder"),
        (("fit", *FIT, "--augment", "1", "--out", "h"), 2, "run `arcage extract`"),
        (("fit", *FIT, "--augment", "10", "--out", "h"), 2, "augment"),
        ((*EVALUATE, "--labels", "none.csv"), 2, "no such file"),
        ((*EVALUATE, "--out", "figures.csv"), 2, ".json"),
        ((*EVALUATE, "--holdout", "0.000001"), 2, "held out"),
        ((*EVALUATE, "--out", "nowhere/figures.json"), 3, "create the folder first"),
        ((*EVALUATE, "--cache", "nowhere"), 2, "`arcage extract` makes a cache"),
        ((*EVALUATE, "--heads", "nowhere"), 2, "arcage fit"),
        ((*EVALUATE, "--pack", "other"), 3, "--pack"),
        (("predict", "photos", "--heads", "heads", "--pack", "other"), 3, "--pack"),
        (("predict", "photos", "--heads", "nowhere"), 2, "arcage fit"),
    ],
)
def test_what_is_wrong_is_said(
    ready: Path, run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*arguments)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not Path("h").exists()


@pytest.mark.parametrize("file", [ARRAYS, MANIFEST])
def test_damaged_heads(ready: Path, run: Run, tmp_path: Path, file: str) -> None:
    for part in (ARRAYS, MANIFEST):
        (tmp_path / part).write_bytes(Path("heads", part).read_bytes())
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[: len(data) // 2])
    for command in (EVALUATE, ("predict", "photos")):
        done = run(*command, "--heads", tmp_path)
        assert done.exit_code == 3
        assert "fit them again" in done.stderr
        assert done.stdout == ""


def test_damage_in_the_cache_is_said_whatever_follows(ready: Path, run: Run, tmp_path: Path) -> None:
    shutil.copytree("cache", tmp_path / "cache")
    for part in (tmp_path / "cache" / "names").glob("*.parquet"):
        part.write_bytes(b"")
    done = run("fit", "--cache", tmp_path / "cache", *FIT[2:], "--out", tmp_path / "h")
    assert done.exit_code == 2
    assert "damaged in the cache" in done.stderr
    assert "keeps no file names" in done.stderr
