"""Compare the bundled embedders on OpenVINO and on ONNX Runtime, one aligned face (and its mirror) at a time.

    pip install . onnxruntime && python benchmarks/speed/engines.py

Prints milliseconds per face, the median of several alternating rounds, and the ratio.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.packs.record import bundled_pack

ROUNDS, CALLS = 7, 20


def main() -> None:
    face = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3), dtype=np.uint8)
    engines = (OpenVinoEngine("latency"), OnnxRuntimeEngine("cpu"))
    pack = bundled_pack()
    for model in pack.embedders:
        networks = [
            engine.load(pack.read(model), (1, 112, 112, 3), reduced_precision=True) for engine in engines
        ]
        times: list[list[float]] = [[], []]
        for network in networks:
            network(face)
        for _ in range(ROUNDS):
            for network, measured in zip(networks, times, strict=True):
                start = time.perf_counter()
                for _ in range(CALLS):
                    network(face)
                measured.append((time.perf_counter() - start) / CALLS * 1000)
        first, second = (statistics.median(t) for t in times)
        print(
            f"{model.name}: {engines[0].name} {first:.1f} ms, {engines[1].name} {second:.1f} ms, "
            f"ratio {second / first:.1f}"
        )


if __name__ == "__main__":
    main()
