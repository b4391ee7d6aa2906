"""The command fit with heads that it adapts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
from projects import SHARE, Run, name

from arcage.heads.store import (
    MANIFEST,
    fitted_images,
    load_heads,
    save_heads,
)
from arcage.training.overlap import fitted_on

MINE = ("fit", "--from", "boosted", "--cache", "mine-cache", "--labels", "utkface")


def copy_of(folder: Path, seed: int, count: int, shift: float) -> None:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for n in range(count):
        age, gender = int(rng.integers(1, 80)), n % 2
        face = fakes.face(age + shift + rng.normal() * 2, gender + rng.normal() * 0.2)
        (folder / name(n, age, gender)).write_bytes(fakes.image(face, width=1000 * seed + n))


@pytest.fixture
def sources(ready: Path, run: Run) -> Path:
    """Boosted heads, and photos of a camera that adds forty years."""
    if not Path("boosted").exists():
        arguments = ("--cache", "cache", "--labels", "utkface", "--quiet")
        assert run("fit", *arguments, "--out", "boosted", "--holdout", SHARE).exit_code == 0
        copy_of(Path("mine"), 1, 120, 40)
        assert run("extract", "mine", "--cache", "mine-cache", "--quiet").exit_code == 0
    return ready


def test_the_command(
    sources: Path,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Made-up descriptors of two columns lie close together without being copies.
    monkeypatch.setattr("arcage.training.overlap.SAME", 1e-6)
    out = tmp_path / "adapted"
    done = run(*MINE, "--reference", "cache", "utkface", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("age: better after by ")
    assert "\nreference set:\nage: " in done.stdout
    assert f"the adapted heads and their model card are in {out}" in done.stderr
    manifest = json.loads((out / MANIFEST).read_text("utf-8"))
    report = manifest["adapted"]
    assert report["from"] == "boosted"
    assert report["training"] == json.loads(Path("boosted", MANIFEST).read_text())["training"]
    # Of the rest only the faces that the old heads held out.
    assert report["rest"]["overall"]["mae"]["faces"] == report["training"]["held_out"]
    assert report["own"]["overall"]["mae"]["faces"] == manifest["training"]["faces"] == 120
    assert report["own"]["overall"]["mae"]["b"] == manifest["out_of_fold"]["overall"]["mae"]
    card = (out / "model-card.md").read_text("utf-8")
    assert "These heads were adapted from the heads `boosted`, which were fitted on" in card
    assert "## New faces, before and after the adaptation\n\n- age: better after" in card
    assert "## Reference faces, before and after the adaptation" in card
    assert fitted_on(load_heads(out), "utkface", SHARE)
    # Both sources are named utkface here, but their images differ.
    assert "the old heads were fitted on" not in done.stderr
    again = run(
        "fit", "--from", "boosted", "--cache", "cache", "--labels", "utkface", "--out", tmp_path / "b"
    )
    known = report["training"]["faces"]
    words = (
        f"the old heads were fitted on {known} of these 160 faces: their metrics before are too optimistic"
    )
    assert words in again.stderr
    assert len(fitted_images(load_heads(out))) == known + 120  # type: ignore[arg-type]
    assert run("predict", "mine", "--heads", out, "--out", tmp_path / "a.csv", "--quiet").exit_code == 0


def test_heads_whose_manifest_says_nothing(sources: Path, run: Run, tmp_path: Path) -> None:
    bare = replace(load_heads(Path("boosted")), manifest={"training": [], "settings": "none"})
    save_heads(bare, tmp_path / "bare", "card")
    arguments = ("--cache", "mine-cache", "--labels", "utkface", "--quiet")
    done = run("fit", "--from", tmp_path / "bare", *arguments, "--out", tmp_path / "a")
    assert done.exit_code == 0, done.stderr
    assert "which were fitted on 0 faces (unknown labels)" in (tmp_path / "a" / "model-card.md").read_text(
        "utf-8"
    )
    assert not fitted_on(load_heads(tmp_path / "a"), "other.csv", 0)


def test_the_command_judges_by_what_is_held_out(sources: Path, run: Run, tmp_path: Path) -> None:
    done = run(*MINE, "--out", tmp_path / "a", "--holdout", 0.3, "--only", "age")
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((tmp_path / "a" / MANIFEST).read_text("utf-8"))
    assert manifest["adapted"]["own"]["overall"]["mae"]["faces"] == manifest["training"]["held_out"] > 20
    assert "gender" not in manifest["adapted"]
    assert "without a reference set: the predicted ages of " in done.stderr
    assert (
        "the correction is held back, so that ages of the old source move by 0.25 years at most"
        in done.stderr
    )
    tight = run(*MINE, "--out", tmp_path / "t", "--only", "age", "--forget", 0.01)
    assert tight.exit_code == 0
    assert "held back" not in tight.stderr
    report = json.loads((tmp_path / "t" / MANIFEST).read_text("utf-8"))["adapted"]
    assert report["forget"] == 0.01
    assert report["age"]["moved"] == pytest.approx(0.01, rel=0.05)
    assert report["age"]["moved"] < manifest["adapted"]["age"]["moved"]
    assert "gender" not in done.stdout.splitlines()[0]
    loaded, old = load_heads(tmp_path / "a"), load_heads(Path("boosted"))
    x = np.array([[30, 0.4], [70, 0.9]], np.float32)
    np.testing.assert_array_equal(loaded.predict(x).p_female, old.predict(x).p_female)


def test_fitting_for_one_attribute(sources: Path, run: Run, tmp_path: Path) -> None:
    fit = ("fit", "--cache", "cache", "--labels", "utkface", "--kind", "linear", "--quiet")
    for wanted, other in (("age", "gender"), ("gender", "age")):
        assert run(*fit, "--only", wanted, "--out", tmp_path / wanted).exit_code == 0
        heads = load_heads(tmp_path / wanted)
        assert getattr(heads, wanted) is not None
        assert getattr(heads, other) is None


def test_what_the_command_refuses(sources: Path, run: Run, tmp_path: Path) -> None:
    for more, words in (
        (("--kind", "linear"), "leave out --kind"),
        (("--augment", 1), "leave out --kind"),
        (("--search", 1), "leave out --kind"),
    ):
        failed = run(*MINE, "--out", tmp_path / "a", *more)
        assert failed.exit_code == 2
        assert words in failed.stderr
    plain = ("fit", "--cache", "cache", "--labels", "utkface", "--out", tmp_path / "a")
    for more in (("--reference", "cache", "utkface"), ("--forget", 1)):
        failed = run(*plain, *more)
        assert failed.exit_code == 2
        assert "say with --from which" in failed.stderr
    for years in ("0", "-1", "inf", "nan"):
        failed = run(*MINE, "--out", tmp_path / "a", "--forget", years)
        assert failed.exit_code == 2
        assert "is not a number of years: give more than 0" in failed.stderr
    failed = run(*plain, "--from", "heads")
    assert failed.exit_code == 2
    assert "only boosted heads can be adapted" in failed.stderr
    failed = run(*plain, "--from", "bundled")
    assert failed.exit_code == 3
    assert "another version of the pack compact" in failed.stderr
    failed = run(*plain, "--from", "boosted", "--reference", "cache", "utkface")
    assert failed.exit_code == 2
    assert "no face of the reference set is left" in failed.stderr
    assert not (tmp_path / "a").exists()


def test_the_old_heads_can_be_replaced(sources: Path, run: Run, tmp_path: Path) -> None:
    shutil.copytree("boosted", tmp_path / "own")
    done = run(*MINE[:1], "--from", tmp_path / "own", *MINE[3:], "--out", tmp_path / "own")
    assert done.exit_code == 0, done.stderr
    assert load_heads(tmp_path / "own").adapted
