from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import alive, ends

from arcage.process import cell
from arcage.process.cell import (
    CellDiedError,
    CellError,
    CellLimits,
    CellMemoryError,
    CellStartError,
    CellTimeoutError,
    close_cells,
    run,
    run_once,
)
from arcage.process.worker import LENGTHS

SHORT = CellLimits(seconds=0.3)
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory need Linux")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_cells()
    assert not cell._state.cells


def echo(value: Any = None, payload: bytes = b"") -> Any:
    return run_once("cell_jobs:echo", {"value": value}, payload)


@pytest.mark.parametrize("size", [0, 1, 100_000, 30_000_000])
def test_a_job_gets_its_arguments_and_payload_and_sends_them_back(size: int) -> None:
    payload = os.urandom(size)
    reply = echo(["ä", 1.5, None], payload)
    assert reply.header["args"] == {"value": ["ä", 1.5, None]}
    assert reply.body == payload
    assert not reply.body.readonly


def test_a_job_sends_many_replies() -> None:
    replies = list(run("cell_jobs:count", {"replies": 5}))
    assert [(r.header["number"], bytes(r.body)) for r in replies] == [(n, bytes([n]) * n) for n in range(5)]


def test_workers_are_kept_and_one_is_started_for_each_concurrent_caller() -> None:
    assert echo().header["pid"] == echo().header["pid"]
    with closing(run("cell_jobs:count", {"replies": 2})) as busy:
        next(busy)
        other = echo().header["pid"]
        assert list(busy)
    assert {echo().header["pid"] for _ in range(5)} != {other}
    assert len(cell._state.idle) == 2
    with ThreadPoolExecutor(4) as pool:
        assert [r.header["args"]["value"] for r in pool.map(echo, range(100))] == list(range(100))
    assert len(cell._state.idle) <= 4


BAD = {
    "crash": ({}, b"", CellDiedError, "crashed .SIGSEGV"),
    "hang": ({}, b"", CellTimeoutError, "0.3 seconds"),
    "spin": ({}, b"", CellTimeoutError, "0.3 seconds"),
    "leave": ({}, b"", CellDiedError, "exit code 7"),
    "kill": ({}, b"", CellMemoryError, "memory ran out"),
    "fail": ({}, b"", CellDiedError, "ValueError: not a picture"),
    "missing": (
        {},
        b"",
        CellStartError,
        "cannot be started: .* no attribute",
    ),
    "no reply": ({}, LENGTHS.pack(2, 0) + b"[]", CellDiedError, "not a reply"),
    "unknown reply": ({}, LENGTHS.pack(2, 0) + b"{}", CellDiedError, "not a reply"),
    "huge header": ({}, LENGTHS.pack(1 << 31, 0), CellDiedError, "not a reply"),
    "huge body": ({}, LENGTHS.pack(2, 1 << 62) + b"{}", CellDiedError, "not a reply"),
    "body that does not come": ({}, LENGTHS.pack(12, 1 << 29) + b'{"reply":{}}', CellTimeoutError, "0.3"),
    "deep": ({}, LENGTHS.pack(100_000, 0) + b"[" * 100_000, CellDiedError, "not a reply"),
    "not a number": ({}, LENGTHS.pack(17, 0) + b'{"reply":{"a":NaN}}'[:17], CellDiedError, "not a reply"),
    "garbage": ({}, bytes(range(256)) * 100, CellDiedError, "not a reply"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc, and signals")
@pytest.mark.parametrize("name", BAD)
def test_a_worker_that_behaves_badly_is_replaced(name: str) -> None:
    args, payload, error, text = BAD[name]
    job = "write" if payload else name
    with pytest.raises(error, match=text):
        list(run(f"cell_jobs:{job}", args, payload, limits=SHORT))
    assert echo("next").header["args"] == {"value": "next"}


@linux
def test_memory_is_limited_beyond_imports_and_payload() -> None:
    limits = CellLimits(memory=200 << 20)
    payload = bytes(250 << 20)
    assert len(run_once("cell_jobs:allocate", {"bytes": 150 << 20}, payload, limits=limits).body) == 1
    for size in (250 << 20, 3 << 30):
        with pytest.raises(CellMemoryError):
            run_once("cell_jobs:allocate", {"bytes": size}, limits=limits)
    assert run_once("cell_jobs:allocate", {"bytes": 250 << 20}).body == b"\0"


@linux
def test_a_worker_that_keeps_much_memory_is_not_used_again() -> None:
    limits = CellLimits(memory=200 << 20)
    first = run_once("cell_jobs:keep", {"bytes": 10 << 20}, limits=limits).header["pid"]
    assert run_once("cell_jobs:keep", {"bytes": 60 << 20}, limits=limits).header["pid"] == first
    assert run_once("cell_jobs:keep", {"bytes": 10 << 20}, limits=limits).header["pid"] != first


def test_a_job_that_sends_more_than_its_reply_is_ended() -> None:
    with pytest.raises(CellDiedError, match="more than one"):
        run_once("cell_jobs:flood", {})
    with pytest.raises(CellDiedError, match="no reply"):
        run_once("cell_jobs:count", {"replies": 0})
    with closing(run("cell_jobs:flood", {})) as replies:
        assert [next(replies).body == b"more" for _ in range(1000)] == [True] * 1000
    assert not cell._state.cells


def test_standard_streams_and_ctrl_c_do_not_reach_a_job() -> None:
    assert run_once("cell_jobs:talk", {}).header == {"input": 0}


@linux
def test_memory_of_earlier_jobs_is_cleared() -> None:
    for size in (2_000, 100_000, 1_000_000):
        assert bytes(run_once("cell_jobs:old_memory", {"bytes": size}).body) == bytes(size)


def test_the_working_directory_is_not_imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "numpy", "signal", "cell_jobs"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = echo().header["path"]
    assert str(tmp_path) not in path
    assert "" not in path


def test_a_worker_that_died_while_idle_is_replaced() -> None:
    for wait in (0, 0.2):
        pid = echo().header["pid"]
        os.kill(pid, signal.SIGTERM)
        time.sleep(wait)
        assert echo().header["pid"] != pid


def test_closing_ends_busy_workers_immediately() -> None:
    pids: list[int] = []
    errors: list[CellError] = []

    def hang() -> None:
        try:
            for reply in run("cell_jobs:hang", {}, limits=CellLimits(seconds=60)):
                pids.append(reply.header["pid"])
        except CellDiedError as error:
            errors.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    idle = echo().header["pid"]
    while not pids:
        time.sleep(0.01)
    close_cells()
    thread.join(2)
    assert not thread.is_alive()
    assert str(errors[0]) == "the worker process was ended"
    assert not alive(idle)
    assert not alive(pids[0])
    assert echo("again").header["args"] == {"value": "again"}


def test_a_worker_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for executable in ("/nowhere/python", "", sys.executable.replace("python", "") + "missing"):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(CellStartError, match="cannot be started"):
            echo()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX: fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_starts_its_own_workers() -> None:
    ours = echo().header["pid"]
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.write(send, str(echo().header["pid"]).encode())
        close_cells()
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(receive, 20)) != ours
    assert echo().header["pid"] == ours
    os.close(receive)
    os.close(send)


PARENT = """
import sys, time
from arcage.process.cell import CellLimits, run
replies = run("cell_jobs:" + sys.argv[1], {"replies": 2}, limits=CellLimits(seconds=float(sys.argv[2])))
print(next(replies).header.get("pid"), flush=True)
if sys.argv[3] == "wait":
    time.sleep(60)
if sys.argv[3] == "exit_now":
    from arcage.process.interrupt import exit_now
    exit_now(3)
"""


def parent(job: str, seconds: float, then: str) -> Any:
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, job, str(seconds), then],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.skipif(os.name == "nt", reason="POSIX: signals")
@pytest.mark.parametrize(("job", "then"), [("hang", "exit"), ("spin", "exit_now"), ("spin", "wait")])
def test_workers_end_with_their_parent(job: str, then: str) -> None:
    with parent(job, 0.5, then) as process:
        pid = int(process.stdout.readline())
        if then == "wait":
            assert alive(pid)
            process.kill()
        process.wait(10)
        assert process.returncode == {"exit": 0, "exit_now": 3}.get(then, -signal.SIGKILL)
    # The processor time of an orphan is limited, to 3 seconds here.
    assert ends(pid, 1 if then == "exit_now" else 20)


def test_starting_is_lean() -> None:
    program = "import json, sys; import arcage.process.worker; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True).stdout)
    assert not {"numpy", "cv2", "subprocess", "threading", "pathlib"} & set(modules)
