from __future__ import annotations

import sys

import pytest


@pytest.fixture
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the packages of the extra ``[formats]`` impossible to import."""
    for name in ("pi_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, name, None)
