"""From a cache and labels to heads on disk, by the library and by the commands fit, evaluate and predict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import FINGERPRINT, image, write
from faces import DIMENSION, FAST
from projects import (
    AGE,
    GENDER,
    LINEAR,
    SHARE,
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
from arcage.errors import UsageError
from arcage.heads.fit import fit_heads
from arcage.heads.settings import Settings
from arcage.heads.store import ARRAYS, CARD, IMAGES, MANIFEST, load_heads
from arcage.report.boosting_curves import EVENTS, JSON, PNG
from arcage.training.evaluate import evaluate_labelled
from arcage.training.fit import Fitted
from arcage.types import Labels


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
    excluded = int(everyone.held_out(SHARE).sum())
    assert 60 < excluded < 140
    assert manifest["fingerprint"] == FINGERPRINT
    assert manifest["dimension"] == DIMENSION
    assert (manifest["pack"], manifest["models"]) == ("compact", ["made up", "embedder"])
    assert manifest["training"] == {
        "labels": "utkface",
        "faces": 400 - excluded,
        "variants": 0,
        "ages": [1, 89],
        "held_out": excluded,
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
    assert manifest["held_out"]["overall"]["n_age"] == excluded
    assert manifest["out_of_fold"]["overall"]["n_age"] == 400 - excluded
    assert list(manifest["held_out"]["groups"]) == ["Black", "White"]


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
    excluded = dict(zip(hashes, everyone.held_out(SHARE).tolist(), strict=True))
    mask = np.array([excluded[image(f"image {n}").sha256] for n in range(400)])
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
    out_of_fold: list[np.ndarray] = []

    def listening(x: np.ndarray, labels: Labels, **options: Any) -> Any:
        assert labels.person is not None
        out_of_fold.append(labels.person)
        return fit_heads(x, labels, **options)

    monkeypatch.setattr("arcage.training.fit.fit_heads", listening)
    fit(faces_, tmp_path / "heads", holdout=SHARE)
    (groups,) = out_of_fold
    train = faces_.select(~faces_.held_out(SHARE))
    assert len(groups) == len(train)
    known = train.person != ""
    assert len(np.unique(groups)) == len(np.unique(train.person[known])) + (~known).sum()
    held_out = faces_.person[faces_.held_out(SHARE)]
    assert not set(held_out) & set(train.person) - {""}


def test_too_few_faces_leave_the_old_heads(everyone: LabelledFaces, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("old")
    few = everyone.select(np.arange(400) % 7 == 0)
    with pytest.raises(UsageError, match="faces have a label for age; at least"):
        fit(few, tmp_path, holdout=0.5)
    with pytest.raises(UsageError, match=r"all labelled faces \(40\) are held out; take a smaller `holdout`"):
        fit(everyone.select(np.arange(400) < 40), tmp_path, holdout=0.5)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]
    assert (tmp_path / MANIFEST).read_text() == "old"


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
