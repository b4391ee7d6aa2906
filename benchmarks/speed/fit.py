"""Measure the time and memory of fitting heads.

    python benchmarks/speed/fit.py --cache /tmp/accuracy/utkface [--labels utkface] [--augment 1]

Fits the default heads on all faces of a cache, and on 200,000 faces drawn with replacement, with noise added
to each descriptor (copies of a face stay on one side of every split). Each fit is a new process, timed from
its start, including imports and reading. Writes fit.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.embedder.extractor import Extractor
from arcage.types import F32, Array

MANY = 200_000
NOISE = 0.1
"""Standard deviation of the noise, relative to that of the column."""
BLOCK = 10_000


def resampled(x: F32, rows: Array, seed: int) -> F32:
    """Return the rows with noise; use different seeds for faces and their variants."""
    rng = np.random.default_rng(seed)
    spread = NOISE * x[:BLOCK].std(axis=0)
    out = np.empty((len(rows), x.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = x[rows[start : start + BLOCK]]
        out[start : start + BLOCK] = block + spread * rng.standard_normal(block.shape, np.float32)
    return out


def inside(cache: Path, source: str, fingerprints: list[str], count: int, started: float) -> dict[str, Any]:
    """Run one fit in this process; with a ``count`` of 0, on the original faces."""
    from arcage.evaluation.metrics import evaluate
    from arcage.heads.callbacks import LossCurves, Step
    from arcage.heads.fit import fit_heads
    from arcage.heads.settings import Settings

    faces = labelled_faces(Cache(cache, fingerprints[0]), source)
    x, labels = faces.descriptors(), faces.labels()
    variants = [faces.descriptors_in(Cache(cache, f).table())[0] for f in fingerprints[1:]]
    if count:
        rows = np.random.default_rng(0).integers(len(x), size=count)
        x, *variants = [resampled(part, rows, seed) for seed, part in enumerate([x, *variants])]
        person = rows if labels.person is None else labels.person[rows]
        labels = replace(labels.select(rows), person=person)

    stages = {"imports and reading": time.time() - started}
    last = time.time()

    def callback(step: Step) -> None:
        nonlocal last
        # Folds are fitted in parallel, and each fits its outputs in sequence.
        boosted = " boosting" if step.rounds else f" {step.stage}"
        stage, now = f"{step.attribute}:{boosted}", time.time()
        stages[stage] = stages.get(stage, 0.0) + now - last
        last = now

    _, out_of_fold = fit_heads(
        x,
        labels,
        fingerprint="",
        settings=Settings(),
        variants=variants,
        callback=LossCurves(callback),
    )
    stages["other"] = time.time() - last
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "faces": len(x),
        "variants": len(variants),
        "seconds": round(time.time() - started, 1),
        "stages": {name: round(seconds, 1) for name, seconds in stages.items()},
        "processor_seconds": round(time.process_time(), 1),
        "peak_mb": round(kilobytes / 1024),
        "out_of_fold": evaluate(out_of_fold, labels)["overall"],
    }


def measure(cache: Path, labels: str, fingerprints: list[str], count: int) -> dict[str, Any]:
    """Run the fit in a new process."""
    arguments = [str(cache), labels, ",".join(fingerprints), str(count), str(time.time())]
    child = subprocess.run(
        [sys.executable, __file__, "--inside", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, Any] = json.loads(child.stdout)
    return result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--labels", default="utkface")
    parser.add_argument("--augment", type=int, default=0, metavar="N", help="variants of each face")
    parser.add_argument("--count", type=int, default=MANY, help=f"faces of the large fit; default {MANY}")
    parser.add_argument("--out", type=Path, default=Path("fit.json"))
    args = parser.parse_args(arguments)
    fingerprints = [Extractor(variant=number).fingerprint for number in range(args.augment + 1)]
    results = []
    for count in (0, args.count):
        result = measure(args.cache, args.labels, fingerprints, count)
        results.append(result)
        print(f"{result['faces']:,} faces, {result['variants']} variants of each: {result['seconds']:.0f} s")
        print(f"  processor time {result['processor_seconds']:.0f} s; peak memory {result['peak_mb']:,} MB")
        for name, seconds in result["stages"].items():
            print(f"  {name:<24} {seconds:7.1f} s", flush=True)
    report = {"cores": os.cpu_count(), "fits": results}
    args.out.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        folder, labels_, prints, count_, started_ = sys.argv[2:]
        print(json.dumps(inside(Path(folder), labels_, prints.split(","), int(count_), float(started_))))
    else:
        main()
