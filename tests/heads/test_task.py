"""Tasks: rows with their variants, weights and folds; and labels that cannot be fitted."""

from __future__ import annotations

import re

import numpy as np
import pytest

from arcage.errors import UsageError
from arcage.heads.callbacks import Step
from arcage.heads.settings import Settings
from arcage.heads.task import Task, check_labels, make_task, split_folds, why_not_fitted
from arcage.types import Labels

NAN = np.float32(np.nan)
SETTINGS = Settings(folds=3)


def task(weight: np.ndarray, steps: list[Step] | None = None) -> Task:
    """Seven faces, of which the second has no age, in two variants."""
    x = np.arange(7, dtype=np.float32)[:, None]
    age = np.array([10, NAN, 12, 13, 14, 15, 16], np.float32)
    return make_task(
        "age",
        x,
        Labels(age, np.array([0, 1, 0, 1, 0, 1, 0], np.float32)),
        np.flatnonzero(np.isfinite(age)),
        variants=[x + 100, x + 200],
        weight=weight.astype(np.float32),
        settings=SETTINGS,
        callback=None if steps is None else steps.append,
    )


def test_variants_follow_their_faces_with_half_of_the_weight() -> None:
    made = task(np.array([1, 9, 1, 1, 1, 1, 1]))
    assert (made.faces, made.models) == (6, 4)
    own = [0, 2, 3, 4, 5, 6]
    assert made.x[:, 0].tolist() == own + [100 + n for n in own] + [200 + n for n in own]
    assert made.target.tolist() == [10 + n for n in own] * 3
    assert made.labels.gender.tolist() == [n % 2 for n in own] * 3
    np.testing.assert_allclose(made.weight, np.repeat([1.5, 0.75, 0.75], 6))
    tested = np.concatenate([fold.test for fold in made.folds])
    assert sorted(tested) == list(range(18))
    for train, test in made.folds:
        assert sorted([*train, *test]) == list(range(18))
        assert not set(train % 6) & set(test % 6)


def test_rows_without_a_weight_are_tested_and_not_trained_on() -> None:
    made = task(np.array([0, 9, 1, 3, 1, 1, 0]))
    assert made.fitted.tolist() == [False, True, True, True, True, False] * 3
    assert made.weight.mean() == pytest.approx(1)
    assert made.weight[2] == pytest.approx(3 * made.weight[1])
    for train, _ in made.folds:
        assert not set(train % 6) & {0, 5}
    assert sorted(np.concatenate([fold.test for fold in made.folds])) == list(range(18))
    with pytest.raises(UsageError, match="all labelled faces have the weight 0"):
        task(np.array([0, 9, 0, 0, 0, 0, 0]))


def test_steps_reach_the_callback() -> None:
    steps: list[Step] = []
    step = Step("age", "boosting", 1, 4)
    task(np.ones(7), steps).report(step)
    task(np.ones(7)).report(step)
    assert steps == [step]


def test_a_person_is_in_one_fold() -> None:
    known = np.arange(5, 65)
    persons = np.arange(65) % 13
    folds = split_folds(known, persons, SETTINGS)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(60))
    for train, test in folds:
        assert len(train) + len(test) == 60
        assert not set(persons[known[train]]) & set(persons[known[test]])
    for who in (persons, None):
        (one, again, other) = (
            [fold.test.tolist() for fold in split_folds(known, who, Settings(folds=3, seed=seed))]
            for seed in (1, 1, 2)
        )
        assert one == again != other


@pytest.mark.parametrize(
    ("attribute", "labels", "words"),
    [
        ("age", Labels(np.arange(50, dtype=np.float32), np.full(50, NAN)), ""),
        ("gender", Labels(np.arange(50, dtype=np.float32), np.full(50, NAN)), ""),
        (
            "gender",
            Labels(np.full(60, NAN), np.zeros(60, np.float32)),
            "all labelled faces have the same gender, male: add faces of the other one",
        ),
        (
            "gender",
            Labels(np.full(60, NAN), np.ones(60, np.float32)),
            "all labelled faces have the same gender, female: add faces of the other one",
        ),
        (
            "age",
            Labels(np.array([20, NAN, NAN], np.float32), np.full(3, NAN)),
            "only 1 face has a label for age; at least 50 are needed",
        ),
        (
            "age",
            Labels(np.arange(60, dtype=np.float32), np.full(60, NAN), person=np.arange(60) % 2),
            "the faces with a label for age come from fewer than 3 persons or groups (2): add more of them, "
            "or leave them out",
        ),
    ],
)
def test_why_an_attribute_is_not_fitted(attribute: str, labels: Labels, words: str) -> None:
    assert why_not_fitted(attribute, labels, folds=3) == words  # type: ignore[arg-type]
    if words:
        with pytest.raises(UsageError, match=f"^{re.escape(words)}$"):
            check_labels(labels, folds=3)
    else:
        check_labels(labels, folds=3)


def test_labels_that_fit_no_face() -> None:
    with pytest.raises(UsageError, match="no face has a label: check that `labels` fits"):
        check_labels(Labels.empty(60), folds=3)
