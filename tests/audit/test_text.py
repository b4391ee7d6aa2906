"""The text of `arcage data describe`."""

from __future__ import annotations

from pathlib import Path

from labelled_sets import labelled, made_up

from arcage.audit.describe import describe
from arcage.audit.label_errors import find_label_errors
from arcage.audit.text import _suspicious, as_text


def test_only_suspicious_labels_that_are_counted_are_listed() -> None:
    face = {"names": ["a.jpg"], "label_age": 60, "age": 30, "age_low": 20, "age_high": 40}
    face |= {"label_gender": "male", "doubt": 0.99}
    suspicious = {"by": "heads", "not_compared": [], "far": 5, "contradicted": 1}
    lines = _suspicious({**suspicious, "age": [face] * 31, "gender": [face] * 31}).splitlines()
    assert lines[1] == "Ages 10 years or more outside the 90 % interval: 5"
    assert lines[5] == "  ... and 2 more"
    assert lines[6:] == [
        "Genders predicted as the opposite with a probability of 95 % or more: 1",
        "  a.jpg: label male, predicted female 99.0 %",
    ]


def test_labels_that_cannot_be_checked_are_reported(tmp_path: Path) -> None:
    x, age, _ = made_up(100)
    ages = [str(a) if n < 40 else "" for n, a in enumerate(age)]
    faces, cache = labelled(tmp_path, x, {"age": ages, "gender": ["f"] * 100})
    assert len(find_label_errors(faces).not_checked) == 2
    report = describe(faces, cache.names())
    assert report["suspicious"]["age"] == report["suspicious"]["gender"] == []
    text = as_text(report)
    assert "ages cannot be checked: only 40 faces have a label for age" in text
    assert "genders cannot be checked: all labelled faces have the same gender" in text
