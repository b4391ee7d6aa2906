"""Predictions as a DataFrame."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from arcage.output.frame import to_frame
from arcage.output.rows import COLUMNS, row_without_face
from arcage.types import Prediction

FACE = Prediction(
    "a.jpg", 0, 2, 1.5, 2, 3, 4, 0.9, 35.67, 27.1, 48.2, "female", 0.93, "ok", None, 0.5, {"p_under_18": 0.01}
)
ROWS = [
    FACE,
    replace(FACE, face=1, age=None, gender=None, p_female=None, more={}),
    row_without_face("b.jpg", "x"),
]


def test_values() -> None:
    frame = to_frame(ROWS, ["p_under_18"])
    assert tuple(frame.columns) == (*COLUMNS, "p_under_18")
    assert frame.loc[0].to_dict() == {
        **{name: getattr(FACE, name) for name in COLUMNS},
        "p_under_18": 0.01,
    }
    assert frame["age"].mean() == 35.67
    assert frame["age_low"].tolist()[:2] == [27.1, 27.1]
    assert frame[["age_high", "p_under_18", "familiarity"]].isna().sum().tolist() == [1, 2, 1]
    assert frame["face"].isna().tolist() == [False, False, True]
    assert frame["gender"].tolist() == ["female", None, None]
    assert frame.loc[2, "error"] == "x"
    assert frame.query("gender == 'female' and face == 0").shape == (1, 17)


def test_the_types_do_not_depend_on_the_rows() -> None:
    frames = [to_frame(rows, ["p_under_18"]) for rows in (ROWS, ROWS[:1], ROWS[2:], [])]
    types = {name: frames[0][name].dtype for name in frames[0]}
    assert all(types[name] == "float64" for name in ("age", "x1", "det_score", "familiarity", "p_under_18"))
    assert (types["face"], types["faces"]) == ("Int64", "int64")
    for frame in frames:
        assert frame.dtypes.to_dict() == types
    whole = pd.concat(frames[:3], ignore_index=True)
    assert whole.dtypes.to_dict() == types
    assert len(whole) == 5


def test_rows_of_an_iterator() -> None:
    assert len(to_frame(iter(ROWS))) == 3
