"""Shell completion: fast, and written only on request."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from imports import HEAVY

ROOT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def arcage(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with its own home folder; standard error ends with the imported modules."""
    home.mkdir(exist_ok=True)
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from arcage.cli import main\n"
        "main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "USERPROFILE": str(home)}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {name.split(".")[0] for name in done.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("arcage pre", "predict"),
        ("arcage models ", "verify"),
        ("arcage predict --ann", "--annotate"),
        ("arcage predict --faces l", "largest"),
        ("arcage predict --format la", "label-studio"),
        ("arcage fit --kind ", "lightgbm"),
    ],
)
def test_completing(home: Path, line: str, expected: str) -> None:
    word = str(len(line.split(" ")) - 1)
    done = arcage(home, _ARCAGE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=word)
    assert done.returncode == 0
    assert expected in done.stdout.split()
    assert not imported(done) & HEAVY
    assert list(home.iterdir()) == []


def test_help_writes_nothing(home: Path) -> None:
    done = arcage(home, "--help")
    assert "--install-completion" in done.stdout
    assert not imported(done) & HEAVY
    assert list(home.iterdir()) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_home_folder_that_cannot_be_written(home: Path) -> None:
    home.mkdir()
    (home / ".bashrc").mkdir()
    command = f"{sys.executable} -c 'from arcage.cli import main; main()' --install-completion; exit $?"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("arcage: the completion cannot be installed: ")
    assert str(home / ".bashrc") in line
    assert "--show-completion prints it" in line


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_installing_writes_into_the_home_folder(home: Path) -> None:
    home.mkdir()
    (home / ".bashrc").write_text("# mine\n")
    # Typer detects the shell that it was called from.
    command = f"{sys.executable} -c 'from arcage.cli import main; main()' --install-completion; true"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home)}
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, cwd=home, check=True
    )
    assert "bash completion installed" in done.stdout, done.stderr
    assert (home / ".bashrc").read_text().startswith("# mine\n")
    assert ".bash_completions/arcage.sh" in (home / ".bashrc").read_text()
    script = home / ".bash_completions" / "arcage.sh"
    assert "_ARCAGE_COMPLETE=complete_bash" in script.read_text()
    loaded = subprocess.run(
        ["bash", "-c", f". {script} && complete -p arcage"], capture_output=True, text=True
    )
    assert "_arcage_completion" in loaded.stdout
