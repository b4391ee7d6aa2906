"""Folders that heads cannot be written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from projects import (
    fit,
)

from arcage.data.labelled import LabelledFaces
from arcage.errors import HeadsError


def test_a_place_that_cannot_be_written_is_known_before_fitting(
    everyone: LabelledFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcage.training.fit.fit_heads", lambda *a, **k: pytest.fail("fitted for nothing"))
    (tmp_path / "file").write_text("")
    for out in ("file", "file/below", "file/far/below"):
        with pytest.raises(HeadsError, match=r"file is not a folder; choose another `out`"):
            fit(everyone, tmp_path / out)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(HeadsError, match="read-only; choose another `out`"):
        fit(everyone, tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
