"""What the benchmarks count and how they spoil pictures, by hand, and one at a tiny size; people run them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from arcage.data.labelled import _main_face
from arcage.data.labels import Label
from arcage.images import decode

FOLDER = Path(__file__).parents[1] / "benchmarks" / "accuracy"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a benchmark's module as its script does."""
    import importlib

    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def test_fairface_by_hand(load: Any) -> None:
    truth = {
        "a.jpg": ("0-2", "female"),
        "b.jpg": ("20-29", "male"),
        "c.jpg": ("70+", "male"),
        "d.jpg": ("3-9", "female"),
    }
    answers = {
        "a.jpg": (2.4, "female"),  # right
        "b.jpg": (29.6, "female"),  # the next bin, wrong gender
        "c.jpg": (50.0, "male"),  # two bins off
        "other.jpg": (1.0, "male"),  # no label: counts nowhere
    }
    assert load("fairface").score(truth, answers) == {
        "images": 4,
        "dropped": 1,
        "age_bin": pytest.approx(1 / 3),
        "within_one_bin": pytest.approx(2 / 3),
        "gender_accuracy": pytest.approx(2 / 3),
    }
    assert load("fairface").score(truth, {})["age_bin"] is None


def test_peers_are_judged_on_what_they_answered_and_on_what_all_answered(load: Any) -> None:
    answer = load("protocol").Answer
    labels = {"a": Label(30, 1), "b": Label(5, 0), "c": Label(60, 0)}
    ours = {"a": answer(34, True), "b": answer(15, True), "c": answer(60, False)}
    theirs = {"a": answer(20, True), "b": answer(), "c": answer(66, True)}
    result = load("peers").compare(labels, {"ours": ours, "theirs": theirs})
    assert result["ours"]["answered"] == {
        "images": 3,
        "dropped": 0,
        "mae": pytest.approx(14 / 3),
        "median": 4,
        "cs5": pytest.approx(2 / 3),
        "gender_accuracy": pytest.approx(2 / 3),
        "gender_accuracy_10_and_older": 1,
    }
    assert result["theirs"]["answered"]["dropped"] == 1
    assert result["theirs"]["answered"]["mae"] == 8
    assert result["theirs"]["answered"]["gender_accuracy"] == 0.5
    assert result["ours"]["answered_by_all"]["images"] == 2
    assert result["ours"]["answered_by_all"]["mae"] == 2


def test_the_main_face_is_the_one_that_fit_takes(load: Any) -> None:
    class Table:
        faces = np.array([3, 3, 3])
        width, height = np.array([300, 300, 300]), np.array([200, 200, 200])
        boxes: np.ndarray

    rng = np.random.default_rng(0)
    for _ in range(50):
        corner = rng.uniform(-20, 200, (3, 2))
        Table.boxes = np.concatenate([corner, corner + rng.uniform(10, 120, (3, 2))], axis=1)
        ours = load("protocol").main_face(Table.boxes.tolist(), 300, 200)
        assert ours == _main_face(Table, 0)  # type: ignore[arg-type]


def test_every_level_of_every_degradation_is_an_image(load: Any, picture: np.ndarray) -> None:
    for curve in load("degradations").CURVES:
        for level in curve.levels:
            worse = decode(curve.make(picture, level))
            if curve.name == "size":
                assert max(worse.shape[:2]) == level
            elif curve.name == "rotation":
                assert worse.shape[0] > picture.shape[0]
                assert worse.shape[1] > picture.shape[1] * math.cos(math.radians(45))
            else:
                assert worse.shape == picture.shape
                assert (worse != picture).any()


def test_degradations_by_hand(load: Any, picture: np.ndarray) -> None:
    worse = load("degradations")
    assert (decode(worse.png(picture)) == picture).all()
    assert (worse.resize(picture, 50) == picture).all()
    assert (np.ptp(worse.grey(picture), axis=2) == 0).all()
    assert worse.brighten(np.array([[[10, 100, 200]]], np.uint8), 2).ravel().tolist() == [20, 200, 255]
    assert worse.gamma(np.array([[[0, 128, 255]]], np.uint8), 2).ravel().tolist() == [0, 64, 255]
    # A quarter turn moves every pixel and loses none; nothing is cut off at 45 degrees.
    assert (worse.rotate(picture, 90) == np.rot90(picture)).all()
    turned = worse.rotate(picture, 45)
    assert turned.shape[:2] == (64, 64)
    assert turned.sum(dtype=float) == pytest.approx(picture.sum(dtype=float), rel=0.05)
    assert turned[0, 0].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_the_time_of_a_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib

    from caches import FINGERPRINT, image, write

    monkeypatch.syspath_prepend(str(FOLDER.parent / "speed"))
    fit = importlib.import_module("fit")
    rng = np.random.default_rng(0)
    images = [
        (f"{20 + n % 50}_{n % 2}_{n % 3}_{n:014d}.jpg", image(f"image {n}", [rng.normal(size=6)]))
        for n in range(120)
    ]
    write(tmp_path / "cache", images, dimension=6)
    monkeypatch.setattr(fit, "Extractor", lambda variant: SimpleNamespace(fingerprint=FINGERPRINT))
    out = tmp_path / "fit.json"
    fit.main(["--cache", str(tmp_path / "cache"), "--augment", "1", "--count", "300", "--out", str(out)])
    as_they_are, many = json.loads(out.read_text())["fits"]
    assert (as_they_are["faces"], many["faces"]) == (120, 300)
    assert as_they_are["variants"] == 1
    for one in (as_they_are, many):
        assert {"age: kernel stage", "age: last stage", "gender: kernel stage"} < set(one["stages"])
        assert sum(one["stages"].values()) == pytest.approx(one["seconds"], abs=0.5)
        assert 50 < one["peak_mb"] < 4000
        assert one["out_of_fold"]["n_age"] == one["faces"]
    assert "peak memory" in capsys.readouterr().out


def test_faces_drawn_again_differ_by_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.syspath_prepend(str(FOLDER.parent / "speed"))
    fit = importlib.import_module("fit")
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    rows = np.repeat(np.arange(50), 400)
    many = fit.resampled(x, rows, 0)
    assert (many == fit.resampled(x, rows, 0)).all()
    assert (many != fit.resampled(x, rows, 1)).any()
    assert len(np.unique(many, axis=0)) == len(many)
    np.testing.assert_allclose((many - x[rows]).std(axis=0), fit.NOISE * x.std(axis=0), rtol=0.05)
