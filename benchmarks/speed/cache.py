"""Measure the cache at 10,000, 100,000 and 1,000,000 faces: seconds, memory and bytes.

    pip install '.[report]' && python benchmarks/speed/cache.py --out results/ --work /tmp

Writes ``cache.json`` and ``cache.png``. Needs 3 GB of temporary disk space under --work; the largest size
needs 6 GB of memory while its descriptors are read for a fit.

Descriptors, boxes and labels are synthetic; the width (1,024 columns), the type (float16), the files, the
heads and the code are real. Each part runs in its own process, which measures its peak memory:

- ``write``: every face through ``ShardWriter``, with a file name.
- ``open``: ``Cache(...)`` on the finished folder.
- ``known``: look up 1,000,000 hashes, of which the cache has at most half, including the time to build the
  index. Reading the files to hash them is not included.
- ``feed``: labels from the file names, and the descriptors of all labelled faces as ``arcage fit`` reads
  them, float32.
- ``score``: ``arcage predict --cache --out FILE.csv`` without reading files: an image is a few bytes in
  memory, which are hashed and looked up like those of a file.

The files have just been written, so they are in the page cache as far as it has room.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

# No large imports here: a new process starts with the peak memory of its parent.

SIZES = (10_000, 100_000, 1_000_000)
ASKED = 1_000_000
"""Hashes looked up in ``known``, at every size."""
DIMENSION = 1024

Part = Callable[[Path, int], dict[str, Any]]


def data(number: int) -> bytes:
    """Return the bytes of an image."""
    return b"%d" % number


def write(folder: Path, faces: int) -> dict[str, Any]:
    import numpy as np

    from arcage.cache import Cache, ShardWriter
    from arcage.embedder.extractor import Extractor
    from arcage.types import Face, ImageFaces

    extractor = Extractor()
    assert extractor.dimension == DIMENSION
    rng = np.random.default_rng(0)
    seconds = 0.0
    cache = Cache(folder, extractor.fingerprint, dimension=DIMENSION, pipeline=extractor.pipeline)
    writer = ShardWriter(cache)
    for start in range(0, faces, 1000):
        count = min(1000, faces - start)
        descriptors = rng.standard_normal((count, DIMENSION), np.float32).astype(np.float16)
        numbers = rng.uniform(0, 200, (count, 14)).astype(np.float32)
        ages, genders = rng.integers(1, 90, count), rng.integers(0, 2, count)
        images = [
            (
                ImageFaces(
                    hashlib.sha256(data(start + i)).hexdigest(),
                    200,
                    200,
                    "ok",
                    "",
                    (Face(numbers[i, :4], numbers[i, 4:].reshape(5, 2), 0.95),),
                    descriptors[i : i + 1],
                ),
                f"{ages[i]}_{genders[i]}_0_{start + i:017d}.jpg",
            )
            for i in range(count)
        ]
        begun = time.perf_counter()
        for image, name in images:
            writer.add(image, name)
        seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    writer.flush()
    seconds += time.perf_counter() - begun
    arrays = faces * DIMENSION * 2
    shards = sum(path.stat().st_size for path in cache.path.iterdir())
    names = sum(path.stat().st_size for path in (folder / "names").iterdir())
    return {
        "seconds": seconds,
        "bytes_arrays": arrays,
        "bytes_shards": shards,
        "bytes_names": names,
        "bytes_over_arrays": (shards + names) / arrays,
    }


def open_(folder: Path, faces: int) -> dict[str, Any]:
    from arcage.cache import Cache

    (fingerprint,) = Cache.fingerprints(folder)
    begun = time.perf_counter()
    Cache(folder, fingerprint)
    return {"seconds": time.perf_counter() - begun}


def known(folder: Path, faces: int) -> dict[str, Any]:
    from arcage.cache import Cache

    (fingerprint,) = Cache.fingerprints(folder)
    cache = Cache(folder, fingerprint)
    there = min(faces, ASKED // 2)
    numbers = [*range(there), *range(faces, faces + ASKED - there)]
    hashes = [hashlib.sha256(data(number)).hexdigest() for number in numbers]
    begun = time.perf_counter()
    missing = cache.missing(hashes)
    seconds = time.perf_counter() - begun
    assert missing.tolist() == [number >= faces for number in numbers]
    return {"seconds": seconds, "asked": ASKED, "there": there}


def feed(folder: Path, faces: int) -> dict[str, Any]:
    from arcage.cache import Cache
    from arcage.data.join import labelled_faces

    (fingerprint,) = Cache.fingerprints(folder)
    begun = time.perf_counter()
    labelled = labelled_faces(Cache(folder, fingerprint), "utkface")
    found = time.perf_counter()
    before = peak()
    x = labelled.descriptors()
    seconds = time.perf_counter()
    assert x.shape == (faces, DIMENSION)
    return {
        "seconds": seconds - begun,
        "seconds_labels": found - begun,
        "peak_mb_labels": before,
        "array_mb": x.nbytes / 1e6,
    }


def score(folder: Path, faces: int) -> dict[str, Any]:
    from arcage.output.formats import write_file
    from arcage.prediction.write import write_predictions
    from arcage.predictor import Predictor
    from arcage.sources.source import Source

    def sources() -> Iterator[Source]:
        for number in range(faces):
            name = f"{number:08d}.jpg"
            yield Source(name, name, data=data(number))

    begun = time.perf_counter()
    predictor = Predictor(hint="throughput", cache=folder)
    csv = folder / "predictions.csv"
    with closing(predictor.stream(sources())) as predictions:
        summary = write_predictions(predictions, write_file(csv))
    seconds = time.perf_counter() - begun
    assert (summary.images, summary.ok, summary.faces) == (faces, faces, faces)
    assert predictor._extractor._networks is None
    with csv.open() as lines:
        assert sum(1 for _ in lines) == faces + 1
    csv.unlink()
    return {"seconds": seconds}


PARTS: dict[str, Part] = {"write": write, "open": open_, "known": known, "feed": feed, "score": score}


def peak() -> float:
    """Return the peak memory of this process, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def measure(part: str, folder: Path, faces: int) -> dict[str, Any]:
    """Run a part in its own process."""
    command = [sys.executable, __file__, "--inside", part, str(folder), str(faces)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run(sizes: list[int], work: Path | None) -> dict[str, Any]:
    """Measure all parts at all sizes."""
    measured: list[dict[str, Any]] = []
    for faces in sizes:
        row: dict[str, Any] = {"faces": faces}
        with tempfile.TemporaryDirectory(prefix="arcage-cache-", dir=work) as folder:
            for part in PARTS:
                row[part] = measure(part, Path(folder), faces)
                print(f"{faces:>9,} faces, {part}: {_as_text(row[part])}", flush=True)
        measured.append(row)
    return {"dimension": DIMENSION, "machine": platform.platform(), "sizes": measured}


def _as_text(result: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value:,}"
        for name, value in result.items()
    )


def plot(results: dict[str, Any], path: Path) -> None:
    """Plot seconds and peak memory against the number of faces, each with a line of proportional growth."""
    from matplotlib.figure import Figure

    sizes = results["sizes"]
    faces = [row["faces"] for row in sizes]
    figure = Figure(figsize=(10, 4.4), dpi=130, layout="constrained")
    time_axis, memory_axis = figure.subplots(1, 2)
    titles = {
        "write": "write",
        "open": "open",
        "known": f"look up {ASKED:,} hashes",
        "feed": "labels and descriptors for a fit",
        "score": "score into a CSV file",
    }
    for part, title in titles.items():
        time_axis.plot(faces, [row[part]["seconds"] for row in sizes], "o-", label=title)
        memory_axis.plot(faces, [row[part]["peak_mb"] for row in sizes], "o-", label=title)
    memory_axis.plot(
        faces, [row["feed"]["array_mb"] for row in sizes], ":", color="black", label="the array of the fit"
    )
    least = min(sizes[0][part]["seconds"] for part in titles)
    time_axis.plot(
        faces, [least * n / faces[0] for n in faces], "--", color="grey", label="proportional to the faces"
    )
    time_axis.set(xscale="log", yscale="log", xlabel="faces in the cache", ylabel="seconds")
    memory_axis.set(xscale="log", yscale="log", xlabel="faces in the cache", ylabel="peak memory, MB")
    for axis in (time_axis, memory_axis):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for cache.json and cache.png")
    parser.add_argument("--work", type=Path, help="folder for the caches; default: the temporary folder")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="FACES")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    results = run(options.sizes, options.work)
    (options.out / "cache.json").write_text(json.dumps(results, indent=2) + "\n")
    plot(results, options.out / "cache.png")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        outcome = PARTS[sys.argv[2]](Path(sys.argv[3]), int(sys.argv[4]))
        print(json.dumps({**outcome, "peak_mb": peak()}))
    else:
        main()
