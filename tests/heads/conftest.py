"""Fixtures of heads, and of labelled images on disk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faces import FAST, faces, fit_quickly, with_labels
from projects import project, ready, run  # noqa: F401

from arcage.heads.fit import fit_heads
from arcage.heads.model import Heads


@pytest.fixture(scope="module", autouse=True)
def _quick_fits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        fit_quickly(patch)
        yield


@pytest.fixture(scope="session")
def fitted() -> Heads:
    return fit_heads(*with_labels(faces(1500, 0)), fingerprint="f" * 16, settings=FAST).heads
