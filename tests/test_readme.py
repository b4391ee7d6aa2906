"""What the README and the first pages of the guide show is what arcage does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
GUIDE = ROOT / "docs" / "guide"


def run(*command: str, compiled: Path) -> str:
    environment = {**os.environ, "XDG_CACHE_HOME": str(compiled)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_the_transcript_is_what_the_command_prints(bundled: None, compiled: Path) -> None:
    shown = re.search(r"```\n(  age  90 %.*?)\n```", README, re.DOTALL)
    assert shown is not None
    printed = run(
        *(sys.executable, "-m", "arcage", "predict", "examples/astronaut.jpg", "--format", "table"),
        compiled=compiled,
    ).rstrip()
    assert printed.splitlines()[0] == shown[1].splitlines()[0]
    expected, found = shown[1].splitlines()[1].split(), printed.splitlines()[1].split()
    # Runtimes of other versions and processors may differ in the last digit.
    assert float(found[0]) == pytest.approx(float(expected[0]), abs=0.3)
    assert found[2] == expected[2]
    assert found[-1] == expected[-1]


def test_the_python_example_runs(bundled: None, compiled: Path) -> None:
    example = re.search(r"```python\n(.*?)```", (GUIDE / "python.md").read_text("utf-8"), re.DOTALL)
    assert example is not None
    printed = run(sys.executable, "-c", example[1], compiled=compiled)
    assert re.fullmatch(r"\d+ \(\d+ to \d+\), female \d+ %\n", printed)


def test_files_that_it_names_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_columns_are_those_of_the_output() -> None:
    from arcage.output.rows import COLUMNS

    assert f"`{', '.join(COLUMNS)}`" in (GUIDE / "output.md").read_text("utf-8")
