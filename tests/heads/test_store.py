"""Heads on disk: written, read, and refused if damaged."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import DIMENSION, FAST, faces

from arcage._version import DISTRIBUTION_SCHEMA, HEADS_SCHEMA
from arcage.errors import HeadsError
from arcage.heads.fit import fit_heads
from arcage.heads.model import Curves, Heads
from arcage.heads.store import ARRAYS, IMAGES, MANIFEST, digests, fitted_images, load_heads, save_heads
from arcage.types import Labels


def test_saved_and_loaded_heads_answer_alike(fitted: Heads, tmp_path: Path) -> None:
    save_heads(fitted, tmp_path / "h", "card")
    loaded = load_heads(tmp_path / "h")
    x = faces(200, 3)[0]
    for name in ("age", "age_low", "age_high", "p_female", "familiarity"):
        np.testing.assert_allclose(
            getattr(loaded.predict(x), name), getattr(fitted.predict(x), name), rtol=1e-5, atol=1e-4
        )
    assert loaded.fingerprint == "f" * 16
    assert (tmp_path / "h" / "model-card.md").read_text() == "card"


def test_heads_of_older_versions_are_read(tmp_path: Path) -> None:
    """They had one kernel at most, curves of an interval, and the same arrays otherwise."""
    x, age, gender = faces(400, 6)
    heads, _ = fit_heads(x, Labels(age, np.full_like(gender, np.nan)), fingerprint="f", settings=FAST)
    heads = replace(with_curves(heads), familiarity=None)
    save_heads(heads, tmp_path, "card")
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"schema": {HEADS_SCHEMA}', '"schema": 2'))
    assert json.loads(manifest.read_text())["schema"] == 2
    now, then = load_heads(str(tmp_path)).predict(x), heads.predict(x)
    for name in ("age", "age_low", "age_high"):
        np.testing.assert_allclose(getattr(now, name), getattr(then, name), atol=1e-4)
    assert (now.age_low < now.age_high).all()
    assert np.isnan(now.quantiles).all()
    assert np.isnan(now.familiarity).all()


def with_curves(heads: Heads) -> Heads:
    """Heads as older versions made them, with the interval of 90 % alone."""
    assert heads.age is not None
    curves = Curves(*(np.linspace(-50, 150, 5, dtype=np.float32) + shift for shift in (0, 8, -8)))
    return replace(heads, age=replace(heads.age, calibration=curves))


def test_heads_with_a_distribution_are_refused_by_older_versions(fitted: Heads, tmp_path: Path) -> None:
    gender = replace(fitted, age=None)
    for heads, schema in (
        (fitted, DISTRIBUTION_SCHEMA),
        (gender, DISTRIBUTION_SCHEMA),  # for its measure of familiarity
        (replace(gender, familiarity=None), HEADS_SCHEMA),
    ):
        save_heads(heads, tmp_path, "card")
        assert json.loads((tmp_path / MANIFEST).read_text())["schema"] == schema
    save_heads(fitted, tmp_path, "card")
    x = faces(50, 6)[0]
    now, then = load_heads(tmp_path).predict(x), fitted.predict(x)
    np.testing.assert_allclose(now.quantiles, then.quantiles, atol=0.01)
    assert np.isfinite(now.quantiles).all()


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.99])
def test_heads_cut_short_are_refused(fitted: Heads, tmp_path: Path, cut: float) -> None:
    save_heads(fitted, tmp_path, "card")
    data = (tmp_path / ARRAYS).read_bytes()
    (tmp_path / ARRAYS).write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(HeadsError, match="damaged"):
        load_heads(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 99}', "\x00\xff"])
def test_a_damaged_manifest_is_refused(fitted: Heads, tmp_path: Path, text: str) -> None:
    save_heads(fitted, tmp_path, "card")
    (tmp_path / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(HeadsError):
        load_heads(tmp_path)


def test_missing_heads_teach_the_fix(tmp_path: Path) -> None:
    with pytest.raises(HeadsError, match="arcage fit"):
        load_heads(tmp_path / "none")


def test_arrays_that_do_not_fit_together_are_refused(fitted: Heads, tmp_path: Path) -> None:
    """A manifest may be edited to match: then the arrays themselves must be checked."""
    save_heads(fitted, tmp_path, "card")
    with np.load(tmp_path / ARRAYS) as loaded:
        arrays = dict(loaded)
    for key, value in (
        ("age.point.trees.left", arrays["age.point.trees.left"] + 10_000_000),
        ("age.stage.kernel.bias", arrays["age.stage.kernel.bias"][:-1]),
        ("age.stage2.kernel.landmarks", arrays["age.stage2.kernel.landmarks"][:-1]),
        ("age.columns", arrays["age.columns"] + DIMENSION),
        ("age.distribution.centers", arrays["age.distribution.centers"][:-1]),
        ("age.distribution.centers", arrays["age.distribution.centers"][::-1]),
        ("age.distribution.scores", arrays["age.distribution.scores"][:, ::-1]),
        ("age.distribution.scores", arrays["age.distribution.scores"][:, 1:]),
        ("age.interval.ages", np.zeros(2, np.float32)),
        ("gender.point.trees.feature", arrays["gender.point.trees.feature"] + 1000),
        ("age.distribution.scores", np.array([{}], dtype=object)),
    ):
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays, key: value})
        manifest = json.loads((tmp_path / MANIFEST).read_text())
        manifest["arrays"]["sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        (tmp_path / "bad").mkdir(exist_ok=True)
        (tmp_path / "bad" / ARRAYS).write_bytes(buffer.getvalue())
        (tmp_path / "bad" / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(HeadsError, match="damaged"):
            load_heads(tmp_path / "bad")


def changed(heads: Heads, folder: Path, change: dict[str, Any] | None = None, data: bytes = b"") -> Path:
    """Save heads with other arrays (None removes one), or with other bytes, and with the right sha256."""
    save_heads(heads, folder, "card")
    if change is not None:
        with np.load(folder / ARRAYS) as loaded:
            arrays = {name: value for name, value in {**loaded, **change}.items() if value is not None}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        data = buffer.getvalue()
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["arrays"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / ARRAYS).write_bytes(data)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age.point.trees.depth", np.array(2**31 - 1, np.int32)),
        ("age.point.trees.depth", np.array(-1, np.int32)),
        ("age.point.trees.depth", np.array(1, np.int32)),
        ("age.point.trees.depth", np.array("x")),
        ("age.point.trees.depth", np.array([4], np.int32)),
        ("age.point.trees.roots", np.zeros(1 << 19, np.int32)),
        ("age.point.trees.left", lambda a: a.astype(float)),
        ("age.point.trees.left", lambda a: a.astype(np.uint32)),
        ("age.point.trees.left", np.zeros_like),
        ("age.point.trees.right", lambda a: np.where(a == a.max(), 0, a)),
        ("age.point.trees.feature", lambda a: a - 5),
        ("age.point.trees.threshold", lambda a: a * np.nan),
        ("age.point.trees.threshold", lambda a: np.stack([a, a], 1)),
        ("age.point.trees.value", lambda a: a + np.inf),
        ("age.point.trees.value", None),
        ("age.stage.kernel.landmarks", lambda a: a[None]),
        ("age.stage.kernel.landmarks", lambda a: a[:, :-1]),
        ("age.stage.kernel.landmarks", lambda a: np.resize(a, (1 << 15, a.shape[1]))),
        ("age.stage.kernel.weights", lambda a: a * np.nan),
        ("age.stage.kernel.mean", lambda a: np.zeros(len(a), [("a", "<f4"), ("b", "<f4")])),
        ("age.stage.kernel.bias", lambda a: a[:0]),
        ("age.stage.kernel.bias", None),
        ("age.columns", lambda a: a.astype(np.float32)),
        ("age.columns", lambda a: a[None]),
        ("age.columns", lambda a: a - 100),
        ("age.columns", lambda a: np.resize(a, 10_000)),
        ("age.distribution.scores", lambda a: a * np.nan),
        ("age.distribution.scores", lambda a: a[0]),
        ("age.distribution.scores", None),
        ("age.distribution.centers", None),
        ("age.distribution.centers", lambda a: a[:0]),
        ("age.low.trees.roots", None),
        ("gender.curve", np.ones(3)),
        ("gender.curve", np.array([np.inf, 0])),
        ("gender.low.linear.mean", np.zeros(3, np.float32)),
        ("other", np.zeros(3)),
        ("age.point.linear.mean", np.zeros(3, np.float32)),
        ("age.new.curves", np.zeros((3, 1), np.float32)),
        ("familiarity.columns", None),
        ("familiarity.columns", lambda a: a[:-1]),
        ("familiarity.columns", lambda a: a + 10_000),
        ("familiarity.whitening.linear.weights", lambda a: a[:, :-1]),
        ("familiarity.whitening.linear.weights", None),
        ("familiarity.distances", None),
        ("familiarity.distances", lambda a: a[::-1]),
        ("familiarity.distances", lambda a: a - a[0]),
        ("familiarity.distances", lambda a: a[:-1]),
        ("familiarity.shares", lambda a: a[::-1]),
        ("familiarity.shares", lambda a: a * 2),
        ("familiarity.shares", lambda a: a - a[-1]),
    ],
)
def test_arrays_of_any_other_form_are_refused(fitted: Heads, tmp_path: Path, name: str, value: Any) -> None:
    save_heads(fitted, tmp_path / "good", "card")
    with np.load(tmp_path / "good" / ARRAYS) as loaded:
        other = value(loaded[name]) if callable(value) else value
    start = time.process_time()
    with pytest.raises(HeadsError, match="damaged"):
        load_heads(changed(fitted, tmp_path / "bad", {name: other}))
    assert time.process_time() - start < 2


def test_a_missing_quantile_and_a_missing_stage_are_refused(fitted: Heads, tmp_path: Path) -> None:
    save_heads(fitted, tmp_path / "good", "card")
    with np.load(tmp_path / "good" / ARRAYS) as loaded:
        names = list(loaded)
    for part in ("age.high", "age.low", "age.stage", "age.point", "age.distribution"):
        lost = {name: None for name in names if name.startswith(f"{part}.")}
        assert lost
        with pytest.raises(HeadsError, match="damaged"):
            load_heads(changed(fitted, tmp_path / part, lost))


@pytest.mark.parametrize("head", ["age", "gender"])
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_numbers_in_heads_give_an_error_and_no_answer(
    fitted: Heads, tmp_path: Path, head: str, sign: int
) -> None:
    name = f"{head}.stage.kernel.weights"
    with np.load(changed(fitted, tmp_path, {}) / ARRAYS) as loaded:
        weights = np.full_like(loaded[name], sign * 3e38)
    heads = load_heads(changed(fitted, tmp_path, {name: weights}))
    with pytest.raises(HeadsError, match=r"give no answer for 5 of 5 faces: they or the descriptors"):
        heads.predict(faces(5, 1)[0])


def test_curves_of_huge_numbers_are_compared_without_warnings(fitted: Heads, tmp_path: Path) -> None:
    curves = {f"age.interval.{name}": np.array([-1e308, 1e308]) for name in ("ages", "low", "high")}
    heads = with_curves(fitted)
    assert load_heads(changed(heads, tmp_path, curves)).age is not None
    with pytest.raises(HeadsError, match="curves do not fit together"):
        load_heads(changed(heads, tmp_path, {name: -curve for name, curve in curves.items()}))


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(99)])
def test_a_file_of_arrays_that_is_no_zip_file_is_refused(fitted: Heads, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(HeadsError, match="damaged"):
        load_heads(changed(fitted, tmp_path, data=data))


@pytest.mark.parametrize("file", ["/dev/zero", "../good/heads.npz", "model-card.md", "", "heads.npz\0", None])
def test_a_manifest_names_no_other_file(fitted: Heads, tmp_path: Path, file: str | None) -> None:
    save_heads(fitted, tmp_path / "good", "card")
    shutil.copytree(tmp_path / "good", tmp_path / "bad")
    path = tmp_path / "bad" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["arrays"]["file"] = file
    path.write_text(json.dumps(manifest))
    with pytest.raises(HeadsError, match="cannot be read"):
        load_heads(tmp_path / "bad")


def test_a_link_to_an_endless_file_is_refused(fitted: Heads, tmp_path: Path) -> None:
    save_heads(fitted, tmp_path, "card")
    for name in (ARRAYS, MANIFEST):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to("/dev/zero")
        with pytest.raises(HeadsError, match="cannot be read"):
            load_heads(tmp_path)


def test_damaged_lists_of_training_images_are_refused(fitted: Heads, tmp_path: Path) -> None:
    keys = np.array([bytes([n] * 32) for n in range(1, 9)], "S32")
    images = digests(keys)
    save_heads(fitted, tmp_path, "card", images)
    np.testing.assert_array_equal(fitted_images(load_heads(tmp_path)), images)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    data = (tmp_path / IMAGES).read_bytes()
    buffers = []
    for other in (images[:, :4], images.astype(np.int8), images[0], np.array([{}], object)):
        buffers.append(io.BytesIO())
        np.save(buffers[-1], other)
    for bad in (data[:-1], b"", b"x" * 99, data + b"x", *(buffer.getvalue() for buffer in buffers)):
        (tmp_path / IMAGES).write_bytes(bad)
        with pytest.raises(HeadsError, match=r"images.npy is damaged"):
            fitted_images(load_heads(tmp_path))
        manifest["images"]["sha256"] = hashlib.sha256(bad).hexdigest()
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(HeadsError, match=r"images.npy (is damaged|holds no digests)"):
            fitted_images(load_heads(tmp_path))
        manifest["images"]["sha256"] = hashlib.sha256(data).hexdigest()
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / IMAGES).unlink()
    assert fitted_images(load_heads(tmp_path)) is None
