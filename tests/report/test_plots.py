"""The look of all plots."""

from __future__ import annotations

import pytest


def test_legends_cover_no_data() -> None:
    pytest.importorskip("matplotlib")
    from arcage.report.plots import legend, new_axes, style

    with style(dark=False):
        figure, axes = new_axes()
        for name in ("male", "female", "unknown"):
            axes.bar([0, 1, 2], [1, 2, 3], label=name)
        legend(axes)
        figure.canvas.draw()
        inside, box = axes.get_window_extent(), axes.get_legend().get_window_extent()
    assert box.y0 >= inside.y1
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
