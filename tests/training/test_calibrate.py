"""The command calibrate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fakes
import numpy as np
import pytest
from projects import SHARE, Run, name

from arcage.heads.store import CARD, MANIFEST, fitted_images, load_heads

CALIBRATE = ("calibrate", "--heads", "general", "--cache", "camera-cache", "--labels", "utkface")


@pytest.fixture
def camera(ready: Path, run: Run) -> Path:
    """Heads, and photos of a camera that adds twenty years."""
    if not Path("general").exists():
        arguments = (
            "--cache",
            "cache",
            "--labels",
            "utkface",
            "--quiet",
            "--out",
            "general",
            "--holdout",
            SHARE,
        )
        assert run("fit", *arguments).exit_code == 0
        Path("camera").mkdir()
        rng = np.random.default_rng(1)
        for n in range(150):
            age, gender = int(rng.integers(1, 60)), n % 2
            face = fakes.face(age + 20 + rng.normal() * 2, gender + rng.normal() * 0.2)
            (Path("camera") / name(n, age, gender)).write_bytes(fakes.image(face, width=1000 + n))
        assert run("extract", "camera", "--cache", "camera-cache", "--quiet").exit_code == 0
    return ready


def test_the_command(camera: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "calibrated"
    done = run(*CALIBRATE, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert f"the calibrated heads and their model card are in {out}" in done.stderr
    assert "calibrated on 150 labelled faces; after: each face by a calibration without it" in done.stderr
    lines = {line[:34].strip(): line[34:].split() for line in done.stdout.splitlines()}
    assert "With this choice, it contains between" in done.stdout
    report = json.loads((out / MANIFEST).read_text("utf-8"))["calibrated"]
    assert (report["from"], report["labels"], report["faces"]) == ("general", "utkface", 150)
    before, after = report["before"], report["after"]
    assert lines["age: mean absolute error, years"] == [f"{r['mae']:.2f}" for r in (before, after)]
    assert after["mae"] < before["mae"] / 2
    assert before["coverage_90"] < 0.6
    assert 0.85 < after["coverage_90"] < 0.96
    card = (out / CARD).read_text("utf-8")
    for words in (
        "## Calibration for a source",
        "the heads general, calibrated on 150 labelled faces",
        "CRPS",
    ):
        assert words in card
    # The card of the heads before follows, without its title.
    before = (Path("general") / CARD).read_text("utf-8")
    assert card.startswith("# Model card: age and gender heads\n\n## Calibration")
    assert card.endswith(before.partition("\n")[2].lstrip())
    assert card.count("# Model card") == 1
    heads, images = load_heads(out), fitted_images(load_heads(out))
    assert images is not None
    assert len(images) > 150
    assert heads.manifest["training"] == load_heads("general").manifest["training"]

    done = run("predict", "camera", "--heads", out, "--format", "jsonl", "--under", 18, "--quiet")
    ages = [json.loads(line)["age"] for line in done.stdout.splitlines()]
    assert np.mean(ages) < 45
    assert run(*CALIBRATE, "--out", out, "--quiet").stdout == ""


def test_what_cannot_be_calibrated_is_told(camera: Path, run: Run, tmp_path: Path) -> None:
    done = run(*CALIBRATE[:1], "--heads", "nowhere", *CALIBRATE[3:], "--out", tmp_path / "h")
    assert done.exit_code == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").write_bytes(b"mine")
    done = run(*CALIBRATE, "--out", tmp_path / "other")
    assert done.exit_code != 0
    assert (tmp_path / "other" / "photo.jpg").read_bytes() == b"mine"
    assert run(*CALIBRATE, "--out", tmp_path / "once", "--quiet").exit_code == 0
    done = run(*CALIBRATE[:1], "--heads", tmp_path / "once", *CALIBRATE[3:], "--out", tmp_path / "twice")
    assert done.exit_code == 2
    assert "calibrated for a source already" in done.stderr


def test_the_heads_themselves_can_be_replaced(camera: Path, run: Run, tmp_path: Path) -> None:
    shutil.copytree("general", tmp_path / "own")
    done = run(*CALIBRATE[:1], "--heads", tmp_path / "own", *CALIBRATE[3:], "--out", tmp_path / "own")
    assert done.exit_code == 0, done.stderr
    assert "calibrated on 150 labelled faces" in done.stderr
    assert load_heads(tmp_path / "own").manifest["calibrated"]["from"] == "own"


@pytest.mark.parametrize(("others", "who"), [(0, "all"), (15, "135 of 150")])
def test_one_age_is_refused(camera: Path, run: Run, tmp_path: Path, others: int, who: str) -> None:
    names = sorted(path.name for path in Path("camera").iterdir())
    rows = [f"{photo},{40 + n if n < others else 30}" for n, photo in enumerate(names)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["path,age", *rows]) + "\n", "utf-8")
    done = run(*CALIBRATE[:-1], labels, "--out", tmp_path / "h")
    assert done.exit_code == 2
    assert f"{who} labelled faces have the same age, 30: add other ages" in done.stderr
    assert not (tmp_path / "h").exists()
