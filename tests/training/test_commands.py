"""The commands fit, evaluate and predict, from photos to predictions."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest
from caches import FINGERPRINT
from projects import (
    FIT,
    SHARE,
    Run,
)

from arcage.cache import Cache
from arcage.heads.store import ARRAYS, CARD, MANIFEST

EVALUATE = ("evaluate", "--cache", "cache", "--labels", "utkface", "--heads", "heads")


def test_from_photos_to_answers(ready: Path, run: Run) -> None:
    manifest = json.loads(Path("heads", MANIFEST).read_text("utf-8"))
    table = Path("fit.txt").read_text()
    assert table.splitlines()[1].split()[1] == str(manifest["held_out"]["overall"]["n_age"])
    words = Path("fit.err").read_text()
    assert "images: labelled 160, used 160" in words
    assert "errors on held-out faces; the heads and their model card are in heads" in words

    done = run(*EVALUATE, "--holdout", SHARE)
    evaluated = done.stdout
    assert (done.exit_code, evaluated.split("\n\n")[0]) == (0, table.rstrip("\n"))
    assert "too optimistic" not in done.stderr
    # The tables are the only output, unless another option writes the figures.
    assert run(*EVALUATE, "--holdout", SHARE, "--quiet").stdout == evaluated
    assert run(*EVALUATE, "--holdout", SHARE, "--quiet", "--out", "figures.json").stdout == ""
    done = run(*EVALUATE, "--holdout", SHARE, "--json", "--out", "figures.json", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert Path("figures.json").read_text() == done.stdout
    assert report.pop("images")["used"] == 160
    measured, held_out = report.pop("distribution")["overall"], manifest["distribution"]["overall"]
    assert measured == pytest.approx(held_out, abs=1e-4)
    assert report.pop("age_assurance") is manifest["age_assurance"] is None
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
    assert manifest["training"]["labels"] == "my.csv", "the folder of the labels is private"
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
    warning = (
        "gender is not fitted, only age (as with --only age): all labelled faces have the same gender, "
        "male: add faces of the other one"
    )
    for options in ((), ("--quiet",)):
        done = run(*fit, *options)
        assert done.exit_code == 0
        assert warning in done.stderr.splitlines()
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
    measured = json.loads(done.stdout)["distribution"]
    assert measured["overall"]["n"] == sum(row["n"] for row in measured["true_age"].values())
    assert 0.5 < measured["overall"]["coverage_90"] < 1
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    for words in ("Distribution of the age", "By true age", "By predicted age", "CRPS"):
        assert words in page
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
        (("fit", *FIT, "--pack", "other", "--out", "h"), 3, "only of a pack without a name"),
        (("fit", *FIT, "--out", "fit.txt"), 3, "not a folder"),
        (("fit", *FIT, "--augment", "1", "--out", "h"), 2, "run `arcage extract`"),
        (("fit", *FIT, "--augment", "10", "--out", "h"), 2, "augment"),
        ((*EVALUATE, "--labels", "none.csv"), 2, "no such file"),
        ((*EVALUATE, "--out", "figures.csv"), 2, ".json"),
        ((*EVALUATE, "--holdout", "0.000001"), 2, "held out"),
        ((*EVALUATE, "--out", "nowhere/figures.json"), 3, "create the folder first"),
        ((*EVALUATE, "--cache", "nowhere"), 2, "`arcage extract` makes a cache"),
        ((*EVALUATE, "--heads", "nowhere"), 2, "arcage fit"),
        ((*EVALUATE, "--pack", "other"), 3, "again with `arcage fit`"),
        (("predict", "photos", "--heads", "heads", "--pack", "other"), 3, "again with `arcage fit`"),
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
