"""What a campaign is: cases from a seed and a number, and a judgement of each answer."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

GIB = 1 << 30

Verdict = Literal["answered", "refused"]


class SilentChange(Exception):  # noqa: N818
    """The input is damaged, and the answer is not the truth, without an error that says so."""


@dataclass(frozen=True)
class Case:
    """The input of one try."""

    data: bytes = b""
    """The input, if it is one file or one message."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files by their path below a folder, for :meth:`write`."""
    about: str = ""
    """What was done to the input, for the record of a failure."""
    truth: Any = None
    """Whatever ``run`` needs to judge the answer."""

    def write(self, folder: Path) -> Path:
        """Empty a folder, write ``files`` into it (and ``data`` as ``data``), and return the folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in {**self.files, **({"data": self.data} if self.data else {})}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder


class Campaign(Protocol):
    """One kind of input. A class in a module of :mod:`tools.fuzz.campaigns`, created without arguments."""

    name: str
    seconds: float
    """Limit of a case; 5 if the class does not set it."""
    memory: int
    """Limit of the growth of the peak memory in a case, bytes; 1 GiB if the class does not set it."""

    def prepare(self, folder: Path) -> None:
        """Prepare the inputs that are damaged later. Called once in each worker process.

        The folder is new and empty, and removed with the worker. The same files have to be made each time:
        a case is repeated from its number.
        """

    def case(self, rng: np.random.Generator) -> Case:
        """Return a case that depends on the random numbers only."""

    def run(self, case: Case) -> Verdict:
        """Try a case.

        Return ``"answered"`` if the answer is right. An ``ArcageError`` counts as ``"refused"``. Any other
        exception is a failure.

        Raises:
            SilentChange: the answer is wrong.
        """


def limits(campaign: type[Campaign] | Campaign) -> tuple[float, int]:
    """Return the limits of a case: seconds and bytes."""
    return getattr(campaign, "seconds", 5.0), getattr(campaign, "memory", GIB)


def random_numbers(campaign: type[Campaign] | Campaign, seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of a case."""
    return np.random.default_rng([zlib.crc32(campaign.name.encode()), seed, number])


def campaigns() -> dict[str, type[Campaign]]:
    """Return the campaigns by name."""
    from tools.fuzz import campaigns as package

    found: dict[str, type[Campaign]] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if getattr(value, "__module__", "") == module.name and hasattr(value, "case"):
                if value.name in found:
                    raise ValueError(f"two campaigns are called {value.name}")
                found[value.name] = value
    return dict(sorted(found.items()))
