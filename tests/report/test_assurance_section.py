"""The section on age checks shows the content of the report."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pages import Page

from arcage.evaluation.assurance import rule_text
from arcage.evaluation.assurance_text import APPARENT, LIMITS
from arcage.report.assurance_section import assurance_section
from arcage.report.plots import Plots

NONE = Plots({}, {})


@pytest.fixture(scope="module")
def page(checks: dict[str, Any]) -> Page:
    return Page(assurance_section(checks, "utkface", NONE))


def test_the_tables_show_the_numbers(checks: dict[str, Any], page: Page) -> None:
    rows = {row[0][0]: row[1:] for row in page.rows if row[0]}
    for rule, thresholds in checks["rules"].items():
        for threshold, row in thresholds.items():
            shown = rows[rule_text(rule, threshold)]
            cells = (row["accepted"]["13-17"], row["accepted"]["under 18"], row["challenged"]["18 and older"])
            for (share, small), cell in zip(shown[:3], cells, strict=True):
                assert share == f"{100 * cell['share']:.1f} %"
                assert small.startswith(
                    f"{cell['number']:,} of {cell['faces']:,}, {100 * cell['interval'][0]:.1f} to"
                )
    needed = checks["needed"]["age"]["all"]["13-17"]
    shown = rows["age: 13-17"]
    assert shown[2][0] == f"{needed['threshold']:g}"
    assert shown[4][0] == f"{100 * needed['challenged']:.1f} %"
    assert rows["age: <b>a</b>, 13-17"][0] == [f"{checks['needed']['age']['groups']['<b>a</b>']['minors']:,}"]
    assert rows["17, accepted"][0] == [f"{checks['rules']['age']['18']['accepted']['17']['faces']:,}"]
    assert "18, challenged" in rows
    assert "female, challenged" in rows
    ece = f"{100 * checks['reliability']['18']['ece']:.1f} %"
    assert rows["under 18"][1] == [ece]
    assert f"over each year from 18 to 30 and gender {checks['mae']['years']['mae']:.2f} years" in page.words


def test_what_it_may_not_be_used_for(checks: dict[str, Any], page: Page) -> None:
    assert LIMITS in page.words
    assert APPARENT in page.words
    other = Page(assurance_section(checks, "utkface.csv + mine.csv", NONE))
    assert LIMITS in other.words
    assert APPARENT not in other.words


def test_few_faces_have_no_share_and_are_pale(checks: dict[str, Any]) -> None:
    thresholds = {}
    for at, row in checks["rules"]["age"].items():
        few = {"faces": 9, "number": 4, "share": None, "interval": None}
        thresholds[at] = {**row, "accepted": {**row["accepted"], "15": few, "16": {**few, "faces": 0}}}
    text = assurance_section({**checks, "rules": {"age": thresholds}}, "mine", NONE)
    assert re.search(r'<tr class="few"><th>15, accepted</th><td>9</td>(<td>4</td>){4}</tr>', text)
    assert "<th>16, accepted</th>" not in text


def test_nothing_without_a_report() -> None:
    assert assurance_section(None, "utkface", NONE) == ""


def test_heads_without_a_distribution(checks: dict[str, Any]) -> None:
    parts = {name: {"age": checks[name]["age"]} for name in ("rules", "needed", "curves")}
    page = Page(assurance_section({**checks, **parts, "reliability": {}}, "mine", NONE))
    assert "p_under_18" not in page.words
    assert "Calibration of probabilities" not in page.words
