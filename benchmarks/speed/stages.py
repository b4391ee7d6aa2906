"""On what the cores spend their time while arcage goes over many images.

    python benchmarks/speed/stages.py predict FOLDER     # folder.py and crops.py run this

Prints JSON. A process of its own: the clock stands in the place of arcage's functions, and what threads there
are before a library starts its own tells whose they are. Python's threads are timed function by function.
Networks run in threads of OpenVINO, which does nothing else: what the process spent beyond Python's and
OpenCV's threads is theirs. Telling OpenCV's threads, which help to resize, needs Linux; elsewhere their time
counts as OpenVINO's.
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

from arcage.embedder import align, detect, landmarks
from arcage.embedder import extractor as extract
from arcage.embedder.engines.base import cores
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import Pack, bundled
from arcage.embedder.yunet import YuNet
from arcage.extraction.run import extract_to_cache, open_cache
from arcage.heads.model import Heads
from arcage.predictor import Predictor
from arcage.sources.source import Source
from arcage.sources.walk import walk

READ, DECODE, ALIGN, HEADS = "read files", "decode", "align", "heads"
CANVAS, SECOND, CANDIDATES = "detector: canvases", "detector: second look", "detector: before and after"
DETECTOR, EMBEDDER = "detector: network", "embedder: "
OPENCV, REST, MAIN = "OpenCV's own threads", "worker threads, else", "main thread, else"
NETWORK = (DETECTOR, EMBEDDER)
USEFUL = (DECODE, CANVAS, SECOND, CANDIDATES, DETECTOR, EMBEDDER)
"""Decoding, detection and inference. OpenCV's own threads work for these too, but for the rest as well."""


HEAD = ("", "calls", "seconds", "of all cores", "of what it used")


@dataclass(slots=True)
class Spent:
    calls: int = 0
    cpu: float = 0.0
    """Seconds on a core in the calling thread, without the stages inside this one."""
    wall: float = 0.0
    """Seconds from call to return, without the stages inside this one."""


@dataclass(frozen=True, slots=True)
class Row:
    stage: str
    calls: int
    seconds: float
    """On a core."""


@dataclass(frozen=True, slots=True)
class Profile:
    wall: float
    cpu: float
    """Of the process, all threads, seconds."""
    cores: int
    rows: tuple[Row, ...]

    def share(self, *stages: str) -> float:
        """Of the time that all cores had, in the stages that begin so."""
        return sum(r.seconds for r in self.rows if r.stage.startswith(stages)) / (self.wall * self.cores)

    def shares(self) -> dict[str, float]:
        """By stage."""
        return {row.stage: row.seconds / (self.wall * self.cores) for row in self.rows}


class Clock:
    """Where the time of functions goes, over all threads."""

    def __init__(self) -> None:
        self.stages: dict[str, Spent] = defaultdict(Spent)
        self._lock = threading.Lock()
        self._local = threading.local()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, under the clock."""

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
        make: loads everything, warms it up, and gives the run. Its networks must be loaded inside.
        pack: names the networks.

    Returns:
        The profile, and what the run gave.
    """
    clock = Clock()
    before = _threads()
    big = np.zeros((2000, 2000, 3), np.uint8)
    cv2.resize(big, (500, 500), interpolation=cv2.INTER_AREA)
    opencv = set(_threads()) - set(before)
    with ExitStack() as stack:
        _put_under(clock, pack, stack)
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
    """What Python's and OpenCV's threads did not spend was spent on networks; each has as much of it as its
    calls took of the time of all networks' calls."""
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


def _put_under(clock: Clock, pack: Pack, stack: ExitStack) -> None:
    def put(owner: Any, name: str, stage: str) -> None:
        stack.enter_context(patch.object(owner, name, clock.timed(stage, getattr(owner, name))))

    put(extract, "decode", DECODE)
    put(detect, "find_faces", CANVAS)
    put(extract, "refine", SECOND)
    put(landmarks, "warp", SECOND)
    put(align, "align", ALIGN)

    class Pool(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            return super().submit(clock.timed(REST, fn), *args, **kwargs)

    stack.enter_context(patch.object(extract, "ThreadPoolExecutor", Pool))

    def method(owner: type, name: str, stage: str) -> None:
        plain = getattr(owner, name)

        def call(self: Any, *args: Any) -> Any:
            with clock.stage(stage):
                return plain(self, *args)

        stack.enter_context(patch.object(owner, name, call))

    method(Source, "read", READ)
    method(YuNet, "candidates", CANDIDATES)
    method(Heads, "predict", HEADS)
    load = OpenVinoEngine.load
    names = {m.sha256: DETECTOR if m is pack.detector else EMBEDDER + m.name for m in pack.models}

    def load_timed(self: Any, model: bytes, *args: Any, **kwargs: Any) -> Any:
        network = load(self, model, *args, **kwargs)
        return clock.timed(names[hashlib.sha256(model).hexdigest()], network)

    stack.enter_context(patch.object(OpenVinoEngine, "load", load_timed))


def _threads() -> dict[int, float]:
    """CPU seconds of this process's threads by their number; empty where the system does not tell."""
    spent = {}
    for folder in Path("/proc/self/task").glob("*"):
        try:
            spent[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e9
        except (OSError, ValueError):  # it has just ended
            continue
    return spent


def in_own_process(*arguments: object) -> tuple[Profile, dict[str, Any]]:
    """Run this script; the profile, and all that it printed."""
    out = subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, stdout=subprocess.PIPE)
    report = json.loads(out.stdout)
    return from_json(report), report


def from_json(report: Mapping[str, Any]) -> Profile:
    """What this script printed."""
    rows = tuple(Row(**row) for row in report["rows"])
    return Profile(report["wall"], report["cpu"], report["cores"], rows)


def as_rows(profile: Profile) -> list[tuple[str, str, str, str]]:
    """For people: as in ``HEAD``."""
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
        ("idle, or taken by others", "", f"{idle:.2f}", f"{idle / all_cores:.1%}", ""),
    ]


def predict(sources: Sequence[Source]) -> tuple[Profile, int]:
    """Images to answers; also the number of faces."""

    def make() -> Callable[[], int]:
        predictor = Predictor(hint="throughput")
        list(predictor.stream(sources[:8]))

        def run() -> int:
            answers = predictor.stream(sources)
            return sum(row.face is not None for _, rows in answers for row in rows)

        return run

    return profiled(make, bundled())


def to_cache(sources: Sequence[Source], pack: Pack) -> tuple[Profile, int]:
    """Images to descriptors in a cache; also the number of faces."""
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
    parser.add_argument("--limit", type=int, help="take so many images, evenly from all")
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
        profile, faces = to_cache(sources, bundled())
    print(json.dumps({"images": len(sources), "faces": faces, **asdict(profile)}))


def thinned(sources: list[Source], limit: int | None) -> list[Source]:
    """So many of them, evenly from first to last."""
    if not limit or limit >= len(sources):
        return sources
    return [sources[i * len(sources) // limit] for i in range(limit)]


if __name__ == "__main__":
    main()
