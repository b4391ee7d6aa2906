"""Which faces and values are in the output."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arcage.errors import HeadsError, UsageError
from arcage.heads.model import Predictions
from arcage.output.selection import Selection


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"faces": "first"}, "faces is one of all, largest, center, not 'first'"),
        ({"min_score": 1.1}, "min_score is between 0 and 1, not 1.1"),
        ({"min_score": math.nan}, "min_score is between 0 and 1, not nan"),
        ({"max_width": -1}, "max_width is a number of years, not -1"),
        ({"min_confidence": 0.4}, "min_confidence is between 0.5 and 1, not 0.4"),
        ({"min_familiarity": 2}, "min_familiarity is between 0 and 1, not 2"),
        ({"interval": 99.9}, "interval is between 1 and 99.6, not 99.9"),
        ({"under": [18, 121]}, "under is a whole number of years from 1 to 120, not 121"),
        ({"under": [math.inf]}, "under is a whole number of years from 1 to 120, not inf"),
    ],
)
def test_invalid_values(options: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError, match=f"^{error}$"):
        Selection(**options)


def test_ages_are_kept_once_and_in_order() -> None:
    assert Selection(under=[21, 18.0, 21]).under == (21, 18)  # type: ignore[list-item]


def test_heads_are_asked_for_what_is_needed() -> None:
    def missing(what: str) -> None:
        raise HeadsError(f"the heads lack {what}")

    heads: Any = SimpleNamespace(check_familiarity=missing, check_distribution=missing)
    Selection(faces="largest", min_score=0.5, max_width=10, min_confidence=0.9).check(heads)
    for options, error in (
        ({"min_familiarity": 0.1}, "the heads lack `min_familiarity`"),
        ({"interval": 80}, "the heads lack `interval` 80"),
        ({"under": [18]}, "the heads lack `under`"),
    ):
        with pytest.raises(HeadsError, match=f"^{error}$"):
            Selection(**options).check(heads)  # type: ignore[arg-type]


def test_estimates_hide_uncertain_values() -> None:
    predictions = Predictions(*np.array([[30, 20, 35, 0.75], [40, 30, 60, 0.25]], np.float32).T)
    first, second = Selection(max_width=20, min_confidence=0.75).estimates(predictions)
    assert (first.age, first.gender) == (30, "female")
    assert (second.age, second.gender) == (None, "male")
    assert [one.age for one in Selection().estimates(predictions)] == [30, 40]
