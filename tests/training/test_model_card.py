"""The model card of fitted heads."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from projects import PACK, SHARE, fit

from arcage.data.labelled import LabelledFaces
from arcage.evaluation.assurance_text import APPARENT, LIMITS
from arcage.heads.settings import FOLDS
from arcage.heads.store import CARD, MANIFEST
from arcage.training.fit import Fitted
from arcage.training.model_card import model_card


def test_the_model_card(boosted: tuple[Fitted, Path]) -> None:
    fitted, out = boosted
    card = (out / CARD).read_text("utf-8")
    assert fitted.held_out is not None
    report = fitted.held_out
    n = report["overall"]["n_age"]
    for words in (
        "boosted; seed 0; model pack `compact` (made up, embedder)",
        f"Labels: utkface. Fitted on {400 - n} faces, ages 1 to 89. {n} faces (25 %,",
        "Of 403 distinct labelled images, 3 were left out: 1 without a detected face, 1 unreadable, 1 with",
        "2 further exact copies",
        "UTKFace",
        "MS-Celeb-1M",
        "Held-out faces",
        f"({FOLDS} folds)",
        "## Distribution of the age",
        "predicted age 20-29",
        "## Intended use and limitations",
    ):
        assert words in card
    assert "research only.\n" not in card.replace("for non-commercial research only. Some of its", "")
    groups = report["groups"]
    worst = max(groups, key=lambda group: groups[group]["mae"])
    low, high = fitted.heads.manifest["intervals"]["groups"][worst]["mae"]
    assert low < groups[worst]["mae"] < high
    mae = f"{groups[worst]['mae']:.2f} ({low:.2f} to {high:.2f})"
    assert f"Largest age error by group: {worst}: MAE {mae}." in card
    assert f"- All faces: MAE {report['overall']['mae']:.2f} (" in card
    least = min(report["genders"], key=lambda gender: report["genders"][gender]["gender_accuracy"])
    assert f"Lowest gender accuracy by gender: {least}: gender " in card
    assert "nan" not in card
    assert "None" not in card


def test_a_card_for_other_labels(everyone: LabelledFaces, tmp_path: Path) -> None:
    gender_only = replace(everyone, age=np.full(400, np.nan, np.float32), group=np.full(400, ""))
    pack = replace(PACK, name="buffalo_l", research_only=True)
    fitted = fit(gender_only, tmp_path, labels="mine.csv", pack=pack)
    card = (tmp_path / CARD).read_text("utf-8")
    assert fitted.held_out is None
    assert "Labels: mine.csv. Fitted on 400 faces. Of" in card
    assert "weights are for non-commercial research only" in card
    for words in ("UTKFace", "MS-Celeb", "Held-out", "held out", "age error", "nan", "None"):
        assert words not in card
    manifest = json.loads((tmp_path / MANIFEST).read_text("utf-8"))
    assert manifest["training"]["ages"] is None
    assert manifest["held_out"] is None
    assert manifest["out_of_fold"]["overall"]["n_age"] == 0


def test_markup_in_names_is_escaped(everyone: LabelledFaces, tmp_path: Path) -> None:
    groups = np.where(np.arange(400) % 2, "```<img src=x onerror=alert(1)>", "[a](javascript:b)\n# c")
    fit(replace(everyone, group=groups), tmp_path, labels="<script>*a*</script>.csv")
    card = (tmp_path / CARD).read_text("utf-8")
    assert r"Labels: &lt;script&gt;\*a\*&lt;/script&gt;.csv. Fitted" in card
    *blocks, rest = re.split(r"(?ms)^````\n.*?^````\n", card)
    assert len(blocks) == 1
    assert "<" not in "".join([*blocks, rest]).replace("](", "")
    assert "](javascript" not in "".join([*blocks, rest]).replace(r"\](", "")
    assert r"[a](javascript:b)\n# c" in card
    assert "\n# c" not in card


def test_age_checks(everyone: LabelledFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.evaluation.assurance.FEW", 1)
    fitted = fit(everyone, tmp_path, holdout=SHARE)
    card = (tmp_path / CARD).read_text("utf-8")
    checks = fitted.heads.manifest["age_assurance"]
    assert f"Age checks: {checks['faces']['13-17']} faces of 13-17 years" in card
    assert LIMITS in card
    assert APPARENT in card
    # Heads of an older version have none.
    manifest = {name: value for name, value in fitted.heads.manifest.items() if name != "age_assurance"}
    assert "Age checks" not in model_card(manifest)
    monkeypatch.undo()
    assert fit(everyone, tmp_path / "few").heads.manifest["age_assurance"] is None
    assert "Age checks" not in (tmp_path / "few" / CARD).read_text("utf-8")
