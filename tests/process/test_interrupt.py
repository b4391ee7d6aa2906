"""Signals: finished results are kept after every signal, even if several are sent."""

from __future__ import annotations

import contextlib
import csv
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FINGERPRINT, face, image

from arcage.cache import Cache
from arcage.files import atomic_write
from arcage.heads.store import load_heads, save_heads
from arcage.output.formats import write_file
from arcage.prediction.write import write_predictions
from arcage.predictor import Predictor
from arcage.process import interrupt
from arcage.process.interrupt import handle_signals, uninterrupted
from arcage.sources.walk import walk

ROOT = Path(__file__).parents[2]
KEPT = "arcage: interrupted; finished results are kept\n"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03}.jpg").write_bytes(image(face(number % 80), width=number + 1))
    return folder


def run(script: str, *arguments: object, ignored: int | None = None, **variables: object) -> Any:
    """Start a script that can import ``fakes``."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for background jobs
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "OMP_NUM_THREADS": "1",
            **{name: str(value) for name, value in variables.items()},
        },
    )


def wait_for(path: Path, lines: int) -> None:
    end = time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < end, f"{path} has not {lines} lines"
        time.sleep(0.01)


def in_cache(folder: Path) -> int:
    return len(Cache(folder, FINGERPRINT)) if Cache.fingerprints(folder) else 0


def paths(table: Path) -> list[str]:
    with table.open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_finished_results_are_kept_after_every_signal(
    photos: Path, tmp_path: Path, start: Callable[..., Any], name: str
) -> None:
    cache, out, log = (tmp_path / part for part in ("cache", "out.csv", "log"))
    process = start("predict", photos, "--cache", cache, "--out", out, FAKE_DELAY=0.01, FAKE_LOG=log)
    wait_for(log, 150)
    process.send_signal(getattr(signal, name))
    _, words = process.communicate(timeout=30)
    assert (process.returncode, words) == (130, KEPT)
    assert paths(out) == [str(photos / f"{n:03}.jpg") for n in range(len(paths(out)))]
    assert 32 <= len(paths(out)) <= in_cache(cache) < 300
    assert in_cache(cache) >= 149
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "in", "log", "out.csv"]
    assert Cache(cache, FINGERPRINT).unfinished() == []


SLOW = """
import time, fakes
from arcage.cache.parts import PartFolder
write = PartFolder.write
def slow(*arguments):
    print("writing", flush=True)
    time.sleep(SECONDS)
    return write(*arguments)
PartFolder.write = slow
"""


@pytest.mark.parametrize("signals", [["SIGINT"] * 2, ["SIGINT"] * 6, ["SIGTERM", "SIGINT", "SIGHUP"]])
def test_repeated_signals_do_not_lose_results(photos: Path, tmp_path: Path, signals: list[str]) -> None:
    log, cache = tmp_path / "log", tmp_path / "cache"
    script = SLOW.replace("SECONDS", "0.4") + "fakes._main()"
    process = run(script, "extract", photos, "--cache", cache, FAKE_DELAY=0.01, FAKE_LOG=log)
    wait_for(log, 50)
    process.send_signal(getattr(signal, signals[0]))
    assert process.stdout.readline() == "writing\n"
    for name in signals[1:]:
        process.send_signal(getattr(signal, name))
        time.sleep(0.05)
    _, words = process.communicate(timeout=30)
    assert (process.returncode, words) == (130, KEPT)
    assert 49 <= in_cache(cache) < 300


def test_a_stuck_process_can_be_ended(photos: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        SLOW.replace("SECONDS", "60")
        + "from arcage.process import interrupt\ninterrupt.GRACE_SECONDS = 1.0\n"
    )
    arguments = "extract", photos, "--cache", tmp_path / "cache"
    process = run(script + "fakes._main()", *arguments, FAKE_DELAY=0.01, FAKE_LOG=log)
    wait_for(log, 50)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.2)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=5)
    assert process.returncode == 130
    assert words == "arcage: ended immediately; unwritten results are lost\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_is_ignored_stays_ignored(photos: Path, tmp_path: Path, name: str) -> None:
    log, out = tmp_path / "log", tmp_path / "out.csv"
    number = getattr(signal, name)
    # Without fakes._main, which sets a handler for SIGINT.
    script = (
        "import sys, time, fakes; fakes.install()\n"
        f"log = open({str(log)!r}, 'a', buffering=1)\n"
        "fakes.FakeExtractor.computed = staticmethod(lambda sha256: log.write(sha256 + '\\n'))\n"
        "from arcage.cli import main; main()"
    )
    process = run(script, "predict", photos, "--out", out, "-q", ignored=number, FAKE_DELAY=0.003)
    wait_for(log, 50)
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    assert (process.returncode, words) == (0, "")
    assert len(paths(out)) == 300


def test_closing_the_terminal_ends_a_run_like_ctrl_c(photos: Path, tmp_path: Path) -> None:
    cache, out, log = (tmp_path / part for part in ("cache", "out.csv", "log"))
    command = [sys.executable, str(ROOT / "tests/fakes.py"), "predict", str(photos)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "FAKE_DELAY": "0.01", "FAKE_LOG": str(log)}
    process, terminal = pty.fork()
    if not process:
        os.execve(sys.executable, [*command, "--cache", str(cache), "--out", str(out)], variables)
    # Reads the progress bar, because a full terminal buffer would block the process.
    reader = threading.Thread(target=drain, args=(terminal,))
    reader.start()
    wait_for(log, 150)
    # The kernel sends this when the window is closed. It also disconnects the reader of the terminal.
    os.kill(process, signal.SIGHUP)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    reader.join()
    assert 32 <= len(paths(out)) <= in_cache(cache) < 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "in", "log", "out.csv"]


def drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 1 << 16):
            pass
    os.close(terminal)


def test_a_signal_during_the_import_of_arcage(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(
        "import signal, sys\nsignal.raise_signal(signal.SIGINT)\n"
        f"sys.path.remove({str(tmp_path)!r})\ndel sys.modules['typer']\nimport typer\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "arcage", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("makes", ["ImportError('half')", "SystemError('half')", "KeyboardInterrupt"])
def test_a_signal_during_the_import_of_a_library(makes: str) -> None:
    """Some libraries convert the interrupt into an error of their own."""
    script = f"""
import signal, arcage.embedder.packs.inventory
def load():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise {makes}
arcage.embedder.packs.inventory.list_models = load
from arcage.cli import main; main()
"""
    process = run(script, "models", "list")
    _, words = process.communicate(timeout=30)
    assert (process.returncode, words) == (130, KEPT)


@pytest.mark.parametrize(
    "stuck",
    [
        "from arcage.heads.parallel import parallel_map\n"
        "    list(parallel_map(lambda _: time.sleep(30), range(4)))",
        "from arcage.embedder.extractor import Extractor\n"
        "    next(Extractor().stream([(None, lambda: time.sleep(30))]))",
    ],
    ids=["fit", "read"],
)
def test_threads_are_not_waited_for(bundled: None, stuck: str) -> None:
    script = f"""
import os, signal, threading, time, arcage.embedder.packs.inventory
def work():
    threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    {stuck}
arcage.embedder.packs.inventory.list_models = work
from arcage.cli import main; main()
"""
    begin = time.monotonic()
    process = run(script, "models", "list")
    _, words = process.communicate(timeout=60)
    assert (process.returncode, words) == (130, KEPT)
    assert time.monotonic() - begin < 20


def wait(lost: object) -> None:
    del lost
    threading.Event().wait(20)


def test_an_interrupt_in_a_destructor_is_raised_again(capfd: pytest.CaptureFixture[str]) -> None:
    class Lost:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), handle_signals():
        wait(Lost())
    assert "ignored" not in capfd.readouterr().err


def test_an_interrupt_is_not_raised_again_after_the_block() -> None:
    """The process would be killed by the signal's default action."""

    class Lost:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with handle_signals():
        Lost()
    time.sleep(4 * interrupt._RETRY_SECONDS)
    assert not interrupt.is_stopping()


def test_a_deferred_signal_is_delivered_at_the_end_of_the_block() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("after")

    with handle_signals():
        with pytest.raises(KeyboardInterrupt):
            work()
        signal.raise_signal(signal.SIGTERM)  # the second
        interrupt.forget_signal()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert done == ["inner", "outer"]


def test_no_row_is_lost_at_the_end(
    fake: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def interrupted(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)
        sync(descriptor)

    answers = Predictor().stream(walk([str(photos)]))
    monkeypatch.setattr(os, "fsync", interrupted)
    with handle_signals(), pytest.raises(KeyboardInterrupt):
        write_predictions(answers, write_file(tmp_path / "out.csv"))
    assert len(paths(tmp_path / "out.csv")) == 300


def test_heads_are_replaced_completely(
    bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = load_heads()
    save_heads(heads, tmp_path, "old")
    replace = os.replace

    def interrupted(source: str, target: str) -> None:
        replace(source, target)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "replace", interrupted)
    with handle_signals(), pytest.raises(KeyboardInterrupt):
        save_heads(heads, tmp_path, "new")
    assert load_heads(tmp_path).fingerprint == heads.fingerprint
    assert (tmp_path / "model-card.md").read_text() == "new"


def test_an_interrupted_file_is_removed(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "out") as file:
            file.write(b"x")
            signal.raise_signal(signal.SIGTERM)

    with handle_signals(), pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_the_library_handles_no_signals(fake: None, photos: Path, tmp_path: Path) -> None:
    import arcage.cli

    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(number) for number in numbers]
    seen = []
    stream = Predictor(cache=tmp_path / "cache").stream(walk([str(photos)]))
    for _ in stream:
        seen.append([signal.getsignal(number) for number in numbers])
    with handle_signals():
        assert [signal.getsignal(number) for number in numbers] == [interrupt._stop] * 3
    assert arcage.cli.main
    assert seen == [before] * 300
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_library_that_sets_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    with handle_signals():
        with interrupt.keep_handlers():
            signal.signal(signal.SIGTERM, lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
