"""Standard streams: terminals, files, pipes, closed streams and full disks."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import face, image

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX: pseudo-terminals and a shell")


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., Any]:
    """Run a shell command with ``arcage`` on the fake pipeline; standard input and error are a terminal."""
    (tmp_path / "arcage").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/fakes.py "$@"\n')
    (tmp_path / "arcage").chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TERM": "xterm",
        "OMP_NUM_THREADS": "1",
    }

    def run(line: str, stdout: Any = subprocess.PIPE) -> Any:
        from terminals import Terminal

        terminal = Terminal()
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            cwd=tmp_path,
            env=environment,
            stdin=terminal.theirs,
            stdout=terminal.theirs if stdout is None else stdout,
            stderr=terminal.theirs,
            check=False,
        )
        done.stderr = terminal.text()
        return done

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(image(face(number + 20), width=number + 1))
    (tmp_path / "list.txt").write_text("".join(f"in/{number}.jpg\n" for number in range(5)))
    return folder


AGES = ["20.0", "21.0", "22.0", "23.0", "24.0"]


def ages(text: str) -> list[str]:
    return [row["age"] for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize(
    "command",
    [
        "predict in > out",
        "predict in --cache c > out",
        "predict in/0.jpg in/1.jpg in/2.jpg in/3.jpg in/4.jpg | cat > out",
        "predict --from-file list.txt > out",
        "predict --from-file - < list.txt > out",
        "predict in --report out.html > out",
        "predict in --format jsonl > out",
        "predict in --format table > out",
    ],
)
def test_rows_are_complete_with_a_progress_bar_on_the_terminal(
    shell: Any, photos: Path, command: str
) -> None:
    done = shell(f"arcage {command}")
    text = (photos.parent / "out").read_text()
    assert done.returncode == 0
    if "jsonl" in command:
        assert [f"{json.loads(line)['age']:.1f}" for line in text.splitlines()] == AGES
    elif "table" in command:
        assert [line.split()[0] for line in text.splitlines()[1:]] == AGES
    else:
        assert ages(text) == AGES
    assert "Predicting" in done.stderr
    assert "det_score" not in done.stderr


def test_shards_on_a_terminal(shell: Any, photos: Path) -> None:
    parts = [shell(f"arcage predict in --shard {i}/2") for i in (1, 2)]
    assert [part.returncode for part in parts] == [0, 0]
    assert sorted(ages(parts[0].stdout.decode()) + ages(parts[1].stdout.decode())) == AGES
    assert all("Predicting" in part.stderr for part in parts)


def test_a_pipe_that_is_closed_early(shell: Any, photos: Path) -> None:
    done = shell("arcage predict in | head -n 3")
    assert done.returncode == 0
    assert ages(done.stdout.decode()) == AGES[:2]
    assert "Traceback" not in done.stderr


def test_a_table_on_the_terminal_has_no_bar(shell: Any, photos: Path) -> None:
    for line in ("arcage predict in", "arcage predict in 2> words"):
        done = shell(line, stdout=None)
        assert done.returncode == 0
        lines = done.stderr.splitlines()
        assert [age in line for age, line in zip(AGES, lines[1:6], strict=True)] == [True] * 5
        assert "Predicting" not in done.stderr
    words = (photos.parent / "words").read_text()
    assert words.startswith("5 images")


def test_no_progress_bar_without_a_terminal(shell: Any, photos: Path) -> None:
    done = shell("arcage predict in 2> words < /dev/null")
    assert (done.returncode, ages(done.stdout.decode()), done.stderr) == (0, AGES, "")
    assert (photos.parent / "words").read_text().count("\n") == 1


def test_extracting_prints_nothing_on_standard_output(shell: Any, photos: Path) -> None:
    done = shell("arcage extract in --cache c --augment 1")
    assert (done.returncode, done.stdout) == (0, b"")
    assert "Variant 1 of 1" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", ">&- 2>&- <&-", "> /dev/full"])
@pytest.mark.parametrize("command", ["--help", "predict --help", "--version", "predict in", "models list"])
def test_closed_and_full_streams(shell: Any, photos: Path, command: str, closed: str) -> None:
    if "full" in closed and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    done = shell(f"arcage {command} {closed}")
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    if ">&-" in closed.replace("2>&-", "") or "full" in closed:
        why = "No space left on device" if "full" in closed else "it is closed"
        words = f"arcage: cannot write to standard output: {why}; redirect it to a file or another program"
        assert done.returncode == 3
        assert (words in done.stderr) == ("2>&-" not in closed)
    else:
        assert done.returncode == 0
        assert done.stdout


def test_messages_that_cannot_be_written_are_ignored(shell: Any, photos: Path) -> None:
    (photos / "5.txt").write_text("no photo")
    done = shell("arcage predict in in/5.txt 2> /dev/full")
    assert done.returncode == 0
    assert ages(done.stdout.decode())[:5] == AGES
    assert shell("arcage predict --nonsense 2> /dev/full").returncode == 2
    assert shell("arcage --help | true").returncode == 0


def test_an_output_file_with_closed_streams(shell: Any, photos: Path) -> None:
    done = shell("arcage predict in --out out.csv >&- 2>&- <&-")
    assert done.returncode == 0
    assert ages((photos.parent / "out.csv").read_text()) == AGES


def test_closed_standard_input(shell: Any, photos: Path) -> None:
    done = shell("arcage predict - <&-")
    assert done.returncode == 1
    assert "empty file" in done.stdout.decode()


def test_standard_error_has_no_control_characters() -> None:
    code = r"""
import logging, sys, warnings
from arcage.process.streams import prepare_streams, with_controls
prepare_streams()
text = "\x1b]0;x\x07\u202e"
with_controls(sys.stderr).write("\x1b[2K")
warnings.warn(text)
logging.getLogger("x").error(text)
print("line", "tab\t.", file=sys.stderr)
raise ValueError(text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    said = done.stderr.decode("ascii")
    assert said.count(r"\x1b]0;x\x07\u202e") == 3
    assert said.startswith("\x1b[2K")
    assert said.count("\x1b") == 1
    assert "line tab\t.\n" in said
    assert "ValueError" in said
