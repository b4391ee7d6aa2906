"""Labelled images on disk, and heads that are fitted on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faces import FAST, fit_quickly
from projects import SHARE, fit, labelled, made_up, project, ready, run  # noqa: F401

from arcage.data.labelled import LabelledFaces
from arcage.training.fit import Fitted


@pytest.fixture(scope="module", autouse=True)
def _quick_fits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        fit_quickly(patch)
        yield


@pytest.fixture(scope="session")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> LabelledFaces:
    return labelled(made_up(tmp_path_factory.mktemp("made up") / "cache"))


@pytest.fixture(scope="session")
def boosted(everyone: LabelledFaces, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Path]:
    out = tmp_path_factory.mktemp("heads") / "new" / "heads"
    return fit(everyone, out, settings=FAST, holdout=SHARE), out
