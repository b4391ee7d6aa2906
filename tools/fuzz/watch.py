"""Run a campaign in worker processes, and count what happens."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tools.fuzz.campaign import Campaign, limits
from tools.fuzz.worker import Outcome, Reply, status_bytes, work

FAILURES: tuple[Outcome, ...] = ("crash", "silent", "traceback", "time", "memory")
KEPT = 10
"""Number of failed cases of each kind that are kept."""
PREPARATION = 300.0
"""Limit of the preparation of a worker, seconds."""
LEAST = 2.0
"""Time for cases after the preparation, even if the deadline is over, seconds."""
_TICK = 0.05
_ENDED: tuple[Outcome, ...] = ("crash", "time", "memory")
"""Outcomes after which the worker is started again."""


class CannotStartError(Exception):
    """The worker of a campaign ends before its first case."""


@dataclass
class Tally:
    """What happened in a campaign so far."""

    name: str
    counts: Counter[Outcome] = field(default_factory=Counter)
    failures: list[tuple[int, Reply]] = field(default_factory=list)
    """Number of the case and what happened, at most :data:`KEPT` of each kind."""
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tried(self) -> int:
        """Number of cases."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Number of cases that neither were answered nor refused."""
        return sum(self.counts[kind] for kind in FAILURES)

    def add(self, number: int, reply: Reply) -> None:
        """Count a case."""
        with self._lock:
            self.counts[reply.outcome] += 1
            if reply.outcome in FAILURES and self.counts[reply.outcome] <= KEPT:
                self.failures.append((number, reply))


class Worker:
    """A process that tries cases, and is ended if one of them takes too long or too much memory."""

    def __init__(self, campaign: type[Campaign], seed: int, numbers: range, keep: Path | None = None) -> None:
        self._seconds, self._memory = limits(campaign)
        self._folder = Path(tempfile.mkdtemp(prefix="arcage-fuzz-worker-"))
        context = multiprocessing.get_context("spawn")
        self._connection, far_end = context.Pipe(duplex=False)
        arguments = (campaign, seed, numbers, keep, self._folder, far_end)
        self._process = context.Process(target=_lead, args=arguments)
        self._process.start()
        far_end.close()
        self._resident = 0
        ready = self.wait(seconds=PREPARATION)
        if ready is None or ready.outcome != "answered":
            self.close()
            raise CannotStartError(f"{campaign.name} cannot start: {ready.text if ready else 'too late'}")

    def wait(self, *, seconds: float | None = None, deadline: float = float("inf")) -> Reply | None:
        """Wait for the next reply; None if the deadline passes first."""
        seconds = self._seconds if seconds is None else seconds
        end = time.monotonic() + seconds
        while not self._connection.poll(_TICK):
            now = time.monotonic()
            if now > deadline:
                return None
            if now > end:
                return Reply("time", f"no answer within {seconds:g} s\n{self._output()}")
            (resident,) = status_bytes(self._process.pid or 0, "VmRSS")
            if self._resident and resident - self._resident > self._memory:
                grown = (resident - self._resident) / 1e6
                return Reply("memory", f"{grown:,.0f} MB and growing\n{self._output()}")
        try:
            reply: Reply = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Reply("crash", f"{_cause(self._process.exitcode)}\n{self._output()}")
        self._resident = reply.resident
        return reply

    def close(self) -> None:
        """End the process and those that it started, and remove its files."""
        try:
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.join()
        self._process.close()
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _output(self) -> str:
        try:
            return (self._folder / "output").read_bytes()[-4000:].decode("utf-8", "replace")
        except OSError:
            return ""


def run(
    campaign: type[Campaign], seed: int, numbers: range, *, jobs: int = 1, deadline: float = float("inf")
) -> Tally:
    """Run a campaign.

    Args:
        campaign: the class.
        seed: with the number, it determines a case.
        numbers: of the cases.
        jobs: number of worker processes.
        deadline: the campaign ends then, by the monotonic clock, but not before :data:`LEAST` seconds after
            its preparation.

    Raises:
        CannotStartError: the preparation failed.
    """
    tally = Tally(campaign.name)
    started = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        parts = [part for job in range(jobs) if (part := numbers[job::jobs])]
        for done in [pool.submit(_run_part, campaign, seed, part, deadline, tally) for part in parts]:
            done.result()
    tally.seconds = time.monotonic() - started
    return tally


def repeat(name: str, seed: int, number: int) -> str:
    """Return the command that tries a case again."""
    return f"python -m tools.fuzz {shlex.quote(name)} --seed {seed} --only {number}"


def keep(campaign: type[Campaign], seed: int, tally: Tally, folder: Path) -> None:
    """Write the failed cases of a campaign to a folder, each with the command that repeats it."""
    for number, reply in tally.failures:
        place = folder / f"{campaign.name}-{seed}-{number}-{reply.outcome}"
        place.mkdir(parents=True, exist_ok=True)
        command = repeat(campaign.name, seed, number)
        (place / "about.txt").write_text(f"{command}\n\n{reply.outcome}: {reply.text}\n", "utf-8")
        cases = place / "case"
        try:
            worker = Worker(campaign, seed, range(number, number + 1), keep=cases)
            worker.wait()
            worker.close()
        except CannotStartError:
            continue


def _run_part(campaign: type[Campaign], seed: int, numbers: range, deadline: float, tally: Tally) -> None:
    worker, repeated = Worker(campaign, seed, numbers), None
    # A long preparation does not take all the time.
    deadline = max(deadline, time.monotonic() + LEAST)
    while True:
        try:
            while numbers:
                reply = worker.wait(deadline=deadline)
                if reply is None:
                    return
                if reply.outcome == "time" and repeated != numbers[0]:
                    # A busy machine is slow as well: only a case that is late twice counts.
                    repeated = numbers[0]
                    break
                tally.add(numbers[0], reply)
                numbers = numbers[1:]
                if reply.outcome in _ENDED or time.monotonic() > deadline:
                    break
        finally:
            worker.close()
        if not numbers or time.monotonic() > deadline:
            return
        worker = Worker(campaign, seed, numbers)


def _lead(*arguments: object) -> None:
    # The group of this process is ended as a whole, and Ctrl-C is left to the process that watches.
    os.setsid()
    work(*arguments)  # type: ignore[arg-type]


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"ended by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"
