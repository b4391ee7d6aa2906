"""Reports and descriptions that several modules check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from age_checks import planted
from labelled_sets import labelled, made_up
from reports import Made, answer, make, report_on

from arcage.audit.describe import describe
from arcage.evaluation.assurance import age_assurance


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    faces, cache = make(folder)
    full, page = report_on(
        folder / "out",
        faces,
        answer(faces),
        holdout=0.25,
        warning="too <good> to be true",
        names=cache.names(),
        images=[folder / "photos"],
    )
    return faces, full, page, folder


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Describe 120 labelled faces in four groups."""
    x, age, gender = made_up(120)
    groups = (["中文", "$x^$", "a" * 99, "ไทย"] * 30)[:120]
    columns = {"age": age.tolist(), "gender": gender.tolist(), "group": groups}
    faces, cache = labelled(tmp_path_factory.mktemp("described"), x, columns)
    return describe(faces, cache.names())


@pytest.fixture(scope="session")
def checks() -> dict[str, Any]:
    """Return a report on age checks; one of the groups has a hostile name."""
    predictions, labels = planted(60)
    labels = replace(labels, group=np.where(np.arange(len(labels)) % 3, "<b>a</b>", "b"))
    report = age_assurance(predictions, labels, {"used": 90, "no_face": 6, "unreadable": 4})
    assert report is not None
    return report
