"""Compiled networks that were damaged on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arcage.embedder.engines.onnxruntime import PROBE
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.packs.record import bundled_pack
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

_SIDE = 160
_OUTPUTS = ("y", "scores", "cells", "values", "all_scores", "all_values", "total")


class Compiled:
    """The file of a network: damaged, or swapped with that of another network."""

    name = "compiled"

    def prepare(self, folder: Path) -> None:
        pack = bundled_pack()
        self._engine = OpenVinoEngine(threads=1)
        self._engine._folder = folder
        rng = np.random.default_rng(0)
        canvas = rng.integers(0, 256, (1, _SIDE, _SIDE, 3), np.uint8)
        # The second is small: it takes little time to compile it again.
        self._inputs = {
            "yunet": (pack.read_file(*pack.detector.graphs[0]), canvas),
            "probe": (PROBE, np.full((1, 1, 1, 1), 3, np.float32)),
        }
        self._files: dict[str, Path] = {}
        self._truth = {}
        for name in self._inputs:
            before = set(folder.iterdir())
            self._truth[name] = self._outputs(name)
            (self._files[name],) = set(folder.iterdir()) - before
        self._seeds = {name: path.read_bytes() for name, path in self._files.items()}

    def case(self, rng: np.random.Generator) -> Case:
        name = "probe" if rng.integers(20) else "yunet"
        data, others = self._seeds[name], [self._seeds[other] for other in self._seeds if other != name]
        kind = int(rng.integers(20))
        if kind == 0:
            data = others[0]
        elif kind == 1:  # a disk that went bad
            block = int(rng.choice([64, 512, 4096]))
            at = int(rng.integers(len(data) // block + 1)) * block
            data = data[:at] + bytes(block) + data[at + block :]
        else:
            data = mutate(rng, data, others)
        return Case(data, truth=name)

    def run(self, case: Case) -> Verdict:
        self._files[case.truth].write_bytes(case.data)
        found = self._outputs(case.truth)
        for name, values in self._truth[case.truth].items():
            if not np.array_equal(found[name], values):
                raise SilentChange(f"{name} is different")
        return "answered"

    def _outputs(self, name: str) -> dict[str, np.ndarray]:
        model, values = self._inputs[name]
        found = self._engine.load(model, values.shape)(values)
        # Files lack the names of nodes that were merged into an output, which are not used.
        return {key: found[key] for key in found if key in _OUTPUTS}
