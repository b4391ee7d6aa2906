"""Heads on labelled faces: each face is judged by its own label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_sets import labelled

from arcage.data.labelled import LabelledFaces
from arcage.heads.model import Predictions
from arcage.training.evaluate import compare_labelled, evaluate_labelled, predict_labelled

N = 40
AGE = np.arange(10, 10 + N)
GENDER = np.arange(N) % 2


class Knowing:
    """Heads that read age and gender in the descriptor, and err by some years."""

    def __init__(self, years: float) -> None:
        self.years = years

    def predict(self, x: np.ndarray) -> Predictions:
        age = x[:, 0].astype(np.float32) + np.float32(self.years)
        return Predictions(age, age - 2, age + 2, x[:, 1].astype(np.float32))


@pytest.fixture
def faces(tmp_path: Path) -> LabelledFaces:
    x = np.stack([AGE, np.where(np.arange(N) < 4, 1 - GENDER, GENDER)], axis=1)
    return labelled(tmp_path, x, {"age": AGE.tolist(), "gender": GENDER.tolist()})[0]


def test_predictions_are_in_the_order_of_the_faces(faces: LabelledFaces) -> None:
    some = faces.select(np.arange(30, 2, -3))
    predictions = predict_labelled(Knowing(1), some)  # type: ignore[arg-type]
    np.testing.assert_array_equal(predictions.age, some.age + 1)


def test_evaluate(faces: LabelledFaces) -> None:
    report = evaluate_labelled(Knowing(3), faces)  # type: ignore[arg-type]
    overall = report["overall"]
    assert (overall["n_age"], overall["n_gender"]) == (N, N)
    assert (overall["mae"], overall["bias"], overall["width"]) == (3, 3, 4)
    assert overall["coverage"] == 0
    assert overall["gender_accuracy"] == pytest.approx(0.9)
    assert report["age_bands"]["10-19"]["gender_accuracy"] == pytest.approx(0.6)
    assert report["age_bands"]["20-29"]["gender_accuracy"] == 1


def test_compare(faces: LabelledFaces) -> None:
    overall = compare_labelled(Knowing(-3), Knowing(1), faces)["overall"]  # type: ignore[arg-type]
    mae = overall["mae"]
    assert (mae["faces"], mae["a"], mae["b"], mae["difference"], mae["better"]) == (N, 3, 1, -2, "B")
    assert (overall["coverage"]["a"], overall["coverage"]["b"]) == (0, 1)
    assert (overall["gender_accuracy"]["difference"], overall["gender_accuracy"]["better"]) == (0, None)
