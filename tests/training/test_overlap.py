"""Whether heads were fitted on the faces of an evaluation."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from projects import (
    SHARE,
    X,
    fit,
    labelled,
    made_up,
)

from arcage.data.labelled import LabelledFaces
from arcage.errors import HeadsError
from arcage.heads.store import IMAGES, fitted_images, load_heads
from arcage.training.fit import Fitted
from arcage.training.overlap import fitted_on, fitted_words


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
    held_out = everyone.held_out(SHARE)
    fitted = int((~held_out).sum())
    new = load_heads(boosted[1])
    images = fitted_images(new)
    assert images is not None
    assert images.shape == (fitted, 5)
    # Absurd descriptors: only the content matters.
    other = labelled(made_up(tmp_path / "cache", X + 5))
    for labels in ("utkface", "other.csv"):
        assert fitted_words(new, everyone, labels, 0) == f"were fitted on {fitted} of these 400 faces"
        assert fitted_words(new, other, labels, 0) == f"were fitted on {fitted} of these 400 faces"
        assert fitted_words(new, everyone.select(held_out), labels, 0) == ""
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
    held_out = everyone.held_out(SHARE)
    x = np.where((np.arange(len(X)) < 20)[:, None], X, X + 5)
    few = labelled(made_up(tmp_path / "few", x, content="few"))
    assert 0 < held_out.sum() < len(held_out)
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
