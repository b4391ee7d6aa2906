"""The same rows wherever arcage runs: on a terminal, in a pipe, from cron, and without a home folder."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

ROOT = Path(__file__).parents[1]
UNKNOWN = 54321
"""A user number that no system lists."""

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def nobody(
    command: list[str], *, capabilities: tuple[str, ...] = READS_ALL, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who is not listed, without HOME, who may read and not write."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("only root can become another user, by setpriv")
    user = [setpriv, f"--reuid={UNKNOWN}", f"--regid={UNKNOWN}", "--clear-groups", *capabilities]
    if subprocess.run([*user, "true"], capture_output=True, check=False).returncode:
        pytest.skip("setpriv is not allowed here")
    dropped = ("HOME", "XDG_CACHE_HOME", "INSIGHTFACE_HOME", "LOGNAME", "USER")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return subprocess.run(
        [*user, *command],
        capture_output=True,
        text=True,
        env={**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=120,
        **more,
    )


def arcage(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "arcage", *map(str, arguments)]


@posix
def test_commands_without_a_home_folder(bundled: None) -> None:
    photo = ROOT / "examples" / "astronaut.jpg"
    done = nobody(arcage("models", "list"))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert nobody(arcage("models", "verify")).returncode == 0
    done = nobody(arcage("predict", photo, "--pack", "buffalo_l"))
    assert done.returncode == 2
    assert "set INSIGHTFACE_HOME" in done.stderr
    assert "Traceback" not in done.stderr
    done = nobody(arcage("models", "fetch", "buffalo_l"))
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    done = nobody(arcage("--install-completion"))
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "this user has no home folder" in done.stderr
    done = nobody(arcage("doctor"))
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "compiled networks" in line]
    assert line.startswith("note")
    assert "no home folder" in line


@posix
@pytest.mark.parametrize(
    "call",
    [
        "predict PHOTO --out CLOSED/a.csv",
        "predict PHOTO --out CLOSED/a.parquet",
        "predict PHOTO --report CLOSED/a.html",
        "fit --cache CACHE --labels CLOSED/labels.csv --out CLOSED/heads",
        "evaluate --cache CACHE --labels CLOSED/labels --report CLOSED/report",
    ],
)
def test_places_that_may_not_be_looked_into(bundled: None, tmp_path: Path, call: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    photo = ROOT / "docs" / "images" / "astronaut.jpg"
    assert photo.exists()
    places = {"PHOTO": photo, "CLOSED": closed / "in", "CACHE": tmp_path / "cache"}
    for name, place in places.items():
        call = call.replace(name, str(place))
    tmp_path.chmod(0o755)
    closed.chmod(0)
    none = ("--inh-caps=-all", "--bounding-set=-all")
    if nobody([sys.executable, "-c", "import typer"], capabilities=none).returncode:
        pytest.skip("other users cannot read this Python environment")
    done = nobody(arcage(*call.split()), capabilities=none)
    assert (done.returncode in (2, 3), "Traceback" in done.stderr) == (True, False), done.stderr
    assert done.stderr.splitlines()[-1].startswith("arcage: "), done.stderr


@posix
def test_plots_without_a_home_folder() -> None:
    pytest.importorskip("matplotlib")
    code = "from arcage.report.plots import check_matplotlib; check_matplotlib(); print('drawn')"
    done = nobody([sys.executable, "-c", code])
    assert (done.returncode, done.stdout, done.stderr) == (0, "drawn\n", "")


@posix
def test_matplotlib_says_nothing_of_its_folders(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    code = "from arcage.report.plots import check_matplotlib; check_matplotlib()"
    variables = {"HOME": str(tmp_path / "file"), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """57 photos, three of them broken and one over the limit of pixels, and a list that names two more."""
    folder = tmp_path_factory.mktemp("photos")
    whole = cv2.imread(str(ROOT / "examples" / "astronaut.jpg"))
    names = [f"{number:02}.jpg" for number in range(57)]
    for number, name in enumerate(names):
        part = whole[400 - number :] if number % 4 else whole[: 400 + number]  # without the face, or with it
        cv2.imwrite(str(folder / name), cv2.resize(part, (128, 128), interpolation=cv2.INTER_AREA))
    (folder / names[3]).write_bytes(b"")
    (folder / names[20]).write_bytes(b"not a photo")
    (folder / names[41]).write_bytes((folder / names[40]).read_bytes()[:300])
    header = bytearray((folder / names[50]).read_bytes())
    size = header.index(b"\xff\xc0") + 5
    header[size : size + 4] = b"\xff\xff\xff\xff"  # 65,535 x 65,535 pixels
    (folder / names[50]).write_bytes(header)
    listed = [*names[:10], "gone/1.jpg", *names[10:], "gone/2.jpg"]
    (folder / "list.txt").write_text("".join(f"{folder / name}\n" for name in listed))
    return folder


def command(photos: Path) -> list[str]:
    return arcage("predict", "--from-file", photos / "list.txt", "--format", "csv")


@pytest.fixture(scope="module")
def piped(photos: Path) -> str:
    return subprocess.run(
        command(photos),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    ).stdout


def test_the_rows_of_a_long_list(bundled: None, piped: str) -> None:
    rows = list(csv.DictReader(io.StringIO(piped)))
    expected = {f"{number:02}.jpg": "no_face" if number % 4 else "ok" for number in range(57)}
    expected |= dict.fromkeys(["1.jpg", "2.jpg"], "unreadable")  # a list is sorted too
    expected |= dict.fromkeys(["03.jpg", "20.jpg", "41.jpg", "50.jpg"], "unreadable")
    assert [(Path(row["path"]).name, row["status"]) for row in rows] == list(expected.items())
    assert all(row["error"] for row in rows if row["status"] == "unreadable")
    ages = [float(row["age"]) for row in rows if row["status"] == "ok"]
    assert len(ages) == 14
    assert all(20 < age < 55 for age in ages)


def from_cron(photos: Path) -> str:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from arcage.cli import main; main()"
    bare = [sys.executable, "-c", code, *command(photos)[3:]]
    variables = {"PATH": os.environ["PATH"]}
    return subprocess.run(bare, capture_output=True, text=True, env=variables, cwd="/", check=True).stdout


def in_a_container(photos: Path) -> str:
    done = nobody(command(photos))
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_a_terminal(photos: Path) -> str:
    from terminals import Terminal

    terminal = Terminal()
    done = subprocess.run(
        command(photos),
        stdin=terminal.theirs,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        check=True,
    )
    assert "59/59" in terminal.text()  # its bar was drawn meanwhile
    return done.stdout


@posix
@pytest.mark.parametrize("way", [from_cron, in_a_container, on_a_terminal])
def test_the_same_rows_everywhere(
    bundled: None, photos: Path, piped: str, way: Callable[[Path], str]
) -> None:
    pairs = zip(csv.reader(io.StringIO(way(photos))), csv.reader(io.StringIO(piped)), strict=True)
    for ours, theirs in pairs:
        for cell, other in zip(ours, theirs, strict=True):
            # Faces are embedded in batches as they come, which may change how the last digit is rounded.
            last = 10 ** -len(other.partition(".")[2])
            assert cell == other or float(cell) == pytest.approx(float(other), abs=1.01 * last)
