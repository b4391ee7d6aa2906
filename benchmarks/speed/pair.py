"""Compare two versions of arcage on one photo, crops and photos, as whole processes.

    git worktree add /tmp/before c9bf8a1
    python benchmarks/speed/pair.py --before /tmp/before --data ../shared/data --work /tmp/speed

Each round runs both versions on each task, the order alternating. A ratio is this version's time divided by
the other's in the same round; below 1, this version is faster.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import photos

HERE = Path(__file__).parents[2]
TASKS = ("one photo", "crops", "photos")
# As after an installation, modules are compiled once, not in each run.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(tree: Path, arguments: list[str]) -> tuple[float, float]:
    """Run ``arcage`` of a source tree; return elapsed and processor time, in seconds."""
    before = os.times()
    started = time.perf_counter()
    subprocess.run(
        # -P: not the code in the current folder, which would come before PYTHONPATH.
        [sys.executable, "-P", "-m", "arcage", *arguments],
        env={**ENVIRONMENT, "PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    elapsed = time.perf_counter() - started
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return elapsed, used


def main() -> None:
    """Print the medians of both versions and of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="source tree of the other version")
    parser.add_argument("--data", type=Path, required=True, help="shared data, with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder for images and caches")
    parser.add_argument("--crops", type=int, default=600)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    crops = options.work / f"pair-crops-{options.crops}"
    crops.mkdir(parents=True, exist_ok=True)
    for path in sorted((options.data / "utkface").iterdir())[:: 19023 // options.crops][: options.crops]:
        shutil.copy(path, crops)
    large = options.work / f"pair-photos-{options.photos}"
    portrait = HERE / "examples/astronaut.jpg"
    photos.make(large, options.photos, sorted(crops.iterdir()), portrait, portrait)
    cache = options.work / "pair-cache"

    def task(name: str, tree: Path) -> tuple[float, float]:
        shutil.rmtree(cache, ignore_errors=True)
        if name == "one photo":
            return run(tree, ["predict", str(HERE / "examples/astronaut.jpg")])
        return run(tree, ["extract", str(crops if name == "crops" else large), "--cache", str(cache), "-q"])

    trees = (options.before.resolve(), HERE)
    for name in TASKS:
        for tree in trees:
            task(name, tree)  # compiles the networks, and reads the files into the page cache
        times: list[list[tuple[float, float]]] = [[], []]
        for number in range(options.rounds):
            for k in (0, 1) if number % 2 else (1, 0):
                times[k].append(task(name, trees[k]))
        for what, index in (("elapsed", 0), ("processor", 1)):
            old, new = ([pair[index] for pair in times[k]] for k in (0, 1))
            ratios = sorted(b / a for a, b in zip(old, new, strict=True))
            print(
                f"{name:<10} {what:<9}  before {statistics.median(old):6.2f} s  now "
                f"{statistics.median(new):6.2f} s  ratio {statistics.median(ratios):.3f} "
                f"({ratios[0]:.3f} to {ratios[-1]:.3f}, {options.rounds} rounds)",
                flush=True,
            )


if __name__ == "__main__":
    main()
