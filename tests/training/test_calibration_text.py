"""The report of a calibration in words."""

from __future__ import annotations

from arcage.training.calibration_text import ROWS, as_text, calibrated_on


def test_metrics_that_are_known_are_shown() -> None:
    unknown = dict.fromkeys(name for _, name, _ in ROWS)
    report = {
        "faces": 60,
        "before": {**unknown, "mae": 7.369, "coverage_90": 0.8073},
        "after": {**unknown, "mae": 6.141, "coverage_90": 0.9},
        "guarantee": "So it is.",
    }
    assert as_text(report).splitlines() == [
        "                                 before   after",
        "age: mean absolute error, years    7.37    6.14",
        "coverage of the 90 % interval    80.7 %  90.0 %",
        "",
        "So it is.",
    ]
    assert as_text({**report, "guarantee": ""}).splitlines()[-1].startswith("coverage")
    assert calibrated_on(report).startswith("calibrated on 60 labelled faces; ")
