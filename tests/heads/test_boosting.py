"""Boosted trees as arrays, against LightGBM."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from faces import faces

from arcage.errors import LibraryError
from arcage.heads.boosting import Boosting, boost, dataset, subset
from arcage.heads.fit import fit_heads
from arcage.heads.settings import Settings
from arcage.types import Labels


def test_a_system_without_openmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "lightgbm.py").write_text(f"raise OSError({error!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    x, age, gender = faces(200, 5)
    with pytest.raises(LibraryError, match=r"libgomp\.so\.1: cannot .*`apt-get install libgomp1`"):
        fit_heads(x, Labels(age, gender), fingerprint="", settings=Settings("lightgbm"), min_faces=2)
    fit_heads(x, Labels(age, gender), fingerprint="", settings=Settings("linear"), min_faces=2)


@pytest.mark.parametrize("objective", ["l1", "quantile", "binary"])
def test_trees_as_arrays_equal_lightgbm(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm

    boosters = []
    train = lightgbm.train
    monkeypatch.setattr(lightgbm, "train", lambda *a, **k: boosters.append(train(*a, **k)) or boosters[-1])
    x, age, gender = faces(800, 5)
    target = gender if objective == "binary" else age
    part = subset(dataset(x, target, np.ones(800, np.float32)), np.arange(0, 800, 2))
    trees = boost(part, Boosting(rounds=30), objective=objective, alpha=0.9)  # type: ignore[arg-type]
    expected = boosters[0].predict(x, raw_score=True)
    np.testing.assert_allclose(trees(x)[:, 0], expected, rtol=1e-6, atol=1e-5)
    assert int(trees.depth) <= 8


def test_trees_are_of_their_rows_alone_and_go_on_from_their_start() -> None:
    x, age, _ = faces(800, 5)
    rows, rest = np.arange(0, 800, 2), np.arange(1, 800, 2)
    equal = np.ones(800, np.float32)
    start = age + np.where(x[:, 0] > 0, 5, -5).astype(np.float32)
    wrong = age.copy()
    wrong[rest] = 0
    settings = Boosting(rounds=30)
    trees = boost(subset(dataset(x, age, equal, start), rows), settings, objective="l1")
    others = boost(subset(dataset(x, wrong, equal, start), rows), settings, objective="l1")
    np.testing.assert_array_equal(trees(x), others(x))
    assert np.abs(age - start - trees(x)[:, 0]).mean() < 3
    # Without a start the trees hold all of it.
    alone = boost(subset(dataset(x, age, equal), rows), settings, objective="l1")
    assert abs(alone(x[rows]).mean() - age[rows].mean()) < 3
