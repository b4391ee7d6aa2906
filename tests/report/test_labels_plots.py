"""Plots of a labelled set."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from arcage.images.decoder import decode
from arcage.report.labels_plots import CAPTIONS, draw_plots
from arcage.report.plots import Plots


def test_each_plot_has_a_light_and_a_dark_version(description: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as those about letters that the font lacks
        plots = Plots.draw(lambda colours: draw_plots(description["ages"], colours))
    assert plots.light.keys() == plots.dark.keys() == CAPTIONS.keys()
    for name in CAPTIONS:
        light, dark = decode(plots.light[name]), decode(plots.dark[name])
        assert light.shape == dark.shape == (585, 810, 3)
        assert np.median(light) > 230
        assert np.median(dark) < 60


def test_plots_without_data_are_left_out(description: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    bands = [{**band, "groups": {}} for band in description["ages"]["bands"]]
    ages = {**description["ages"], "bands": bands}
    assert Plots.draw(lambda colours: draw_plots(ages, colours)).light.keys() == {"years"}
    assert Plots.draw(lambda colours: draw_plots({"years": [], "bands": []}, colours)).light == {}
