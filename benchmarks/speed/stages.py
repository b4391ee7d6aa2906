"""Profile the stages of arcage over many images.

    python benchmarks/speed/stages.py predict FOLDER     # folder.py and crops.py run this

Prints JSON. Must run in its own process, because it wraps arcage's functions with a clock and tells the
libraries' threads apart by when they start. Python's threads are timed function by function. Networks run in
OpenVINO's threads, which get the CPU time that neither Python's nor OpenCV's threads used. OpenCV's threads,
which help to resize, are only recognised on Linux; elsewhere their time counts as OpenVINO's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import networks
import numpy as np

from arcage.embedder import align, detect, landmarks, reading, rotated
from arcage.embedder import extractor as extractor_module
from arcage.embedder.detector import GraphDetector
from arcage.embedder.engines.base import cores
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import Pack, bundled_pack
from arcage.extraction.run import extract_to_cache, open_cache
from arcage.heads.model import Heads
from arcage.predictor import Predictor
from arcage.sources.source import Source
from arcage.sources.walk import walk

READ, DECODE, ALIGN, HEADS = "read files", "decode", "align", "heads"
CANVAS, ROTATED, SECOND, CANDIDATES = (
    "detector: canvases",
    "detector: rotated faces",
    "detector: refinement",
    "detector: pre- and post-processing",
)
DETECTOR, EMBEDDER = "detector: network", "embedder: "
OPENCV, REST, MAIN = "OpenCV's own threads", "worker threads, other", "main thread, other"
NETWORK = (DETECTOR, EMBEDDER)
USEFUL = (DECODE, CANVAS, ROTATED, SECOND, CANDIDATES, DETECTOR, EMBEDDER)
"""Decoding, detection and inference. OpenCV's own threads work for these and for other stages."""


HEAD = ("", "calls", "seconds", "of all cores", "of CPU time")


@dataclass(slots=True)
class Spent:
    calls: int = 0
    cpu: float = 0.0
    """CPU seconds in the calling thread, without nested stages."""
    wall: float = 0.0
    """Seconds from call to return, without nested stages."""


@dataclass(frozen=True, slots=True)
class Row:
    stage: str
    calls: int
    """From detection to the embedders, one call is for a batch."""
    seconds: float
    """CPU seconds."""


@dataclass(frozen=True, slots=True)
class Profile:
    wall: float
    cpu: float
    """CPU seconds of all threads of the process."""
    cores: int
    rows: tuple[Row, ...]

    def share(self, *stages: str) -> float:
        """Return the share of the time of all cores in the stages that start with these names."""
        return sum(r.seconds for r in self.rows if r.stage.startswith(stages)) / (self.wall * self.cores)

    def shares(self) -> dict[str, float]:
        """Return the share of each stage."""
        return {row.stage: row.seconds / (self.wall * self.cores) for row in self.rows}


class Clock:
    """Sum the time of functions over all threads."""

    def __init__(self) -> None:
        self.stages: dict[str, Spent] = defaultdict(Spent)
        self._lock = threading.Lock()
        self._local = threading.local()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function with the clock."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return function(*args, **kwargs)

        return call

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        inside: list[list[float]] = self._local.__dict__.setdefault("inside", [])
        inside.append([0.0, 0.0])
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
            nested = inside.pop()
            if inside:
                inside[-1][0] += cpu
                inside[-1][1] += wall
            with self._lock:
                spent = self.stages[name]
                spent.calls += 1
                spent.cpu += cpu - nested[0]
                spent.wall += wall - nested[1]


def profiled(make: Callable[[], Callable[[], Any]], pack: Pack) -> tuple[Profile, Any]:
    """Profile one run.

    Args:
        make: loads everything, including the networks, warms it up, and returns the run.
        pack: the pack of these networks.

    Returns:
        The profile, and the result of the run.
    """
    clock = Clock()
    before = _threads()
    big = np.zeros((2000, 2000, 3), np.uint8)
    cv2.resize(big, (500, 500), interpolation=cv2.INTER_AREA)
    opencv = set(_threads()) - set(before)
    with ExitStack() as stack:
        _time_functions(clock, pack, stack)
        run = make()
        clock.stages.clear()
        old = _threads()
        cpu, wall = time.process_time(), time.perf_counter()
        with clock.stage(MAIN):
            result = run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        new = _threads()
    helping = sum(new[t] - old.get(t, 0.0) for t in opencv)
    return Profile(wall, cpu, cores(), _rows(clock.stages, cpu, helping)), result


def _rows(stages: dict[str, Spent], cpu: float, helping: float) -> tuple[Row, ...]:
    """Attribute the CPU time outside Python's and OpenCV's threads to the networks.

    Each gets a share in proportion to the time of its calls.
    """
    others = max(cpu - helping - sum(s.cpu for s in stages.values()), 0.0)
    waited = sum(s.wall for name, s in stages.items() if name.startswith(NETWORK))
    rows = []
    for name, spent in stages.items():
        seconds = spent.cpu
        if name.startswith(NETWORK):
            seconds += others * spent.wall / waited
        rows.append(Row(name, spent.calls, seconds))
    if helping:
        rows.append(Row(OPENCV, 0, helping))
    return tuple(sorted(rows, key=lambda row: -row.seconds))


def _time_functions(clock: Clock, pack: Pack, stack: ExitStack) -> None:
    def put(owner: Any, name: str, stage: str) -> None:
        stack.enter_context(patch.object(owner, name, clock.timed(stage, getattr(owner, name))))

    put(reading, "decode", DECODE)
    put(detect, "find_faces", CANVAS)
    put(rotated, "set_upright", ROTATED)
    put(rotated, "set_turned", ROTATED)
    put(extractor_module, "refine", SECOND)
    put(landmarks, "warp", SECOND)
    put(align, "align", ALIGN)

    class Pool(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            return super().submit(clock.timed(REST, fn), *args, **kwargs)

    stack.enter_context(patch.object(extractor_module, "ThreadPoolExecutor", Pool))

    def method(owner: type, name: str, stage: str) -> None:
        plain = getattr(owner, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            with clock.stage(stage):
                return plain(self, *args, **kwargs)

        stack.enter_context(patch.object(owner, name, call))

    method(Source, "read", READ)
    method(GraphDetector, "candidates", CANDIDATES)
    method(Heads, "predict", HEADS)
    load = OpenVinoEngine.load
    names = {sha256: DETECTOR for _, sha256 in pack.detector.graphs}
    names |= {model.sha256: EMBEDDER + model.name for model in pack.embedders}

    def load_timed(self: Any, model: bytes, *args: Any, **kwargs: Any) -> Any:
        network = load(self, model, *args, **kwargs)
        return clock.timed(names[hashlib.sha256(model).hexdigest()], network)

    stack.enter_context(patch.object(OpenVinoEngine, "load", load_timed))


def _threads() -> dict[int, float]:
    """Return the CPU seconds of this process's threads by their id; empty except on Linux."""
    spent = {}
    for folder in Path("/proc/self/task").glob("*"):
        try:
            spent[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e9
        except (OSError, ValueError):  # the thread has just ended
            continue
    return spent


def in_own_process(*arguments: object) -> tuple[Profile, dict[str, Any]]:
    """Run this script in a new process; return the profile and the printed report."""
    out = subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, stdout=subprocess.PIPE)
    report = json.loads(out.stdout)
    return from_json(report), report


def from_json(report: Mapping[str, Any]) -> Profile:
    """Return the profile from a printed report."""
    rows = tuple(Row(**row) for row in report["rows"])
    return Profile(report["wall"], report["cpu"], report["cores"], rows)


def as_rows(profile: Profile) -> list[tuple[str, str, str, str]]:
    """Return the rows of a table with the columns ``HEAD``."""
    all_cores = profile.wall * profile.cores
    idle = all_cores - profile.cpu
    return [
        *(
            (
                row.stage,
                f"{row.calls:,}" if row.calls else "",
                f"{row.seconds:.2f}",
                f"{row.seconds / all_cores:.1%}",
                f"{row.seconds / profile.cpu:.1%}",
            )
            for row in profile.rows
        ),
        ("idle, or other processes", "", f"{idle:.2f}", f"{idle / all_cores:.1%}", ""),
    ]


def predict(sources: Sequence[Source]) -> tuple[Profile, int]:
    """Profile predictions; also return the number of faces."""

    def make() -> Callable[[], int]:
        predictor = Predictor(hint="throughput")
        list(predictor.stream(sources[:8]))

        def run() -> int:
            predictions = predictor.stream(sources)
            return sum(row.face is not None for _, rows in predictions for row in rows)

        return run

    return profiled(make, bundled_pack())


def to_cache(sources: Sequence[Source], pack: Pack) -> tuple[Profile, int]:
    """Profile an extraction into a cache; also return the number of faces."""
    with tempfile.TemporaryDirectory() as folder:

        def make() -> Callable[[], int]:
            extractor = Extractor(pack, "cpu")
            warm = open_cache(Path(folder) / "warm", extractor)
            extract_to_cache(sources[:8], warm, extractor)
            cache = open_cache(Path(folder) / "cache", extractor)
            return lambda: extract_to_cache(sources, cache, extractor).faces

        return profiled(make, pack)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("predict", "extract"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, help="use this many images, evenly spaced")
    parser.add_argument(
        "--alone", metavar="NAME", help="extract with this embedder, without the mirror image"
    )
    args = parser.parse_args()
    sources = thinned(list(walk([args.folder])), args.limit)
    if args.what == "predict":
        profile, faces = predict(sources)
    elif args.alone:
        with tempfile.TemporaryDirectory() as folder:
            profile, faces = to_cache(sources, networks.alone(args.alone, Path(folder)))
    else:
        profile, faces = to_cache(sources, bundled_pack())
    print(json.dumps({"images": len(sources), "faces": faces, **asdict(profile)}))


def thinned(sources: list[Source], limit: int | None) -> list[Source]:
    """Return ``limit`` of the sources, evenly spaced."""
    if not limit or limit >= len(sources):
        return sources
    return [sources[i * len(sources) // limit] for i in range(limit)]


if __name__ == "__main__":
    main()
