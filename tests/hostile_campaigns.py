"""Campaigns whose cases fail in each of the ways that the fuzzers have to notice."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import numpy as np

from arcage.errors import ImageError
from tools.fuzz.campaign import Case, SilentChange, Verdict

MIB = 1 << 20


class _Base:
    seconds = 20.0
    memory = 100 * MIB

    def prepare(self, folder: Path) -> None:
        (folder / "seed").write_bytes(b"seed")

    def case(self, rng: np.random.Generator) -> Case:
        return Case(rng.bytes(8), about="eight random bytes")


class Well(_Base):
    """Half of the cases are answered, the others refused."""

    name = "well"

    def run(self, case: Case) -> Verdict:
        if case.data[0] % 2:
            raise ImageError("refused")
        return "answered"


class Crash(_Base):
    """Every case ends the process by a segmentation fault."""

    name = "crash"

    def run(self, case: Case) -> Verdict:
        print("about to crash", flush=True)
        ctypes.string_at(0)
        return "answered"


class Exits(_Base):
    """A case ends the process without a signal."""

    name = "exits"

    def run(self, case: Case) -> Verdict:
        os._exit(0)


class Hangs(_Base):
    """A case never ends."""

    name = "hangs"
    seconds = 0.2

    def run(self, case: Case) -> Verdict:
        while True:
            time.sleep(1)


class Slow(_Base):
    """A case takes longer than the whole run may."""

    name = "slow"

    def run(self, case: Case) -> Verdict:
        time.sleep(10)
        return "answered"


class SlowOnce(_Base):
    """The first case is late the first time: the machine was busy."""

    name = "slow once"
    seconds = 0.5

    def run(self, case: Case) -> Verdict:
        mark = Path(os.environ["SLOW_ONCE"])
        if not mark.exists():
            mark.touch()
            time.sleep(100)
        return "answered"


class Raises(_Base):
    """Every case raises an exception that is not an error of arcage; SystemExit is one as well."""

    name = "raises"

    def run(self, case: Case) -> Verdict:
        raise SystemExit(3) if case.data[0] % 2 else KeyError("lost")


class Changes(_Base):
    """Every case is answered wrong."""

    name = "changes"

    def run(self, case: Case) -> Verdict:
        raise SilentChange("35 years became 20")


class Peak(_Base):
    """Every case takes 200 MiB for a moment."""

    name = "peak"

    def run(self, case: Case) -> Verdict:
        np.ones(200 * MIB, np.uint8)
        return "answered"


class Grows(_Base):
    """A case takes more and more memory, and would never end."""

    name = "grows"

    def run(self, case: Case) -> Verdict:
        taken = []
        while True:
            taken.append(np.ones(10 * MIB, np.uint8))
            time.sleep(0.01)


class Unprepared(_Base):
    """The seeds are missing."""

    name = "unprepared"

    def prepare(self, folder: Path) -> None:
        raise FileNotFoundError("no seeds here")
