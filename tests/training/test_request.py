"""Requests to fit heads: options that contradict each other, and paths that do not exist."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from arcage.errors import UsageError
from arcage.training.request import FitRequest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cache").mkdir()


def request(**settings: Any) -> FitRequest:
    return FitRequest(**{"caches": [Path("cache")], "labels": ["utkface"], "out": Path("out"), **settings})


def test_what_is_accepted() -> None:
    request().check()
    request(search=0.5, augment=2, ages="0-90", per_age=5, balance="age", kind="linear").check()
    request(base="bundled", forget=1.0, only="age", holdout=0.2).check()
    request(base="cache", reference=(Path("cache"), "agedb")).check()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"search": 0.0}, "`search` 0 is not a time: give the minutes, more than 0"),
        ({"search": math.inf}, "`search` inf is not a time"),
        *(
            ({"base": "bundled", name: value}, "`base` keeps the heads and their settings: leave out `kind`,")
            for name, value in (
                ("kind", "linear"), ("augment", 1), ("search", 1.0), ("ages", "0-90"), ("per_age", 3),
                ("balance", "age"),
            )
        ),
        ({"reference": (Path("cache"), "agedb")}, "`reference` is for heads that are adapted"),
        ({"forget": 1.0}, "`forget` is for heads that are adapted: say with `base` which"),
        ({"base": "bundled", "forget": 0.0}, "`forget` 0 is not a number of years: give more than 0"),
        (
            {"caches": [Path("none")], "labels": ["no.csv"]},
            "no such file or folder: `cache` none, `labels` no.csv; `arcage extract` makes a cache",
        ),
        ({"base": "none"}, "no such file or folder: `base` none; check the spelling"),
        (
            {"base": "bundled", "reference": (Path("none"), "no.csv")},
            "no such file or folder: `reference` none, `reference` no.csv",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(words)}"):
        request(**settings).check()
