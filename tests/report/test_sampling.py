"""The effects of sampling options as text."""

from __future__ import annotations

from typing import Any

from arcage.report.sampling import sampling_text

NOTHING: dict[str, Any] = {"ages": None, "outside": 0, "per_age": None, "thinned": 0, "effects": {}}


def test_no_option_has_no_text() -> None:
    assert sampling_text(NOTHING) == ""


def test_faces_that_are_left_out_are_counted() -> None:
    text = sampling_text({**NOTHING, "ages": [20, 60], "outside": 1, "per_age": 3, "thinned": 1200})
    assert text == (
        "1 face outside the ages 20 to 60 is left out of the fit and of the metrics: MAE is not comparable "
        "with that of all ages\n"
        "1,200 faces of frequent ages are not fitted on, but included in the metrics"
    )
