"""The charts of the documentation show the figures of its tables."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def draw_charts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("draw_charts")


def test_the_charts_show_the_tables(draw_charts: Any) -> None:
    for name, (read, *_) in draw_charts.CHARTS.items():
        stored = (draw_charts.IMAGES / name).read_bytes()
        assert draw_charts.figures(read()).encode() in stored, "run python tools/draw_charts.py"


def test_a_table_is_read_by_its_title(draw_charts: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "| other |\n|---|\n| 0 |\n\ntext\n| a title, 5 images | x |\n|---|---|\n| **b**, `c` | 1 |\n\n| d |\n"
    )
    assert draw_charts.table(page, "title, 5") == [["b, c", "1"]]


def test_bars_of_the_tables(draw_charts: Any) -> None:
    first, *others = draw_charts.error_bars()
    assert first.name.startswith("arcage")
    assert first.ours is None
    assert others
    assert all(bar.ours is not None for bar in others)
    assert max(draw_charts.speed_bars(), key=lambda bar: bar.value).name == "arcage predict"
