"""Heads on disk: written, read, and refused if damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from faces import DIMENSION, FAST, faces

from arcage._version import HEADS_SCHEMA
from arcage.errors import HeadsError
from arcage.heads.fit import fit_heads
from arcage.heads.model import Heads
from arcage.heads.store import ARRAYS, MANIFEST, load_heads, save_heads
from arcage.types import Labels


def test_saved_and_loaded_heads_answer_alike(fitted: Heads, tmp_path: Path) -> None:
    save_heads(fitted, tmp_path / "h", "card")
    loaded = load_heads(tmp_path / "h")
    x = faces(200, 3)[0]
    for name in ("age", "age_low", "age_high", "p_female"):
        np.testing.assert_allclose(
            getattr(loaded.predict(x), name), getattr(fitted.predict(x), name), rtol=1e-5, atol=1e-4
        )
    assert loaded.fingerprint == "f" * 16
    assert (tmp_path / "h" / "model-card.md").read_text() == "card"


def test_heads_of_older_versions_are_read(tmp_path: Path) -> None:
    """They had one kernel at most, and the same arrays otherwise."""
    x, age, gender = faces(400, 6)
    heads, _ = fit_heads(x, Labels(age, np.full_like(gender, np.nan)), fingerprint="f", settings=FAST)
    save_heads(heads, tmp_path, "card")
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"schema": {HEADS_SCHEMA}', '"schema": 2'))
    assert json.loads(manifest.read_text())["schema"] == 2
    np.testing.assert_allclose(load_heads(str(tmp_path)).predict(x).age, heads.predict(x).age, atol=1e-4)


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
    import hashlib
    import io

    save_heads(fitted, tmp_path, "card")
    with np.load(tmp_path / ARRAYS) as loaded:
        arrays = dict(loaded)
    for key, value in (
        ("age.point.trees.left", arrays["age.point.trees.left"] + 10_000_000),
        ("age.stage.kernel.bias", arrays["age.stage.kernel.bias"][:-1]),
        ("age.stage2.kernel.landmarks", arrays["age.stage2.kernel.landmarks"][:-1]),
        ("age.columns", arrays["age.columns"] + DIMENSION),
        ("age.interval.low", arrays["age.interval.low"][:-1]),
        ("age.interval.high", arrays["age.interval.high"][::-1]),
        ("gender.point.trees.feature", arrays["gender.point.trees.feature"] + 1000),
        ("age.interval.ages", np.array([{}], dtype=object)),
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
