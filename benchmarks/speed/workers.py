"""Measure extraction on 1, 2, 4, ... cores: by threads of one process, and by worker processes.

    python benchmarks/speed/workers.py --data ../shared/data --work /tmp/speed --cores 1,2,4,8,16
    python benchmarks/speed/workers.py --data ../shared/data --work /tmp/speed --device cuda --workers 1,2,4,8

Each run is a whole command, ``arcage extract`` from files to a new cache, restricted to the cores (Linux).
For each number of cores, there is a run with ``--workers 1`` and one with a process for each core;
``--workers`` names other numbers, on all cores. The order alternates, after a round that is not counted. A
rate counts from the start of the command; "running" is the rate that the command reports, without the
start of Python.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import measure

HERE = Path(__file__).parents[2]
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One command."""

    cores: int
    workers: int


@dataclass(frozen=True, slots=True)
class Result:
    """Images per second, and seconds of all cores for each image."""

    whole: float
    running: float
    processor: float


def extract(run: Run, folder: Path, cache: Path, device: str) -> Result:
    """Extract a folder into a new cache."""
    shutil.rmtree(cache, ignore_errors=True)
    allowed = sorted(os.sched_getaffinity(0))[: run.cores]
    command = [sys.executable, "-P", "-m", "arcage", "extract", str(folder), "--cache", str(cache)]
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [*command, "--workers", str(run.workers), "--device", device],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        capture_output=True,
        text=True,
        check=True,
    )
    elapsed, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    images = len(list(folder.iterdir()))
    found = re.search(r"\(([\d.,]+) a second\)", done.stderr)
    assert found, done.stderr
    return Result(images / elapsed, float(found[1].replace(",", "")), used / images)


def plot(path: Path, results: dict[Run, Result]) -> None:
    """Plot crops a second against cores."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, one in (("threads of one process", True), ("a process for each core", False)):
        points = [(run.cores, r.running) for run, r in results.items() if (run.workers == 1) == one]
        points += [(1, r.running) for run, r in results.items() if not one and run == Run(1, 1)]
        if points:
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set(xlabel="cores", ylabel="crops a second", ylim=0, xticks=sorted({run.cores for run in results}))
    axes.legend()
    figure.savefig(path)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    """Print a table of all runs, and write it as JSON, with a chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="shared data, with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder for images and results")
    parser.add_argument("--cores", type=numbers, default=[], help="numbers of cores, such as 1,2,4,8,16")
    parser.add_argument("--workers", type=numbers, default=[], help="numbers of processes on all cores")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--crops", type=int, default=600, help="number of crops, evenly spaced in UTKFace")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    folder = options.work / f"workers-crops-{options.crops}"
    if not folder.exists():
        paths = sorted((options.data / "utkface").iterdir())
        folder.mkdir(parents=True)
        for path in paths[:: max(1, len(paths) // options.crops)][: options.crops]:
            shutil.copy(path, folder)
    runs = [Run(cores, workers) for cores in options.cores for workers in sorted({1, cores})]
    runs += [Run(measure.cores(), workers) for workers in options.workers]
    report: dict[str, Any] = {"machine": measure.machine(), "device": options.device, "crops": options.crops}

    def extracted(run: Run) -> Result:
        return extract(run, folder, options.work / "workers-cache", options.device)

    for run in runs:
        extracted(run)  # compiles the networks, and reads the files into the page cache
    rounds: dict[Run, list[Result]] = {run: [] for run in runs}
    for number in range(options.rounds):
        for run in runs if number % 2 else reversed(runs):
            rounds[run].append(extracted(run))
    medians = {
        run: Result(*(measure.median([getattr(r, name) for r in done]) for name in Result.__slots__))
        for run, done in rounds.items()
    }
    head = ("cores", "workers", "crops a second", "running", "CPU seconds a crop")
    rows = [
        (f"{run.cores}", f"{run.workers}", f"{r.whole:.1f}", f"{r.running:.1f}", f"{r.processor:.4f}")
        for run, r in medians.items()
    ]
    print(measure.as_text(head, rows))
    report["runs"] = [{**asdict(run), "rounds": [asdict(r) for r in done]} for run, done in rounds.items()]
    options.work.mkdir(parents=True, exist_ok=True)
    measure.save(options.work, "workers", report)
    if options.cores:
        plot(options.work / "workers.png", medians)


if __name__ == "__main__":
    main()
