"""Age heaping, on invented ages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_sets import labelled

from arcage.audit.describe import describe
from arcage.audit.text import as_text
from arcage.data.join import labelled_faces


def test_heaping_by_hand(tmp_path: Path) -> None:
    # Ten faces of each year from 20 to 69, and thirty more of 40.
    ages = [year for year in range(20, 70) for _ in range(10)] + [40] * 30
    faces, cache = labelled(tmp_path, np.ones((530, 2), np.float32), {"age": ages})
    report = describe(faces, cache.names())
    # Of the 40 years from 23 to 62, eight end in 0 or 5: 80 and 30 of 430 faces.
    assert report["heaping"]["whipple"] == pytest.approx(500 * 110 / 430)
    assert report["heaping"]["peaks"] == [{"age": 40, "faces": 40, "times": 4.0}]
    assert "40 (40 faces, 4.0 times)" in as_text(report)
    even = labelled_faces(cache, str(tmp_path / "labels.csv")).select(faces.age != 40)
    assert describe(even)["heaping"]["peaks"] == []
    few = faces.select(np.arange(530) < 5)
    assert describe(few)["heaping"] == {"whipple": None, "peaks": []}
