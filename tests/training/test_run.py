"""Fit, evaluate, compare and describe without the command line, on the fake pipeline."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from projects import SHARE

from arcage.errors import ForeignFileError, UsageError
from arcage.evaluation.metrics import as_table
from arcage.heads.store import load_heads
from arcage.training.request import CompareRequest, DescribeRequest, EvaluateRequest, FitRequest
from arcage.training.run import as_json, compare, describe_labels, evaluate, evaluation_text, fit

LABELLED: dict[str, Any] = {"caches": [Path("cache")], "labels": ["utkface"]}


def test_fit(ready: Path) -> None:
    reported: list[str] = []
    request = FitRequest(**LABELLED, out=Path("fitted"), kind="linear", holdout=SHARE)
    result = fit(request, report=reported.append)
    assert result.text == Path("fit.txt").read_text().rstrip("\n")
    assert result.notes == ("above: errors on held-out faces; the heads and their model card are in fitted",)
    assert any(line.startswith("images: ") for line in reported)


def test_fit_for_one_attribute(ready: Path) -> None:
    request = FitRequest(**LABELLED, out=Path("aged"), kind="linear", only="age")
    fit(request)
    heads = load_heads("aged")
    assert (heads.age is not None, heads.gender) == (True, None)


def test_degraded_variants_that_the_cache_lacks(ready: Path) -> None:
    words = "the cache cache lacks 2 degraded variants of its faces: run `arcage extract` on the same images"
    with pytest.raises(UsageError, match=re.escape(words)):
        fit(FitRequest(**LABELLED, out=Path("new"), kind="linear", augment=2))


def test_outputs_are_checked_first(ready: Path) -> None:
    Path("mine").mkdir()
    Path("mine/photo.jpg").write_bytes(b"")
    Path("mine.json").write_text("{}")
    with pytest.raises(ForeignFileError, match="mine"):
        fit(FitRequest(**LABELLED, out=Path("mine")))
    with pytest.raises(ForeignFileError, match=r"mine\.json"):
        evaluate(EvaluateRequest(**LABELLED, out=Path("mine.json")))
    with pytest.raises(UsageError, match=r"end the name of `out` a\.txt in \.json"):
        evaluate(EvaluateRequest(**LABELLED, out=Path("a.txt")))
    words = r"^`images` is for the report's thumbnails: say with `report`"
    with pytest.raises(UsageError, match=words):
        evaluate(EvaluateRequest(**LABELLED, images=[Path()]))
    with pytest.raises(UsageError, match=words):
        describe_labels(DescribeRequest(**LABELLED, images=[Path()]))


def test_evaluate(ready: Path) -> None:
    reported: list[str] = []
    request = EvaluateRequest(**LABELLED, heads=Path("heads"), holdout=SHARE, out=Path("metrics.json"))
    metrics = evaluate(request, report=reported.append)
    assert json.loads(Path("metrics.json").read_text()) == json.loads(as_json(metrics))
    assert metrics["images"]["labelled"] > 0
    assert not any("too optimistic" in line for line in reported)
    evaluate(EvaluateRequest(**LABELLED, heads=Path("heads")), report=reported.append)
    assert "too optimistic; use other faces, or fit and evaluate with the same `holdout`" in reported[-1]


def test_the_text_of_an_evaluation(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = EvaluateRequest(**LABELLED, heads=Path("heads"))
    metrics = evaluate(request)
    assert metrics["age_assurance"] is None
    before = evaluation_text(metrics)
    assert before.split("\n\n")[0] == as_table(metrics)
    assert "Age checks" not in before
    monkeypatch.setattr("arcage.evaluation.assurance.FEW", 1)
    assert evaluation_text(evaluate(request)).startswith(f"{before}\n\nAge checks: ")


def test_nothing_is_held_out(ready: Path) -> None:
    with pytest.raises(UsageError, match="held out: increase `holdout`"):
        evaluate(EvaluateRequest(**LABELLED, heads=Path("heads"), holdout=1e-9))


def test_compare(ready: Path) -> None:
    reported: list[str] = []
    request = CompareRequest(**LABELLED, heads_a="heads", heads_b="heads", holdout=SHARE)
    comparison = compare(request, report=reported.append)
    assert comparison["heads"] == {"A": "heads", "B": "heads"}
    assert comparison["warnings"] == {}
    request = CompareRequest(**LABELLED, heads_a="heads", heads_b="heads")
    assert list(compare(request, report=reported.append)["warnings"]) == ["A", "B"]
    assert [line[:3] for line in reported if "too optimistic" in line] == ["A: ", "B: "]


def test_training_faces_are_recognised_whatever_the_labels_are_called(ready: Path) -> None:
    """Otherwise a comparison would praise the heads that know the faces."""
    lines = ["path,age,gender"]
    for photo in sorted(Path("photos").rglob("*_*")):
        age, gender, *_ = photo.name.split("_")
        lines.append(f"{photo.name},{age},{gender}")
    Path("mine.csv").write_text("\n".join(lines))
    mine: dict[str, Any] = {"caches": [Path("cache")], "labels": ["mine.csv"]}
    reported: list[str] = []
    evaluate(EvaluateRequest(**mine, heads=Path("heads")), report=reported.append)
    assert re.search("the heads were fitted on [0-9]+ of these [0-9]+ faces: the metrics are", reported[-1])
    warnings = compare(CompareRequest(**mine, heads_a="heads", heads_b="heads"))["warnings"]
    assert [text.startswith("the heads were fitted on ") for text in warnings.values()] == [True, True]


def test_describe(ready: Path) -> None:
    warned: list[str] = []
    description = describe_labels(DescribeRequest(**LABELLED), warn=warned.append)
    assert json.loads(as_json(description))["images"]["labelled"] > 0
    assert warned == []
