"""The cache at ten thousand, a hundred thousand and a million faces: seconds, memory and bytes.

    pip install '.[report]' && python benchmarks/speed/cache.py --out results/ --work /tmp

Writes ``cache.json`` and ``cache.png``. Takes 3 GB of disk under --work, and gives them back; the largest
size takes 6 GB of memory while its descriptors are read for a fit.

Descriptors, boxes and labels are made up; the width (1,024 columns), the type (float16), the files, the
heads and all the code are real. Each part runs in a process of its own, which measures its peak memory:

- ``write``: every face through ``ShardWriter``, with a file name.
- ``open``: ``Cache(...)`` on the finished folder.
- ``known``: which of 1,000,000 hashes the cache has, the index included that is built for it; the cache
  has at most half of them. To know the hashes, files have to be read: that is not in here.
- ``feed``: labels from the file names, and the descriptors of all labelled faces as ``arcage fit`` takes
  them, float32.
- ``score``: ``arcage predict --cache --out FILE.csv`` from where a file has been read. There are no files:
  an image is a few bytes in memory, which are hashed and looked up as those of a file are.

The files have just been written, so that they are read from the system's memory as far as it has room.
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

# Nothing large is imported here: a new process begins with the peak memory of the one that started it.

SIZES = (10_000, 100_000, 1_000_000)
ASKED = 1_000_000
"""Hashes looked up in ``known``, whatever the size of the cache."""
DIMENSION = 1024

Part = Callable[[Path, int], dict[str, Any]]


def data(number: int) -> bytes:
    """The bytes of an image."""
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
    from arcage.output.save import save
    from arcage.predictor import Predictor
    from arcage.sources.source import Source

    def sources() -> Iterator[Source]:
        for number in range(faces):
            name = f"{number:08d}.jpg"
            yield Source(name, name, data=data(number))

    begun = time.perf_counter()
    predictor = Predictor(hint="throughput", cache=folder)
    csv = folder / "answers.csv"
    with closing(predictor.stream(sources())) as answers:
        summary = save(answers, write_file(csv))
    seconds = time.perf_counter() - begun
    assert (summary.images, summary.ok, summary.faces) == (faces, faces, faces)
    assert predictor._extractor._stage is None
    with csv.open() as lines:
        assert sum(1 for _ in lines) == faces + 1
    csv.unlink()
    return {"seconds": seconds}


PARTS: dict[str, Part] = {"write": write, "open": open_, "known": known, "feed": feed, "score": score}


def peak() -> float:
    """The peak memory of this process so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def measure(part: str, folder: Path, faces: int) -> dict[str, Any]:
    """Run a part in a process of its own."""
    command = [sys.executable, __file__, "--inside", part, str(folder), str(faces)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run(sizes: list[int], work: Path | None) -> dict[str, Any]:
    """All parts at all sizes."""
    measured: list[dict[str, Any]] = []
    for faces in sizes:
        row: dict[str, Any] = {"faces": faces}
        with tempfile.TemporaryDirectory(prefix="arcage-cache-", dir=work) as folder:
            for part in PARTS:
                row[part] = measure(part, Path(folder), faces)
                print(f"{faces:>9,} faces, {part}: {_words(row[part])}", flush=True)
        measured.append(row)
    return {"dimension": DIMENSION, "machine": platform.platform(), "sizes": measured}


def _words(result: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value:,}"
        for name, value in result.items()
    )


def plot(results: dict[str, Any], path: Path) -> None:
    """Seconds and peak memory against the number of faces, each with a line of what grows in proportion."""
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
        faces, [row["feed"]["array_mb"] for row in sizes], ":", color="black", label="the fit's array itself"
    )
    least = min(sizes[0][part]["seconds"] for part in titles)
    time_axis.plot(
        faces, [least * n / faces[0] for n in faces], "--", color="grey", label="in proportion to the faces"
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
    parser.add_argument("--work", type=Path, help="folder with room for the caches; the system's by default")
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
