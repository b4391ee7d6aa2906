"""Plots of an evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
from reports import Made, answer, report_on


def test_many_points_are_drawn_as_a_density(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = made[0]
    report_on(tmp_path / "points", faces, answer(faces))
    monkeypatch.setattr("arcage.report.evaluation_plots.MANY", 10)
    report_on(tmp_path / "density", faces, answer(faces))
    points, density = ((tmp_path / which / "scatter.png").read_bytes() for which in ("points", "density"))
    assert points != density
