"""Compare arcage with the common recipe and the same weights, from a folder of large photos to a CSV file.

    python benchmarks/speed/folder.py --data ../shared/data --work /tmp/speed

The photos (1 to 12 megapixels, 1 to 10 faces, JPEG) are generated once and are the same everywhere: see
photos.py. The recipe is OpenCV's FaceDetectorYN, on the full photo and on one of 640 pixels, InsightFace's
norm_crop and ArcFaceONNX on ONNX Runtime, and arcage's heads, one face at a time: see peer_recipe.py. It runs
in its own virtual environment. Its networks are the bundled ones, from the input of the published graphs on
(float16 weights, computed in float32). Like arcage, it averages each face and its mirror image. Its rates
without the mirror image are reported too; that is less computation for less accurate predictions.

arcage's rates are those of ``arcage predict FOLDER --out FILE.csv``, including start-up, and of the library
alone. The contenders alternate in blocks, so that other load on the machine affects all of them. Also prints
a profile of arcage: see stages.py.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import measure
import networks
import onnx
import photos
import stages
from peers import Peer, install, interpreter
from protocol import run_arcage

from arcage.embedder.packs.record import Pack, bundled_pack
from arcage.predictor import Predictor
from arcage.sources.source import Source
from arcage.sources.walk import walk

REPOSITORY = Path(__file__).parents[2]
RECIPE = Peer("the common recipe", ("insightface==2.1",), "peer_recipe.py", "")
SIDES = {"full size": None, "640 pixels": 640}
COMMAND, LIBRARY = "arcage predict, whole command", "arcage, library"
BLOCKS = 3
CROPS = 2000
"""Number of UTKFace crops that the photos are composed from."""


@contextmanager
def recipe(python: Path, work: Path, pack: Pack) -> Iterator[Any]:
    """Start the peer; yield a function from photos and a side to its results, and its package versions."""
    embedders = []
    for model in pack.embedders:
        graph, mean, std = networks.plain(onnx.load_from_string(pack.read(model)))
        file = work / f"{model.name}-plain.onnx"
        onnx.save(graph, file)
        embedders.append({"file": str(file), "mean": mean, "std": std})
    settings = work / "recipe.json"
    detector = str(pack.folder / pack.detector.file)
    settings.write_text(
        json.dumps({"repository": str(REPOSITORY), "detector": detector, "embedders": embedders}), "utf-8"
    )
    # -I: only the packages of its own environment, not PYTHONPATH and this folder.
    script = Path(__file__).with_name(RECIPE.runner)
    with subprocess.Popen(
        [python, "-I", script, settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(paths: Sequence[str], side: int | None) -> dict[str, float]:
            process.stdin.write(json.dumps({"photos": list(paths), "side": side}) + "\n")
            process.stdin.flush()
            return _reply(process)

        yield ask, _reply(process)
        process.stdin.close()


def _reply(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{RECIPE.runner} ended early, see above")
    return json.loads(line)


def library(predictor: Predictor, sources: Sequence[Source]) -> tuple[float, int]:
    """Return seconds and the number of faces."""
    start = time.perf_counter()
    faces = sum(row.face is not None for _, rows in predictor.stream(sources) for row in rows)
    return time.perf_counter() - start, faces


def command(folder: Path, out: Path) -> tuple[float, float]:
    """Return the elapsed seconds of ``arcage predict``, including start-up, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    run_arcage("predict", folder, "--out", out, "--quiet")
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(
    ask: Any, predictor: Predictor, sources: Sequence[Source], arcage: Callable[[], tuple[float, float]]
) -> dict[str, Any]:
    """Return the runs of arcage and the seconds of the recipe by part, each over all photos."""
    theirs: dict[str, dict[str, float]] = {name: defaultdict(float) for name in SIDES}
    library_runs, command_runs = [], []
    for block in range(BLOCKS):
        library_runs.append(library(predictor, sources))
        command_runs.append(arcage())
        paths = [source.path for source in sources[block::BLOCKS]]
        for name, side in SIDES.items():
            for part, value in ask(paths, side).items():
                theirs[name][part] += value
    return {"library": library_runs, "command": command_runs, "recipe": theirs}


def results(runs: dict[str, Any], count: int) -> dict[str, tuple[int, float]]:
    """Return faces and photos per second of each contender, from the result of :func:`compare`."""
    faces = runs["library"][0][1]
    rated = {
        COMMAND: (faces, count / measure.median([seconds for seconds, _ in runs["command"]])),
        LIBRARY: (faces, count / measure.median([seconds for seconds, _ in runs["library"]])),
    }
    for name, parts in runs["recipe"].items():
        total = sum(parts[part] for part in parts if part != "faces")
        one_pass = total - parts["networks on the mirror image"]
        rated[f"recipe, {name}"] = int(parts["faces"]), count / total
        rated[f"recipe, {name}, no mirror"] = int(parts["faces"]), count / one_pass
    return rated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with utkface/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the photos and the environment")
    parser.add_argument(
        "--out", type=Path, help="folder for the JSON file and the plot; default WORK/results"
    )
    parser.add_argument("--photos", type=int, default=60)
    args = parser.parse_args()
    work: Path = args.work
    out: Path = args.out or work / "results"
    report: dict[str, Any] = {"machine": measure.machine()}
    out.mkdir(parents=True, exist_ok=True)

    environment = install(RECIPE, work)
    group = next(environment.rglob("insightface/data/images/t1.jpg"))
    crops = stages.thinned([Path(source.path) for source in walk([args.data / "utkface"])], CROPS)
    folder = work / f"photos-{args.photos}"
    photos.make(folder, args.photos, crops, group, REPOSITORY / "examples" / "astronaut.jpg")
    sources = list(walk([folder]))

    csv = work / "folder.csv"
    command(folder, csv)  # compiles the networks, and reads the photos into the page cache
    predictor = Predictor(hint="throughput")
    library(predictor, sources[:8])
    with recipe(interpreter(environment), work, bundled_pack()) as (ask, versions):
        ask([source.path for source in sources[:2]], 640)
        runs = compare(ask, predictor, sources, lambda: command(folder, csv))
    profile, raw = stages.in_own_process("predict", folder)

    count = len(sources)
    busy = measure.median([cpu / seconds / measure.cores() for seconds, cpu in runs["command"]])
    rated = results(runs, count)
    rates = {name: rate for name, (_, rate) in rated.items()}
    rows = [
        (name, f"{faces:,}", f"{r:.2f}", f"{rates[COMMAND] / r:.2f}", f"{rates[LIBRARY] / r:.2f}")
        for name, (faces, r) in rated.items()
    ]
    head = ("", "faces", "photos/s", "speed-up of the command", "speed-up of the library")
    print(measure.as_text(head, rows))
    print(f"\nThe command uses {busy:.1%} of all cores on average.\n")
    theirs = runs["recipe"]
    rows = [
        (part, *(f"{theirs[n][part]:.2f}" for n in SIDES)) for part in theirs["full size"] if part != "faces"
    ]
    print(measure.as_text(("recipe: seconds", *SIDES), rows))
    useful, helped = profile.share(*stages.USEFUL), profile.share(*stages.USEFUL, stages.OPENCV)
    print("\nThe library:\n" + measure.as_text(stages.HEAD, stages.as_rows(profile)))
    print(
        f"\nDecoding, detection and inference: {useful:.1%} of the time of all cores; {helped:.1%} with "
        "OpenCV's own threads, which work for these and for the alignment."
    )
    report |= {
        "peer": versions,
        "photos": count,
        "bytes": sum(os.path.getsize(source.path) for source in sources),
        "photos_per_second": rates,
        "faces": {name: faces for name, (faces, _) in rated.items()},
        "runs": runs,
        "command_uses_of_all_cores": busy,
        "useful_share": useful,
        "useful_share_with_opencv_threads": helped,
        "profile": raw,
    }
    measure.save(out, "folder", report)
    title = f"{count} photos of 1 to 12 megapixels"
    measure.plot(out / "folder.png", title, "photos a second", rates, {"arcage": profile.shares()})


if __name__ == "__main__":
    main()
