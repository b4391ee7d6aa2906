"""Model packs: their records, and their ONNX files."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.networks import PackNetworks
from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.record import (
    DIGESTS_FILE,
    RECORD_FILE,
    ModelRecord,
    bundled_pack,
)
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, 1e300, 0.5, "", "..", "../x", "/dev/zero", "\0", "x" * 5000),
    *("scrfd", "yunet", "arcface", "descriptor", [], {}, [[]], ["x"], "\x1b[31m"),
)


class Packs:
    """Packs of InsightFace and of others, whose records and networks are damaged.

    The SHA-256 in the record is mostly that of the damaged file: the file came so.
    """

    name = "packs"

    def prepare(self, folder: Path) -> None:
        sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))
        import graphs

        os.environ["XDG_CACHE_HOME"] = str(folder / "user")
        os.environ["INSIGHTFACE_HOME"] = str(folder / "insightface")
        self._folder = folder / "pack"
        self._engine = OpenVinoEngine(threads=1)
        self._compiled = self._engine._folder = folder / "compiled"
        self._compiled.mkdir()
        bundled = bundled_pack()
        made = {
            "det_500m.onnx": _sees_little(graphs.scrfd()),
            "w600k_mbf.onnx": graphs.mobilefacenet(),
            "w600k_r50.onnx": graphs.iresnet(),
        }
        self._files = {name: bytes(model.SerializeToString()) for name, model in made.items()}
        self._yunet = bundled.detector
        self._detector_files = {
            name: bundled.read_file(name, sha256) for name, sha256 in bundled.detector.files.items()
        }
        self._crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
        self._canvases = np.random.default_rng(1).integers(0, 256, (2, 160, 160, 3), np.uint8)
        self._truth = {
            name: self._answer(Case(files=files).write(self._folder))
            for name, files in (("insightface", self._insightface()), ("recorded", self._recorded()))
        }

    def case(self, rng: np.random.Generator) -> Case:
        form = "insightface" if rng.integers(2) else "recorded"
        files = self._insightface() if form == "insightface" else self._recorded()
        record = DIGESTS_FILE if form == "insightface" else RECORD_FILE
        if rng.integers(2):
            data = json.loads(files[record])
            if rng.integers(2):
                _replace_value(rng, data)
                files[record] = json.dumps(data).encode()
            else:
                files[record] = mutate(rng, files[record], list(self._files.values()))
            return Case(files=files, truth=form, about=record)
        name = str(rng.choice(sorted(n for n in files if n.endswith(".onnx"))))
        files[name] = mutate(rng, files[name], list(self._files.values()))
        if rng.integers(8):
            _seal(files, record, name)
        return Case(files=files, truth=None, about=name)

    def run(self, case: Case) -> Verdict:
        if len(kept := list(self._compiled.iterdir())) > 100:  # most cases add some
            for path in kept:
                path.unlink()
        answer = self._answer(case.write(self._folder))
        # Another network gives other numbers, and its record may be right. A damaged record may not.
        if case.truth is not None:
            for found, right in zip(answer, self._truth[case.truth], strict=True):
                if found.shape != right.shape or not np.allclose(found, right, rtol=1e-3, atol=1e-3):
                    raise SilentChange("the descriptors are different")
        return "answered"

    def _answer(self, folder: Path) -> tuple[np.ndarray, ...]:
        """Return descriptors and faces by the networks of a pack."""
        networks = PackNetworks(find_pack(str(folder)), self._engine)
        descriptors = networks.embed(self._crops)
        found = networks.detector.candidates(self._canvases, 0.5)
        return descriptors, found.boxes, found.landmarks

    def _insightface(self) -> dict[str, bytes]:
        files = dict(self._files)
        del files["w600k_r50.onnx"]
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        record = {"archive": {"url": "https://example.org/x.zip", "sha256": "0" * 64}, "files": digests}
        return {**files, DIGESTS_FILE: json.dumps(record).encode()}

    def _recorded(self) -> dict[str, bytes]:
        embedder = ModelRecord(
            name="mine",
            file="w600k_r50.onnx",
            sha256=hashlib.sha256(self._files["w600k_r50.onnx"]).hexdigest(),
            kind="arcface",
            licence="MIT",
            source="https://example.org",
            input="(n, 3, 112, 112) float32",
        )
        record = {"name": "mine", "models": [asdict(self._yunet), asdict(embedder)]}
        return {
            RECORD_FILE: json.dumps(record).encode(),
            **self._detector_files,
            embedder.file: self._files["w600k_r50.onnx"],
        }


def _sees_little(detector: Any) -> Any:
    """Lower the scores of a detector with random weights, so that it finds few faces as a real one does."""
    from onnx import helper, numpy_helper

    nodes = []
    for node in detector.graph.node:
        if node.op_type == "Sigmoid":
            lower = f"{node.input[0]}_lower"
            nodes.append(helper.make_node("Sub", [node.input[0], "much"], [lower]))
            node.input[0] = lower
        nodes.append(node)
    detector.graph.initializer.append(numpy_helper.from_array(np.float32(5), "much"))
    del detector.graph.node[:]
    detector.graph.node.extend(nodes)
    return detector


def _replace_value(rng: np.random.Generator, data: Any) -> None:
    """Replace a random value inside a JSON value."""
    while True:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(data[key], (dict, list)) and data[key] and rng.integers(4):
            data = data[key]
            continue
        data[key] = _VALUES[int(rng.integers(len(_VALUES)))]
        return


def _seal(files: dict[str, bytes], record: str, name: str) -> None:
    """Write the SHA-256 of a file into the record."""
    data = json.loads(files[record])
    sha256 = hashlib.sha256(files[name]).hexdigest()
    if record == DIGESTS_FILE:
        data["files"][name] = sha256
    else:
        for model in data["models"]:
            if model["file"] == name:
                model["sha256"] = sha256
            model["graphs"] = [[file, sha256 if file == name else old] for file, old in model["graphs"]]
    files[record] = json.dumps(data).encode()
