"""Labels as values, and the text form of a prediction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arcage.types import Labels, Prediction

NAN = np.nan
LABELS = Labels(
    np.array([1, NAN, 3], np.float32),
    np.array([0, 1, NAN], np.float32),
    np.array(["a", "", "b"]),
    np.array([7, 7, 9]),
    np.array(["s", "t", "s"]),
)


@pytest.mark.parametrize("rows", [np.array([False, True, True]), np.array([1, 2])])
def test_labels_of_some_faces(rows: np.ndarray) -> None:
    some = LABELS.select(rows)
    assert len(some) == 2
    np.testing.assert_array_equal(some.age, [NAN, 3])
    np.testing.assert_array_equal(some.gender, [1, NAN])
    assert some.group is not None
    assert some.person is not None
    assert some.source is not None
    assert (some.group.tolist(), some.person.tolist(), some.source.tolist()) == (
        ["", "b"],
        [7, 9],
        ["t", "s"],
    )
    plain = Labels(LABELS.age, LABELS.gender).select(rows)
    assert (plain.group, plain.person, plain.source) == (None, None, None)


def test_labels_without_an_attribute() -> None:
    for attributes in ([], ["age"], ["gender"], ["age", "gender"]):
        labels = LABELS.without(attributes)
        np.testing.assert_array_equal(labels.age, [NAN] * 3 if "age" in attributes else LABELS.age)
        np.testing.assert_array_equal(labels.gender, [NAN] * 3 if "gender" in attributes else LABELS.gender)
        assert labels.person is LABELS.person


def test_no_labels() -> None:
    empty = Labels.empty(2)
    assert len(empty) == 2
    for column in (empty.age, empty.gender):
        assert column.dtype == np.float32
        assert np.isnan(column).all()
    assert len(Labels.empty(0)) == 0


def test_the_repr_of_a_prediction_is_short() -> None:
    nothing: Any = [None] * 10
    face = Prediction("a.jpg", 2, 3, 1, 2, 3, 4, 0.9, 35.67, 26.6, 48.4, "male", 0.066, "ok", None)
    assert repr(face) == str(face) == "<Prediction a.jpg #2: 35.7 (27-48) male 93 %>"
    changes: Any
    for changes, words in (
        ({"age": None}, "(27-48) male 93 %"),
        ({"gender": None}, "35.7 (27-48)"),
        ({"age": None, "age_low": None, "age_high": None, "gender": None}, "nothing predicted"),
    ):
        assert repr(replace(face, **changes)) == f"<Prediction a.jpg #2: {words}>"
    assert repr(Prediction("-", None, 0, *nothing, "no_face", None)) == "<Prediction -: no face>"
    bad = Prediction("x" * 5000 + "\x1b", None, 0, *nothing, "unreadable", "a\u202eb")
    assert repr(bad) == f"<Prediction ...{'x' * 59}\\x1b: a\\u202eb>"


def test_the_repr_of_labels_is_short() -> None:
    assert repr(Labels.empty(2000)) == "<Labels of 2,000 faces>"
    assert repr(Labels.empty(1)) == "<Labels of 1 face>"
