from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the fake pipeline in the place of the real one."""
    fakes.install(monkeypatch.setattr)
    monkeypatch.setattr(fakes.FakeHeads, "calls", [])


@pytest.fixture
def arcage(fake: None) -> Callable[..., Any]:
    """Run the command line on the fake pipeline; gives exit_code, stdout and stderr."""
    from arcage.cli import app

    def run(*arguments: object, stdin: bytes | None = None) -> Any:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start ``arcage`` on the fake pipeline as a process of its own; keywords are the fake's variables."""

    def popen(*arguments: object, **variables: object) -> subprocess.Popen[str]:
        environment = {name: str(value) for name, value in variables.items()}
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "fakes.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        )

    return popen


@pytest.fixture
def bundled() -> None:
    """Needs the bundled models and heads."""
    package = ROOT / "arcage"
    for part in ("embedder/models/pack.json", "heads/default/manifest.json"):
        if not (package / part).exists():
            pytest.skip(f"arcage/{part} is not built")
