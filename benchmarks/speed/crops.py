"""Measure small crops, from files to cached descriptors, and compare with the limit of the arithmetic.

    python benchmarks/speed/crops.py --data ../shared/data --work /tmp/speed

Two packs alternate: the bundled one (two embedders, each face and its mirror image), and MobileFaceNet alone
without the mirror image. A rate includes everything from the files to the finished cache, except loading the
networks. Also prints the stages of a run (see stages.py), and limits: crops a second if the machine only
computed the networks' multiply-adds, at the speed of large matrix products.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measure
import networks
import numpy as np
import onnx
import stages
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_limits

from arcage.embedder import align, landmarks, views
from arcage.embedder.engines.openvino import _runtime
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import Pack, bundled_pack
from arcage.extraction.run import extract_to_cache, open_cache
from arcage.sources.source import Source
from arcage.sources.walk import walk

ROUNDS = 3
ALONE = "mobilefacenet"
CANVASES = (views.TIGHT.canvas, landmarks.CANVAS, landmarks.CANVAS)
"""Sides of the canvases on which the detector runs for a crop."""
MATRICES = (1024, 2048)


def rate(extractor: Extractor, sources: Sequence[Source]) -> float:
    """Return crops per second into a new cache."""
    with tempfile.TemporaryDirectory() as folder:
        cache = open_cache(Path(folder), extractor)
        start = time.perf_counter()
        extract_to_cache(sources, cache, extractor)
        return len(sources) / (time.perf_counter() - start)


def of_crop(pack: Pack) -> dict[str, int]:
    """Return the multiply-adds of each network for one crop with one face."""
    detector = onnx.load_from_string(pack.read(pack.detector))
    amounts = {
        stages.DETECTOR: sum(networks.multiply_adds(detector, (1, 3, side, side)) for side in CANVASES)
    }
    for model in pack.embedders:
        graph = onnx.load_from_string(pack.read(model))
        amounts[stages.EMBEDDER + model.name] = networks.multiply_adds(graph, (1, align.SIDE, align.SIDE, 3))
    return amounts


def machine_rates() -> dict[str, float]:
    """Return multiply-adds per second of all cores on large square matrices, for the best size."""
    return {
        "numpy float32": max(_numpy_rate(n) for n in MATRICES),
        "OpenVINO float32": max(_openvino_rate(n, "f32") for n in MATRICES),
        "OpenVINO bfloat16": max(_openvino_rate(n, "bf16") for n in MATRICES),
    }


def _numpy_rate(n: int) -> float:
    rng = np.random.default_rng(0)
    pairs = [rng.random((2, n, n), np.float32) for _ in range(measure.cores())]
    # One product per core, each in one thread.
    with threadpool_limits(1), ThreadPoolExecutor(len(pairs)) as pool:
        return len(pairs) * n**3 / _best(lambda: list(pool.map(lambda p: p[0] @ p[1], pairs)))


def _openvino_rate(n: int, precision: str) -> float:
    matrix = np.random.default_rng(0).random((n, n), np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [value("x", TensorProto.FLOAT, [n, n])],
        [value("y", TensorProto.FLOAT, [n, n])],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    core = _runtime().Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": measure.cores()}
    request = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", settings
    ).create_infer_request()
    return n**3 / _best(lambda: request.infer([matrix], share_inputs=True, share_outputs=True))


def _best(call: Callable[[], Any], rounds: int = 15) -> float:
    """Return the seconds of the fastest call, because the result is used as a limit."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def limits(amounts: dict[str, int], rates: dict[str, float]) -> dict[str, float]:
    """Return crops per second at each of the machine's rates."""
    return {name: speed / sum(amounts.values()) for name, speed in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--out", type=Path, help="folder for crops.json and crops.png; default WORK/results")
    parser.add_argument("--crops", type=int, default=600, help="number of crops, evenly spaced in UTKFace")
    args = parser.parse_args()
    out: Path = args.out or args.work / "results"
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"machine": measure.machine(), "crops": args.crops}
    folder = args.data / "utkface"
    sources = stages.thinned(list(walk([folder])), args.crops)

    speeds = machine_rates()
    with tempfile.TemporaryDirectory() as place:
        packs = {
            "both embedders, mirror": bundled_pack(),
            f"{ALONE}, no mirror": networks.alone(ALONE, Path(place)),
        }
        extractors = {name: Extractor(pack, "cpu") for name, pack in packs.items()}
        amounts = {name: of_crop(pack) for name, pack in packs.items()}
        for extractor in extractors.values():
            rate(extractor, sources[:64])
        runs: dict[str, list[float]] = {name: [] for name in packs}
        for _ in range(ROUNDS):
            for name, extractor in extractors.items():
                runs[name].append(rate(extractor, sources))
    rates = {name: measure.median(values) for name, values in runs.items()}
    shares = {}
    for name in packs:
        alone = ["--alone", ALONE] if ALONE in name else []
        profile, raw = stages.in_own_process("extract", folder, "--limit", args.crops, *alone)
        shares[name] = profile.shares()
        bounds = limits(amounts[name], speeds)
        print(f"{name}: {rates[name]:.1f} crops a second ({', '.join(f'{r:.1f}' for r in runs[name])})\n")
        print(measure.as_text(stages.HEAD, stages.as_rows(profile)) + "\n")
        seconds = {row.stage: row.seconds for row in profile.rows}
        rows = [
            (stage, f"{n / 1e6:,.0f}", f"{n * raw['images'] / seconds[stage] / 1e9:.1f}")
            for stage, n in amounts[name].items()
        ]
        print(measure.as_text(("", "million multiply-adds a crop", "10^9 a second and core"), rows) + "\n")
        rows = [
            (
                kind,
                f"{speeds[kind] / measure.cores() / 1e9:.1f}",
                f"{bound:,.0f}",
                f"{rates[name] / bound:.1%}",
            )
            for kind, bound in bounds.items()
        ]
        print(measure.as_text(("limit", "10^9 a second and core", "crops a second", "reached"), rows) + "\n")
        report[name] = {
            "crops_per_second": rates[name],
            "rounds": runs[name],
            "profile": raw,
            "multiply_adds": amounts[name],
            "limits": bounds,
        }
    report["multiply_adds_per_second"] = speeds
    measure.save(out, "crops", report)
    title = f"{args.crops} crops of UTKFace to cached descriptors"
    measure.plot(out / "crops.png", title, "crops a second", rates, shares)


if __name__ == "__main__":
    main()
