"""Labelled faces with synthetic descriptors, and a project folder of images for the fake pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from caches import FINGERPRINT, image, write
from faces import DIMENSION, faces, fit_quickly

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces
from arcage.embedder.packs.record import ModelRecord, Pack
from arcage.heads.settings import Settings
from arcage.heads.store import load_heads
from arcage.training.fit import Fitted, fit_labelled
from arcage.training.options import FitOptions

MODEL = ModelRecord("made up", "none.onnx", "0" * 64, "descriptor", "MIT", "tests", "112x112", 2)
PACK = Pack("compact", Path(), MODEL, (replace(MODEL, name="embedder"),), research_only=False)
LINEAR = Settings(kind="linear")
SHARE = 0.25
X, AGE, GENDER = faces(400, 0)


def name(n: int, age: float, gender: float) -> str:
    return f"{age:.0f}_{gender:.0f}_{n % 2}_{n:014d}.jpg"


def made_up(
    folder: Path,
    x: np.ndarray = X,
    age: np.ndarray = AGE,
    gender: np.ndarray = GENDER,
    content: str = "image",
) -> Path:
    """Write a cache of images with a face, and a few that have no label, no face or contradictory labels."""
    images = [(name(n, age[n], gender[n]), image(f"{content} {n}", [x[n]])) for n in range(len(x))]
    images += [
        ("copy/" + images[0][0], image(f"{content} 0", [x[0]])),
        (name(1001, 20, 0), image("none", [])),
        (name(1002, 20, 0), image("broken", [], status="unreadable")),
        (name(1003, 20, 0), image("twice", [x[0]])),
        (name(1004, 21, 0), image("twice", [x[0]])),
        ("holiday.jpg", image("unlabelled", [x[0]])),
    ]
    write(folder, images, dimension=DIMENSION)
    return folder


def labelled(folder: Path) -> LabelledFaces:
    return labelled_faces(Cache(folder, FINGERPRINT), "utkface")


def fit(faces_: LabelledFaces, out: Path, **options: Any) -> Fitted:
    settings = {"pack": PACK, "fingerprint": FINGERPRINT, "labels": "utkface", "settings": LINEAR}
    return fit_labelled(faces_, FitOptions(out=out, **{**settings, **options}))  # type: ignore[arg-type]


class FakeExtractor(fakes.FakeExtractor):
    pack = PACK

    def __init__(self, pack: str = "compact", *others: Any, variant: int = 0, **options: Any) -> None:
        super().__init__(pack, *others, **options)
        base = FINGERPRINT if pack == "compact" else pack
        self.fingerprint = base[:-1] + str(variant) if variant else base


Run = Callable[..., Any]


@pytest.fixture
def run(arcage: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line with real heads, on descriptors that an image contains."""
    monkeypatch.setattr("arcage.embedder.extractor.Extractor", FakeExtractor)
    monkeypatch.setattr("arcage.predictor.Extractor", FakeExtractor)
    monkeypatch.setattr("arcage.predictor.load_heads", load_heads)
    fit_quickly(monkeypatch)
    return arcage


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images for the fake pipeline, whose names are UTKFace labels."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for n in range(160):
        age, gender = int(rng.integers(1, 80)), n % 2
        face = fakes.face(age + rng.normal() * 2, gender + rng.normal() * 0.2)
        file = folder / "photos" / name(n, age, gender)
        file.write_bytes(fakes.image(face, width=640 + n))
    return folder


@pytest.fixture
def ready(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a cache, and with heads fitted on three quarters of the images."""
    monkeypatch.chdir(project)
    if not Path("heads").exists():
        assert run("extract", "photos", "--cache", "cache", "--quiet").exit_code == 0
        done = run("fit", *FIT, "--out", "heads", "--holdout", SHARE)
        assert done.exit_code == 0, done.stderr
        Path("fit.txt").write_text(done.stdout)
        Path("fit.err").write_text(done.stderr)
    return project


FIT = ("--cache", "cache", "--labels", "utkface", "--kind", "linear")
