"""Rows of a prediction."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from arcage.heads.distribution import LEVELS
from arcage.heads.model import Predictions
from arcage.output.rows import (
    COLUMNS,
    MORE_COLUMNS,
    Estimate,
    estimates,
    face_row,
    json_row,
    row_without_face,
    text_cells,
    under_column,
)
from arcage.types import Face

FACE = Face(np.array([1, 2, 30.25, 40], np.float32), np.zeros((5, 2), np.float32), 0.75)


def predictions(*rows: tuple[float, float, float, float]) -> Predictions:
    return Predictions(*np.array(rows, np.float32).reshape(-1, 4).T)


def test_estimates_hide_uncertain_values() -> None:
    p = predictions((30, 20, 35, 0.75), (40, 30, 60, 0.25), (50, 45, 55, 0.5))
    assert estimates(p, max_width=20, min_confidence=0.75) == [
        Estimate(30, 20, 35, 0.75, "female"),
        Estimate(None, 30, 60, 0.25, "male"),
        Estimate(50, 45, 55, 0.5, None),
    ]
    assert [e.gender for e in estimates(p)] == ["female", "male", "female"]
    assert [e.age for e in estimates(p)] == [30, 40, 50]


def test_estimates_hide_all_that_is_predicted_for_unfamiliar_faces() -> None:
    """The familiarity says why, as the width of an interval and p_female do for theirs."""
    nan = math.nan
    p = predictions((30, 20, 35, 0.75), (40, 30, 60, 0.25), (50, 45, 55, 0.5))
    p = replace(p, familiarity=np.array([0.5, 1e-6, nan], np.float32))
    shown, hidden, unknown = estimates(p, min_familiarity=0.5, under=[18])
    assert shown == estimates(p, under=[18])[0]
    assert (shown.age, shown.familiarity) == (30, 0.5)
    assert hidden == Estimate(None, None, None, None, None, pytest.approx(1e-6), {"p_under_18": None})
    assert (unknown.age, unknown.familiarity) == (50, None)
    assert estimates(p)[1].age == 40


def test_estimates_of_missing_attributes_are_none() -> None:
    nan = math.nan
    assert estimates(predictions((nan, nan, nan, 0.25), (30, 20, 40, nan))) == [
        Estimate(None, None, None, 0.25, "male"),
        Estimate(30, 20, 40, None, None),
    ]
    assert estimates(predictions()) == []


def test_estimates_of_a_distribution() -> None:
    quantiles = np.array([[30, 60]], np.float32).T + 20 * np.subtract(LEVELS, 0.5).astype(np.float32)
    p = replace(predictions((30, 20, 35, 0.75), (60, 50, 65, 0.25)), quantiles=quantiles)
    first, second = estimates(p, interval=50, under=[31])
    assert (first.age_low, first.age_high) == (25, 35)
    assert first.more == {"p_under_31": pytest.approx(0.525)}
    assert second.more == {"p_under_31": pytest.approx(0, abs=0.002)}
    row = face_row("a.jpg", 1, 3, FACE, first)
    more = ["p_under_31", "p_under_18"]
    assert text_cells(["face", "age"], more)(row) == ["1", "30.0", "0.5250", ""]
    assert list(json_row(row, more).items())[-2:] == [("p_under_31", 0.525), ("p_under_18", None)]
    assert list(json_row(row)) == list(COLUMNS)
    assert under_column(18) == "p_under_18"
    assert re.fullmatch(MORE_COLUMNS, under_column(18))


def test_the_row_of_a_face() -> None:
    row = face_row("a.jpg", 1, 3, FACE, Estimate(30, 20, 35, 0.75, "female", 4.1e-5))
    assert text_cells(COLUMNS)(row) == [
        *("a.jpg", "1", "3", "1.0", "2.0", "30.2", "40.0", "0.750"),
        *("30.0", "20.0", "35.0", "female", "0.7500", "ok", "", "0.000041"),
    ]
    assert json_row(row)["x2"] == 30.2
    assert row.image_size is None
    estimate = Estimate(30, 20, 35, 0.75, "female")
    assert face_row("a.jpg", 1, 3, FACE, estimate, (64, 48)).image_size == (64, 48)
    assert list(json_row(row)) == list(COLUMNS)


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [(None, "no_face", None), ("empty file", "unreadable", "empty file"), ("", "unreadable", None)],
)
def test_rows_without_a_face(error: str | None, status: str, shown: str | None) -> None:
    row = row_without_face("a.jpg", error, (4, 3))
    assert row.image_size == (4, 3)
    assert (row.path, row.faces, row.status, row.error) == ("a.jpg", 0, status, shown)
    named = {"path", "faces", "status", "error"}
    assert {getattr(row, name) for name in set(COLUMNS) - named} == {None}


def test_zeros_have_no_sign() -> None:
    row = face_row("a", 0, 1, FACE, Estimate(-0.01, -0.04, 1, 0.00001, "male"))
    assert text_cells(("age", "age_low", "p_female"))(row) == ["0.0", "0.0", "0.0000"]
    assert str(json_row(row)["age"]) == "0.0"
