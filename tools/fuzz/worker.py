"""Run cases one after the other in a process that may die."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, NamedTuple

from tools.fuzz.campaign import Campaign, SilentChange, limits, random_numbers

Outcome = Literal["answered", "refused", "crash", "silent", "traceback", "time", "memory"]


class Reply(NamedTuple):
    """What happened to a case."""

    outcome: Outcome
    text: str = ""
    """The reason; its first line is a summary."""
    resident: int = 0
    """Memory of the process after the case, bytes."""


def work(
    campaign_class: type[Campaign],
    seed: int,
    numbers: range,
    keep: Path | None,
    folder: Path,
    connection: Connection,
) -> None:
    """Try the cases of these numbers, and send a :class:`Reply` after each. The first reply says "ready".

    Args:
        campaign_class: is created and prepared here.
        seed: of the campaign.
        numbers: of the cases.
        keep: write the cases to this folder, each into a folder named by its number, instead of trying them.
        folder: for the files of the campaign and for what is printed.
        connection: receives the replies.
    """
    import resource  # POSIX only

    _redirect_output(folder / "output")
    _end_with(os.getppid())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tempfile.tempdir = str(folder / "tmp")
    (folder / "tmp").mkdir()
    (folder / "files").mkdir()
    campaign = campaign_class()
    campaign.prepare(folder / "files")
    connection.send(Reply("answered", "ready", _memory()[1]))
    for number in numbers:
        if keep is not None:
            campaign.case(random_numbers(campaign, seed, number)).write(keep / str(number))
            reply = Reply("answered")
        else:
            reply = _try(campaign, seed, number)
            # Only the output of the last case is of interest, and a decoder may print a lot.
            os.ftruncate(2, 0)
        connection.send(reply)


def _try(campaign: Campaign, seed: int, number: int) -> Reply:
    # Imported late, so that the campaign decides what is loaded first.
    from arcage.errors import ArcageError

    case = campaign.case(random_numbers(campaign, seed, number))
    most = limits(campaign)[1]
    _forget_peak()
    peak_before, before = _memory()
    outcome: Outcome
    text = ""
    try:
        outcome = campaign.run(case)
        if outcome not in ("answered", "refused"):
            raise TypeError(f"the campaign returned {outcome!r}")
    except ArcageError:
        outcome = "refused"
    except SilentChange as change:
        outcome, text = "silent", f"{change}\n{case.about}"
    except BaseException as error:
        summary = traceback.format_exception_only(error)[-1].strip()
        outcome, text = "traceback", f"{summary}\n{case.about}\n{traceback.format_exc()}"
    peak, now = _memory()
    if peak > peak_before and peak - before > most:
        outcome, text = "memory", f"{(peak - before) / 1e6:,.0f} MB\n{case.about}"
    return Reply(outcome, text, now)


def _end_with(parent: int) -> None:
    """End this process soon after the one that watches it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _redirect_output(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    faulthandler.enable()


def _forget_peak() -> None:
    """Make the peak memory start anew, where the system allows it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def _memory() -> tuple[int, int]:
    """Return the peak of the resident memory and its present size, bytes."""
    peak, now = status_bytes(os.getpid(), "VmHWM", "VmRSS")
    if not peak:
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        peak = now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return peak, now


def status_bytes(pid: int, *names: str) -> list[int]:
    """Return values of a process that Linux counts in kB; zeros on other systems or if it has ended."""
    found = dict.fromkeys(names, 0)
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                name, _, value = line.partition(b":")
                if name.decode() in found:
                    found[name.decode()] = int(value.split()[0]) * 1024
    except (OSError, ValueError):
        pass
    return [found[name] for name in names]
