"""Compare two versions of arcage on the GPU and on the processors of one machine, from files to the cache.

    git worktree add /tmp/before c9bf8a1
    python benchmarks/speed/gpu.py --before /tmp/before --data ../shared/data --work /tmp/speed

Prints the table of docs/guide/gpu.md row by row. It is meant to take less than 8 minutes on 16 cores and an
H200. A rate is that of the whole command without its start: a run on a few images is subtracted, in time and
in number. The memory of the GPU is what nvidia-smi shows for the device, other programs included.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import measure
import pair
import photos
from pair import HERE

TASKS = {"crops": (19_000, 3_000), "photos": (480, 120)}
"""Images of each task: for this version, and for the other, which was slower."""
START = {"crops": 64, "photos": 8}
"""Images of the run that is subtracted."""
HEAD = ("files to the cache", "a second", "processor ms", "GPU memory")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a task took on a device."""

    rate: float
    """Images per second."""
    processor: float
    """Milliseconds of processor time per image, of all cores together."""
    memory: int
    """Maximum memory in use on the first GPU, MiB; 0 without one."""

    def row(self, name: str) -> tuple[str, ...]:
        """Return the cells of a table."""
        memory = f"{self.memory:,} MiB" if self.memory else "-"
        return name, f"{self.rate:,.0f}", f"{self.processor:.1f}", memory


def prepare(data: Path, work: Path, count: int) -> None:
    """Write the lists of images, ``crops.txt`` and ``photos.txt``, and ``count`` photos."""
    crops = sorted((data / "utkface").iterdir())
    portrait = HERE / "examples/astronaut.jpg"
    folder = work / "gpu-photos"
    photos.make(folder, count, crops[::31], portrait, portrait)
    for name, paths in (("crops", crops), ("photos", sorted(folder.iterdir()))):
        (work / f"{name}.txt").write_text("".join(f"{path.resolve()}\n" for path in paths))


def run(tree: Path, work: Path, task: str, count: int, device: str) -> tuple[float, float, int]:
    """Extract the first ``count`` images into a new cache.

    Returns elapsed and processor time, in seconds, and the maximum memory on the GPU, MiB.
    """
    chosen, cache = work / "gpu-list.txt", work / "gpu-cache"
    chosen.write_text("".join((work / f"{task}.txt").read_text().splitlines(keepends=True)[:count]))
    shutil.rmtree(cache, ignore_errors=True)
    with _GpuMemory(device) as memory:
        elapsed, processor = pair.run(
            tree, ["extract", "--from-file", str(chosen), "--cache", str(cache), "--device", device, "-q"]
        )
    return elapsed, processor, memory.most


def measured(tree: Path, work: Path, task: str, count: int, device: str, rounds: int) -> Measurement:
    """Return the best of several rounds."""
    few = START[task]
    run(tree, work, task, few, device)  # compiles the networks
    start = min(run(tree, work, task, few, device) for _ in range(rounds))
    runs = [run(tree, work, task, count, device) for _ in range(rounds)]
    elapsed, processor, _ = min(runs)
    return Measurement(
        (count - few) / max(elapsed - start[0], 1e-9),
        1000 * (processor - start[1]) / (count - few),
        max(most for _, _, most in runs),
    )


class _GpuMemory:
    """Asks nvidia-smi for the memory in use, five times a second."""

    def __init__(self, device: str) -> None:
        self._there = device != "cpu" and shutil.which("nvidia-smi") is not None
        self.most = 0

    def __enter__(self) -> _GpuMemory:
        if self._there:
            query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
            self._process = subprocess.Popen([*query, "-i", "0", "-lms", "200"], stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._there:
            self._process.terminate()
            self.most = max(map(int, self._process.communicate()[0].split()), default=0)


def as_markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="source tree of the other version")
    parser.add_argument("--data", type=Path, required=True, help="shared data, with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder for images and caches")
    parser.add_argument("--devices", nargs="+", default=["cuda", "cpu"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the images, for slow machines")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    counts = {
        task: [max(2 * START[task], int(count * args.scale)) for count in of_trees]
        for task, of_trees in TASKS.items()
    }
    prepare(args.data, args.work, max(counts["photos"]))
    print(measure.machine())
    trees = {"this version": HERE, args.before.name: args.before.resolve()}
    print(as_markdown(HEAD), as_markdown(["---"] * len(HEAD)), sep="\n")
    for device in args.devices:
        for task in TASKS:
            for (name, tree), count in zip(trees.items(), counts[task], strict=True):
                result = measured(tree, args.work, task, count, device, args.rounds)
                print(as_markdown(result.row(f"{task}, {device}, {name}")), flush=True)


if __name__ == "__main__":
    main()
