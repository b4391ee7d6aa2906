"""Caches and heads that an earlier version wrote are read as that version read them.

``tests/stored/make.py`` says which commit wrote them and what is in them; ``make_distribution.py`` made
``distribution/``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info
from typer.testing import CliRunner

from arcage import _version
from arcage.cache import Cache
from arcage.cli import app
from arcage.data.join import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.errors import HeadsError
from arcage.heads.boosting import Boosting
from arcage.heads.kernel import KernelSettings
from arcage.heads.model import Heads, Predictions
from arcage.heads.settings import Settings
from arcage.heads.store import load_heads
from arcage.training.adapt import adapt_labelled
from arcage.training.evaluate import evaluate_labelled
from arcage.training.fit import fit_labelled
from arcage.training.options import AdaptOptions, FitOptions

STORED = Path(__file__).parent / "stored"
EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
FACTS = json.loads((STORED / "expected.json").read_text("utf-8"))
HEADS = ("adapted", "age", "boosted", "lightgbm", "linear")
PHOTOS = FACTS["photos"]["fingerprint"]
SMALL = Settings(
    kernel=KernelSettings(centers=24, context_columns=4),
    age=Boosting(rounds=8, leaves=5),
    quantiles=Boosting(rounds=8, leaves=5),
    gender=Boosting(rounds=8, leaves=5),
    context_columns=4,
    folds=5,
)


@pytest.fixture(scope="module")
def expected() -> Iterator[Any]:
    with np.load(STORED / "expected.npz", allow_pickle=False) as arrays:
        yield arrays


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A copy, because some tests write to it."""
    return Path(shutil.copytree(STORED, tmp_path / "stored"))


def same_arithmetic(*packages: str) -> bool:
    """Whether the last bits of matrix products must agree: NumPy, its matrix library and the processor do."""
    if any(version(name) != FACTS["versions"][name] for name in ("numpy", *packages)):
        return False
    found = [library for library in threadpool_info() if "numpy" in library["filepath"]]
    return [library.get(key) for library in found for key in ("internal_api", "version", "architecture")] == (
        FACTS["blas"]
    )


def assert_same(now: Predictions, expected: Any, prefix: str) -> None:
    exact = same_arithmetic()
    for field in fields(now):
        after = getattr(now, field.name)
        if field.name in ("quantiles", "familiarity"):
            assert np.isnan(after).all()
            continue
        before = expected[f"{prefix}/{field.name}"]
        assert after.dtype == before.dtype
        if exact:
            np.testing.assert_array_equal(after, before, field.name)
        else:
            # A face whose rounding error passes a split of a tree gets the other leaf.
            close = np.isclose(after, before, rtol=1e-4, atol=1e-4, equal_nan=True)
            assert close.mean() > 0.95, field.name


@pytest.mark.parametrize(("directory", "key"), [("made-up", "made-up"), ("photos", "photos")])
def test_a_cache_reads_as_before(directory: str, key: str, expected: Any) -> None:
    facts = FACTS[key]
    cache = Cache(STORED / directory, facts["fingerprint"])
    assert cache.verify() == () == cache.damaged
    assert facts["damaged"] == []
    assert (cache.dimension, dict(cache.pipeline), len(cache)) == (
        facts["dimension"],
        facts["pipeline"],
        facts["images"],
    )
    table, names = cache.table(), cache.names()
    columns = [name for name in expected if name.startswith(f"{key}/table/")]
    assert len(columns) >= 12
    for name in columns:
        column = getattr(table, name.rpartition("/")[2])
        np.testing.assert_array_equal(column.astype(expected[name].dtype), expected[name], name)
    np.testing.assert_array_equal(table.descriptors(), expected[f"{key}/descriptors"])
    np.testing.assert_array_equal(names.names.astype("U"), expected[f"{key}/names"])
    np.testing.assert_array_equal(names.keys, expected[f"{key}/names of"])
    for row, sha256 in enumerate(table.sha256(np.arange(len(table)))):
        image = cache.get(sha256)
        assert image is not None
        assert (image.status, image.error, image.width) == (
            table.status[row],
            table.error[row],
            table.width[row],
        )
        if table.face[row] >= 0:
            np.testing.assert_array_equal(
                image.descriptors[table.face[row]], table.descriptors(np.array([row]))[0]
            )


@pytest.mark.parametrize("name", HEADS)
def test_heads_predict_as_before(name: str, expected: Any) -> None:
    heads = load_heads(STORED / "heads" / name)
    x = Cache(STORED / "made-up", "made-up").table().descriptors(dtype=np.float32)
    assert_same(heads.predict(x), expected, f"heads/{name}/all")
    assert_same(heads.predict(x[:1]), expected, f"heads/{name}/one")


@pytest.mark.parametrize("name", ["fitted", "adapted", "calibrated"])
def test_heads_with_a_distribution_predict_as_before(name: str) -> None:
    faces = labelled_faces(Cache(STORED / "made-up", "made-up-1"), "utkface")
    predictions = load_heads(STORED / "distribution" / name).predict(faces.descriptors())
    with np.load(STORED / "distribution" / "expected.npz") as expected:
        for field in fields(predictions):
            after, before = getattr(predictions, field.name), expected[f"{name}/{field.name}"]
            assert (after.dtype, after.shape) == (before.dtype, before.shape)
            close = np.isclose(after, before, rtol=1e-4, atol=1e-3)
            assert close.mean() > 0.95, field.name
            if same_arithmetic():
                np.testing.assert_array_equal(after, before, field.name)


def test_an_evaluation_gives_the_same_numbers() -> None:
    faces = labelled_faces(Cache(STORED / "made-up", "made-up"), "utkface")
    report = evaluate_labelled(load_heads(STORED / "heads" / "adapted"), faces)
    before = FACTS["evaluation"]
    assert report.keys() >= before.keys()
    tolerance = 1e-9 if same_arithmetic() else 1e-2
    for key, value in before["overall"].items():
        assert report["overall"][key] == pytest.approx(value, rel=tolerance, nan_ok=True), key


def test_an_extraction_of_the_present_pipeline_leaves_the_old_descriptors_alone(
    stored: Path, tmp_path: Path
) -> None:
    photos = stored / "photos"
    before = {path: path.read_bytes() for path in sorted(photos.rglob("*")) if path.is_file()}
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder / "astronaut.jpg")
    (folder / "new.jpg").write_bytes(b"not an image either")
    present = Extractor().fingerprint
    for known in ("", "2 images were in the cache"):
        done = CliRunner().invoke(app, ["extract", str(folder), "--cache", str(photos)])
        assert done.exit_code == 0, done.output
        assert "2 images" in done.output
        assert ("in the cache" in done.output) == bool(known)
        assert known in done.output
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(Cache.fingerprints(photos)) == sorted([PHOTOS, present])
    for fingerprint, count in ((PHOTOS, FACTS["photos"]["images"]), (present, 2)):
        cache = Cache(photos, fingerprint)
        assert len(cache) == count
        assert cache.verify() == ()


def test_heads_are_refused_for_descriptors_of_the_other_pipeline() -> None:
    """Descriptors changed after these were stored: the second look at a face uses a smaller canvas."""
    present = Extractor().fingerprint
    assert present != PHOTOS
    heads = load_heads()
    heads.check(present)
    with pytest.raises(HeadsError, match="arcage fit"):
        heads.check(PHOTOS)


def test_heads_are_fitted_on_a_cache_as_before(tmp_path: Path) -> None:
    faces = labelled_faces(Cache(STORED / "made-up", "made-up"), "utkface")
    degraded = Cache(STORED / "made-up", "made-up-1").table()
    options = FitOptions(
        pack=SimpleNamespace(name="made up", models=(), research_only=False),  # type: ignore[arg-type]
        fingerprint="made-up",
        labels="utkface",
        out=tmp_path,
        settings=SMALL,
        holdout=0.2,
        variants=[degraded],
    )
    fit_labelled(faces, options)
    assert_same_arrays(load_heads(tmp_path), tmp_path, STORED / "heads" / "boosted")


def test_heads_are_adapted_as_before(tmp_path: Path) -> None:
    options = AdaptOptions(
        base=load_heads(STORED / "heads" / "boosted"),
        base_name="boosted",
        pack=SimpleNamespace(name="made up", models=(), research_only=False),  # type: ignore[arg-type]
        labels="elsewhere",
        out=tmp_path,
        forget=2,
    )
    adapt_labelled(labelled_faces(Cache(STORED / "made-up", "made-up-1"), "utkface"), options)
    assert_same_arrays(load_heads(tmp_path), tmp_path, STORED / "heads" / "adapted")


def assert_same_arrays(heads: Heads, now: Path, before: Path) -> None:
    """The trees are equal node by node, and numbers up to the rounding of single precision, where the same
    packages made them. Sums may be computed in another order."""
    assert heads.dimension == FACTS["made-up"]["dimension"]
    with np.load(now / "heads.npz") as after, np.load(before / "heads.npz") as old:
        # Heads that are fitted now have a distribution in place of the curves of an interval.
        names = [name for name in old.files if not name.startswith("age.interval.") or name in after.files]
        assert set(after.files) >= set(names)
        if not same_arithmetic("scipy", "scikit-learn", "lightgbm"):
            return
        for name in names:
            assert (after[name].dtype, after[name].shape) == (old[name].dtype, old[name].shape), name
            if after[name].dtype.kind == "f":
                largest = np.abs(old[name][np.isfinite(old[name])]).max(initial=0)
                np.testing.assert_allclose(
                    after[name], old[name], rtol=1e-5, atol=1e-4 * largest, err_msg=name
                )
            else:
                np.testing.assert_array_equal(after[name], old[name], name)


def test_the_page_on_format_changes_has_the_numbers() -> None:
    page = (Path(__file__).parents[1] / "docs" / "internals" / "format-changes.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "_SCHEMA` |" in line
    ]
    numbers = {name: value for name, value in vars(_version).items() if name.endswith("_SCHEMA")}
    assert {row[2].strip("`"): int(row[3]) for row in rows} == numbers
    assert f"`HEADS_READ`: {', '.join(map(str, _version.HEADS_READ))}" in page
