"""Lists of paths and URLs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arcage.sources.lists import read_list
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

_NAMES = ["a.jpg", "b c.png", "größe/ü.jpg", "https://example.org/a.jpg", "-", "x" * 300, "a\\b.jpg"]


class Lists:
    """Text with one path a line, in several encodings."""

    name = "lists"

    def prepare(self, folder: Path) -> None:
        self._file = folder / "list.txt"
        text = "\n".join(_NAMES)
        self._seeds = [text.encode(encoding) for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")]
        self._seeds += [
            "\0".join(_NAMES).encode(),
            text.replace("\n", "\r\n").encode(),
            b"path,age\na.jpg,3\n",
        ]

    def case(self, rng: np.random.Generator) -> Case:
        seed = self._seeds[int(rng.integers(len(self._seeds)))]
        return Case(seed if rng.integers(20) == 0 else mutate(rng, seed, self._seeds))

    def run(self, case: Case) -> Verdict:
        self._file.write_bytes(case.data)
        entries = read_list(self._file)
        if any("\0" in entry or ("\n" in entry and b"\0" not in case.data) for entry in entries):
            raise SilentChange(f"an entry holds a separator: {entries!r:.200}")
        return "answered"
