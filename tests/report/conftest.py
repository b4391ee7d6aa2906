"""Reports and descriptions that several modules check."""

from __future__ import annotations

from typing import Any

import pytest
from labelled_sets import labelled, made_up
from reports import Made, answer, make, report_on

from arcage.audit.describe import describe


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
