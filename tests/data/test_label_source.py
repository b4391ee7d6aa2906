"""Sets of labels, and the caches that they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
from caches import image, write

from arcage.data.label_source import LabelSource, name_sources, pair_sources
from arcage.errors import UsageError


def test_labels_are_paired_with_caches_and_columns(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, [("x.jpg", image("x"))]) for name in "ab")
    assert [(s.cache, s.labels, s.columns) for s in pair_sources([a], ["1", "2"], [{"age": "A"}])] == [
        (a, "1", {"age": "A"}),
        (a, "2", {"age": "A"}),
    ]
    assert [(s.cache, s.columns) for s in pair_sources([a, b], ["1", "2"], [{}, {"age": "A"}])] == [
        (a, {}),
        (b, {"age": "A"}),
    ]
    words = "1 `labels` and 2 `cache`: give one `cache` for all, or one for each, in the same order"
    with pytest.raises(UsageError, match=words):
        pair_sources([a, b], ["1"])
    with pytest.raises(UsageError, match="3 `labels` and 2 `columns`: give one `columns` for all"):
        pair_sources([a], ["1", "2", "3"], [{}, {}])


def test_sources_have_unique_names(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, [("x.jpg", image("x"))]) for name in "ab")
    sources = [LabelSource(a, "utkface"), LabelSource(a, "x/labels.csv"), LabelSource(b, "y/labels.csv")]
    assert name_sources(sources) == [
        {"utkface": "utkface"},
        {"labels.csv (a)": "x/labels.csv"},
        {"labels.csv (b)": "y/labels.csv"},
    ]
    twice = [LabelSource(a, "x/labels.csv"), LabelSource(a, "y/labels.csv")]
    assert name_sources(twice) == [{"labels.csv (a)": "x/labels.csv"}, {"labels.csv (a, 2)": "y/labels.csv"}]
    with pytest.raises(UsageError, match="unknown labels 'UTK'"):
        name_sources([LabelSource(a, "UTK")])
