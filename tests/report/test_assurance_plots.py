"""Plots of age checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arcage.images.decoder import decode
from arcage.report.assurance_plots import CAPTIONS, draw_assurance_plots
from arcage.report.plots import style

pytest.importorskip("matplotlib")


def drawn(report: dict[str, Any] | None) -> dict[str, bytes]:
    with style(dark=False) as colours:
        return draw_assurance_plots(report, colours)


def test_all_plots(checks: dict[str, Any]) -> None:
    plots = drawn(checks)
    assert plots.keys() == CAPTIONS.keys()
    for data in plots.values():
        pixels = decode(data)
        assert pixels.shape == (585, 810, 3)
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_the_plots_show_the_numbers(checks: dict[str, Any]) -> None:
    before = drawn(checks)
    accepted = checks["rules"]["age"]["25"]["accepted"]
    other = {**checks["rules"]["age"]["25"], "accepted": {**accepted, "17": {**accepted["17"], "share": 0.9}}}
    rules = {**checks["rules"], "age": {**checks["rules"]["age"], "25": other}}
    after = drawn({**checks, "rules": rules})
    assert [name for name in before if before[name] != after[name]] == ["accepted_by_age"]


def test_heads_without_a_distribution(checks: dict[str, Any]) -> None:
    parts = {name: {"age": checks[name]["age"]} for name in ("rules", "needed", "curves")}
    assert drawn({**checks, **parts, "reliability": {}}).keys() == CAPTIONS.keys() - {"probability_under"}
    assert drawn(None) == {}


def test_nobody_is_accepted(checks: dict[str, Any]) -> None:
    for rules in checks["rules"].values():
        for row in rules.values():
            assert row["accepted"]["13-17"]["share"] is not None
    none = {"faces": 100, "number": 0, "share": 0.0, "interval": [0.0, 0.04]}
    rules = {
        rule: {at: {**row, "accepted": {"13-17": none}} for at, row in thresholds.items()}
        for rule, thresholds in checks["rules"].items()
    }
    curves = {
        rule: [{**point, "accepted": 0.0} for point in points] for rule, points in checks["curves"].items()
    }
    assert drawn({**checks, "rules": rules, "curves": curves}).keys() == CAPTIONS.keys()
