from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runtimes import FakeRuntime


@pytest.fixture
def use_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FakeRuntime]:
    """Return a function that replaces the installed ONNX Runtime, and the names of its distributions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def place(runtime: Any, distributions: tuple[str, ...] = ("onnxruntime-gpu",)) -> Any:
        def version(name: str) -> str:
            if name in distributions:
                return "1.31.0"
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        monkeypatch.setattr(importlib.metadata, "version", version)
        return runtime

    return place
