"""The page of a labelled set."""

from __future__ import annotations

from typing import Any

import pytest
from pages import Page

from arcage.report.labels_page import labels_page
from arcage.report.labels_plots import draw_plots
from arcage.report.plots import Plots


def page_of(description: dict[str, Any]) -> Page:
    plots = Plots.draw(lambda colours: draw_plots(description["ages"], colours))
    return Page(labels_page({"labels": "<b>x</b>.csv", **description}, plots, {}, ("a.json", "b.csv")))


def test_names_of_groups_in_any_script(description: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    page = page_of(description)
    assert {"中文", "$x^$", "a" * 99, "ไทย"} <= set(page.texts)
    assert "Labels of <b>x</b>.csv" in page.texts
    assert "There are no thumbnails: they need the folder of the images." in page.texts
    assert "All numbers are in a.json." in page.words


def test_labels_without_ages(description: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    page = page_of({**description, "ages": {"years": [], "bands": []}})
    assert "No face has an age." in page.texts
    assert not any(tag == "figure" for tag, _ in page.tags)


def test_long_lists_are_cut(description: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    notes = [{"text": f"{n}.jpg is not in the cache"} for n in range(30)]
    page = page_of({**description, "left_out": notes})
    assert "Labels without a face: 30" in page.texts
    assert "23.jpg is not in the cache" in page.texts
    assert "24.jpg is not in the cache" not in page.texts
    assert "and 6 more, in a.json" in page.texts
