"""A report that several modules check."""

from __future__ import annotations

import pytest
from reports import Made, answer, make, report_on


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
