"""Age checks in a few lines."""

from __future__ import annotations

import json

import numpy as np
import pytest
from age_checks import planted

from arcage.evaluation.assurance import age_assurance
from arcage.evaluation.assurance_text import as_text, summary
from arcage.heads.model import Predictions

IMAGES = {"used": 100, "no_face": 0, "unreadable": 0}


@pytest.fixture(scope="module")
def text() -> list[str]:
    report = age_assurance(*planted(60), IMAGES)
    assert report is not None
    summed = summary(report)
    assert json.loads(json.dumps(summed, allow_nan=False)) == summed
    row = report["rules"]["age"]["25"]
    assert summed["rules"][2] == {
        "text": "age >= 25",
        "accepted": row["accepted"]["13-17"],
        "challenged": row["challenged"]["18 and older"],
    }
    assert summed["needed"][0]["threshold"] == report["needed"]["age"]["all"]["13-17"]["threshold"]
    assert "cells" not in json.dumps(summed["mae"]).replace("cells_used", "")
    return as_text(summed).splitlines()


def test_each_rule_has_a_line(text: list[str]) -> None:
    assert text[0].startswith(
        "Age checks: 300 faces of 13-17 years, 2,520 of 18 and older; in brackets: 95 %"
    )
    assert [line.split("  ")[0] for line in text[2:10]] == [
        *(f"age >= {at}" for at in (18, 21, 25, 30)),
        *(f"p_under_18 <= {at}" for at in (0.01, 0.02, 0.05, 0.1)),
    ]
    for line in text[2:10]:
        assert line.count(" %") == 2
        assert line.count("[") == 2
    assert text[10].startswith("age >= 2")
    assert text[11].startswith("p_under_18 <= 0.0")
    for line in text[10:12]:
        assert " of 300, at most 1 %" in line
    assert text[12].startswith("MAE from 18 to 30 years, averaged over 26 cells of gender and year: 3.")
    assert text[13].startswith(
        "Expected calibration error of the probability of being under 18, 21, 25, 30: "
    )
    assert len(text) == 14


def test_few_faces_and_older_heads() -> None:
    predictions, labels = planted(60)
    rows = np.flatnonzero(~((labels.age >= 13) & (labels.age < 18)) | (np.arange(len(labels)) % 10 == 0))
    unknown = np.full(len(rows), np.nan, np.float32)
    labels = labels.select(rows)
    labels.age[(labels.age >= 18) & (labels.age < 31)] = 40
    report = age_assurance(Predictions(predictions.age[rows], unknown, unknown, unknown), labels, IMAGES)
    assert report is not None
    lines = as_text(summary(report)).splitlines()
    # Neither probabilities, nor a threshold for 30 minors, nor an error without faces from 18 to 30 years.
    assert len(lines) == 6
    row = summary(report)["rules"][0]
    row["accepted"] = {"faces": 9, "number": 2, "share": None, "interval": None}
    assert "2 of 9" in as_text({**summary(report), "rules": [row]})
