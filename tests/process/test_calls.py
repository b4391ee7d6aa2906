"""Calls in another process: results, questions, exceptions, and a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import call_jobs
import pytest
from processes import alive, ends

from arcage.process.calls import CallProcess, ProcessDiedError

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX: signals")


def start(threads: int = 4) -> CallProcess:
    return CallProcess(call_jobs.serve, threads=threads, environment={"ARCAGE_TEST": "1"})


@pytest.fixture(scope="module")
def process() -> Iterator[CallProcess]:
    process = start()
    yield process
    process.close()


@pytest.mark.parametrize("value", [None, ["ä", {1: (2.5, b"x")}], os.urandom(3_000_000)])
def test_a_result(process: CallProcess, value: Any) -> None:
    assert process.call(("echo", value)) == value


def test_calls_run_at_once_and_get_their_own_answers(process: CallProcess) -> None:
    def ask(number: int) -> int:
        return int(process.call(("ask", number), lambda question: question * 10))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(200))) == list(range(0, 2000, 10))
        start = time.monotonic()
        assert len(set(threads.map(lambda _: process.call(("sleep", 0.5)), range(4)))) == 1
        assert time.monotonic() - start < 1.9


def test_an_error_in_an_answer_is_that_of_the_caller(process: CallProcess) -> None:
    def refuse(_: Any) -> None:
        raise KeyError("no answer")

    with pytest.raises(KeyError, match="no answer"):
        process.call(("ask", 1), refuse)


def test_errors_are_raised_here_and_say_where_they_were(process: CallProcess) -> None:
    with pytest.raises(ValueError, match="no") as raised:
        process.call(("fail", "value"))
    assert raised.value.args == ("no",)
    assert "call_jobs.py" in raised.value.__notes__[0]
    with pytest.raises(RuntimeError, match="1 and 2"):
        process.call(("fail", "unpicklable"))
    with pytest.raises(SystemExit):
        process.call(("fail", "exit"))
    with pytest.raises(AttributeError):
        process.call(("echo", lambda: None))  # not sent
    assert process.call(("echo", 1)) == 1


def test_the_environment(process: CallProcess) -> None:
    assert process.call(("environment", "ARCAGE_TEST")) == "1"


@posix
def test_signals_of_the_terminal_do_not_end_it(process: CallProcess) -> None:
    pid = process.call(("pid",))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert process.call(("pid",)) == pid
    assert os.getsid(pid) != os.getsid(0)


@posix
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (("end", signal.SIGKILL), "was killed, probably because memory ran out"),
        (("end", signal.SIGSEGV), r"crashed \(SIGSEGV\)"),
        (("leave", 3), "ended with exit code 3"),
    ],
)
def test_a_process_that_dies(how: Any, reason: str) -> None:
    process = start()
    with ThreadPoolExecutor(2) as threads:
        other = threads.submit(process.call, ("sleep", 30))
        while not process.call(("pid",)):
            pass
        with pytest.raises(ProcessDiedError, match=f"^{reason}$"):
            process.call(how)
        with pytest.raises(ProcessDiedError, match=f"^{reason}$"):
            other.result()
    with pytest.raises(ProcessDiedError, match=f"^{reason}$"):
        process.call(("pid",))
    assert process.has_ended
    process.close()


def test_closing_ends_it_and_its_calls_immediately() -> None:
    process = start()
    pid = process.call(("pid",))
    errors: list[str] = []

    def wait() -> None:
        with pytest.raises(ProcessDiedError) as raised:
            process.call(("sleep", 30))
        errors.append(str(raised.value))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    process.close()
    thread.join(2)
    assert errors == ["was closed"]
    assert not alive(pid)
    process.close()


def test_it_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProcessDiedError, match=r"^cannot be started: "):
        start()


class Missing:
    """Cannot be imported by another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return call_jobs.fail, ("value",)


def test_a_function_that_cannot_be_loaded() -> None:
    process = CallProcess(Missing(), threads=1, environment={})  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            process.call(1)
    process.close()


PARENT = """
import time
import call_jobs
from arcage.process.calls import CallProcess
process = CallProcess(call_jobs.serve, threads=2, environment={})
print(process.call(("pid",)), flush=True)
process.call(("sleep", 60))
"""


def test_it_ends_with_the_process_that_started_it() -> None:
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    assert ends(pid, 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX: fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_leaves_it_alone(process: CallProcess) -> None:
    pid = process.call(("pid",))
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert process.call(("pid",)) == pid
