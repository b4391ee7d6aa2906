"""The numbers behind the plots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arcage.heads.model import Predictions
from arcage.report.plot_data import curves


def test_the_curves_by_hand() -> None:
    age = np.array([3, 4, 7, np.nan], np.float32)
    seen = Predictions(
        *np.array([[4, 2, 20, 0.05], [2, 1, 3, 0.06], [10, 9, 11.5, 0.95], [1, 1, 1, 0.6]], np.float32).T
    )
    got = curves(seen, age, np.array([0, 1, 1, 0], np.float32))
    assert [(r["from"], r["to"], r["faces"], r["bias"], r["mae"]) for r in got["error_by_age"]] == [
        (0, 5, 2, -0.5, 1.5),
        (5, 10, 1, 3, 3),
    ]
    assert got["error_by_age"][0]["bias_interval"] is None
    assert [(r["faces"], r["female"]) for r in got["reliability"]] == [(2, 0.5), (1, 0), (1, 1)]
    assert got["reliability"][0]["p_female"] == pytest.approx(0.055)
    # From the narrowest: widths 2, 2.5 and 18 with errors 2, 3 and 1.
    assert [(r["faces"], r["mae"]) for r in got["kept_by_width"]] == [(1, 2), (2, 2.5), (3, 2)]
    assert got["kept_by_width"][-1]["share"] == 1
    assert got["kept_by_familiarity"] == []
    known = replace(seen, familiarity=np.array([0.1, 0.5, 1e-6, 1], np.float32))
    kept = curves(known, age, age)["kept_by_familiarity"]
    assert [(r["faces"], r["mae"]) for r in kept] == [(1, 2), (2, 1.5), (3, 2)]
    kept = [r["gender_accuracy"] for r in got["kept_by_confidence"]]
    assert kept == pytest.approx([1, 1, 2 / 3, 0.5])
