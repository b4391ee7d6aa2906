"""Label errors: planted ones are found by out-of-fold predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from labelled_sets import labelled, made_up

from arcage.audit.label_errors import MAX_SHARE, find_label_errors, most_suspicious


def test_planted_labels_are_found(tmp_path: Path) -> None:
    x, age, gender = made_up(3000)
    faces, _ = labelled(tmp_path, x, {"age": age.tolist(), "gender": gender.tolist()})
    rng = np.random.default_rng(1)
    count = 60
    wrong_age, wrong_gender = rng.permutation(3000)[:count], rng.permutation(3000)[:count]
    ages, genders = faces.age.copy(), faces.gender.copy()
    ages[wrong_age] = rng.choice(faces.age, count)
    genders[wrong_gender] = 1 - genders[wrong_gender]
    errors = find_label_errors(replace(faces, age=ages, gender=genders))
    top_age = most_suspicious(errors.years_outside, -np.inf)
    top_gender = most_suspicious(errors.p_other, -np.inf)
    assert len(top_age) == len(top_gender) == MAX_SHARE * 3000
    assert np.isin(wrong_age, top_age).mean() > 0.6
    assert np.isin(wrong_gender, top_gender).mean() > 0.9
    # Without planted errors, few labels are far from their predictions.
    correct = find_label_errors(faces)
    assert (correct.years_outside > 10).sum() < count / 10 < (errors.years_outside > 10).sum()
    assert (correct.p_other > 0.95).sum() < count / 10 < (errors.p_other > 0.95).sum()


def test_predictions_are_out_of_fold_and_persons_stay_in_one_fold(tmp_path: Path) -> None:
    """Noise that identifies only the person: heads that were fitted on the person would be right."""
    rng = np.random.default_rng(0)
    who = np.arange(600) // 6
    x = rng.normal(size=(100, 60))[who] + rng.normal(size=(600, 60)) * 0.01
    gender = rng.integers(0, 2, 100)[who]
    faces, _ = labelled(tmp_path, x.astype(np.float32), {"gender": gender.tolist(), "person": who.tolist()})
    errors = find_label_errors(faces)
    assert (errors.p_other > 0.5).mean() > 0.3
    assert np.isnan(errors.years_outside).all()
    unnamed = replace(faces, person=np.full(600, ""))
    assert (find_label_errors(unnamed).p_other > 0.5).mean() < 0.2
