"""The number of processors that arcage uses."""

from __future__ import annotations

import os

import pytest

from arcage.embedder.engines.base import cores


def test_cores_are_those_of_this_process_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    available = cores()
    assert 1 <= available <= (os.cpu_count() or 1)
    monkeypatch.setenv("PYTHON_CPU_COUNT", "7")
    assert cores() == 7
    for invalid in ("", "0", "-1", "many", "default"):
        monkeypatch.setenv("PYTHON_CPU_COUNT", invalid)
        assert cores() == available
