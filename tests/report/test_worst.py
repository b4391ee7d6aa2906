"""The faces with the largest errors."""

from __future__ import annotations

import numpy as np
from caches import BOX
from reports import Made, answer

from arcage.report.worst import MANY


def test_the_worst_faces(made: Made) -> None:
    faces, full, page, _ = made
    worst = full["worst_faces"]
    errors = [abs(face["age"] - face["label_age"]) for face in worst["age"]]
    every = np.sort(np.abs(answer(faces).age - faces.age))[::-1]
    assert len(errors) == MANY
    np.testing.assert_allclose(errors, every[:MANY], rtol=1e-6)
    assert errors == sorted(errors, reverse=True)
    assert worst["age"][0]["sha256"] == faces.sha256()[0]
    assert worst["age"][0]["box"] == list(BOX)
    # Of 60 faces, every fifth gender is wrong.
    assert len(worst["gender"]) == 12
    sure = [f["p_female"] if f["label_gender"] == "male" else 1 - f["p_female"] for f in worst["gender"]]
    assert sure == sorted(sure, reverse=True)
    assert min(sure) > 0.5
    assert page.cards() == MANY + 12
    first = worst["age"][0]
    assert f"label {first['label_age']:g}" in page.texts
    assert f"predicted {first['age']:.1f}" in page.texts
    assert f"90 %: {first['age_low']:.0f} to {first['age_high']:.0f}" in page.texts
    assert f"predicted {'fe' if first['p_female'] >= 0.5 else ''}male 95 %" in page.texts
