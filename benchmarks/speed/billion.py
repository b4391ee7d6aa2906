"""What a billion images take: machines, hours, bytes and money, from rates that were measured.

    python benchmarks/speed/billion.py benchmarks/speed/rates.json --price 1.0 --into docs/guide/scaling.md

The rates are read from a JSON file (see :class:`Rates`); prices are what you say they are. What a reader of
the cache needs is measured here, on a made-up cache that arcage's own code writes and opens, and its other
limits are read from that code.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import math
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arcage.cache import Cache, ShardWriter
from arcage.cache.shard import SUFFIXES
from arcage.embedder.packs.record import bundled_pack
from arcage.extraction.distributed import _BATCH
from arcage.files import atomic_write
from arcage.types import Face, ImageFaces

BEGIN, END = "<!-- billion.py -->", "<!-- end of billion.py -->"
SECONDS_PER_HOUR = 3600
_MADE_UP = 20_000
"""Images of the cache that is measured."""
_REPEATS = 5


@dataclass(frozen=True)
class Rates:
    """The JSON file: what was measured, and how (``commands``, for people)."""

    images_per_second: float
    """Extracted, files to cache, on ``cores``."""
    cores: int
    faces_per_image: float
    image_bytes: float
    """Of one encoded image, read."""
    cache_bytes_per_face: float
    """Shards, names not included."""
    commands: dict[str, str]


@dataclass(frozen=True)
class Reader:
    """What one process needs that opens a cache, for each image of one face; measured."""

    index_bytes: float
    """Kept by a process that looks images up, such as an extraction that goes on."""
    index_peak_bytes: float
    """While that is built and sorted."""
    table_bytes: float
    """Kept by `arcage fit`, without descriptors."""
    table_peak_bytes: float
    names_bytes: float
    """Of a name with 20 letters, in `arcage fit`."""
    names_peak_bytes: float
    seconds_per_shard: float
    """To open: a marker, two sizes, and the hashes out of a Parquet file; they were in the page cache."""
    sort_seconds: float
    """Of a million hashes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rates", type=Path, help="JSON with the measured rates")
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--machine-cores", type=int, default=64, help="cores of one machine")
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument(
        "--price", type=float, help="of one machine for an hour; without it, no money is shown"
    )
    parser.add_argument(
        "--into", type=Path, help="a Markdown file whose part between the markers is replaced"
    )
    arguments = parser.parse_args()
    rates = Rates(**json.loads(arguments.rates.read_text("utf-8")))
    text = "\n".join(
        [
            *work(rates, arguments.images, arguments.machine_cores, arguments.machines, arguments.price),
            "",
            *limits(measure(), arguments.images),
        ]
    )
    if arguments.into is None:
        print(text)
        return
    page = arguments.into.read_text("utf-8")
    before, rest = page.split(BEGIN)
    with atomic_write(arguments.into, "w") as file:
        file.write(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def work(
    rates: Rates, images: float, machine_cores: int, machines: Sequence[int], price: float | None
) -> list[str]:
    """The table of machines and hours, in lines of Markdown."""
    per_machine = rates.images_per_second / rates.cores * machine_cores
    faces = images * rates.faces_per_image
    lines = [
        f"Measured: {rates.images_per_second:g} images a second on {rates.cores} cores, "
        f"{rates.image_bytes:,.0f} bytes an image, {rates.faces_per_image:g} faces an image, "
        f"{rates.cache_bytes_per_face:,.0f} bytes of cache a face. For {images:,.0f} images: "
        f"{size(images * rates.image_bytes)} are read, {size(faces * rates.cache_bytes_per_face)} of cache "
        f"are written. A machine has {machine_cores} cores here and does {per_machine:,.0f} images a second, "
        f"{size(per_machine * rates.image_bytes)} a second, if more cores are as good as those two.",
        "",
        "| machines | hours | read, all together |"
        + (" cost | per million images |" if price is not None else ""),
        "|---|---|---|" + ("---|---|" if price is not None else ""),
    ]
    for number in machines:
        hours = images / (per_machine * number) / SECONDS_PER_HOUR
        cells = [f"{number:,}", f"{hours:,.1f}", f"{size(per_machine * number * rates.image_bytes)} a second"]
        if price is not None:
            cost = hours * number * price
            cells += [f"{cost:,.0f}", f"{cost / images * 1e6:,.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    if price is not None:
        lines += [
            "",
            f"Costs are for {price:g} a machine and hour, whatever the currency; storage is not in them.",
        ]
    return lines


def limits(reader: Reader, images: float) -> list[str]:
    """The table of what grows in one cache folder, in lines of Markdown."""
    per_shard = inspect.signature(ShardWriter).parameters["images_per_shard"].default
    files = len(SUFFIXES) + 1
    dimension = sum(model.dimension or 0 for model in bundled_pack().embedders)
    lines = [
        f"In one cache folder (descriptors of {dimension:,} columns, {2 * dimension:,} bytes; shards of at "
        f"most {per_shard:,} images, {_BATCH:,} under Ray, or of a minute; {files} files a shard):",
        "",
        "| | " + " | ".join(f"10^{round(math.log10(n))} images" for n in sizes(images)) + " |",
        "|---|" + "---|" * len(sizes(images)),
    ]
    rows = {
        "files, local / Ray": lambda n: f"{files * n / per_shard:,.0f} / {files * n / _BATCH:,.0f}",
        "time to open": lambda n: duration(reader.seconds_per_shard * n / per_shard),
        "sorting the hashes": lambda n: duration(
            reader.sort_seconds * n * math.log2(n) / (1e6 * math.log2(1e6))
        ),
        "index, for each process: kept / while built": lambda n: (
            f"{size(reader.index_bytes * n)} / {size(reader.index_peak_bytes * n)}"
        ),
        "`fit`, without descriptors: kept / while read": lambda n: (
            f"{size(reader.table_bytes * n)} / {size(reader.table_peak_bytes * n)}"
        ),
        "names of 20 letters in `fit`: kept / while read": lambda n: (
            f"{size(reader.names_bytes * n)} / {size(reader.names_peak_bytes * n)}"
        ),
    }
    return lines + [
        f"| {name} | " + " | ".join(map(cell, sizes(images))) + " |" for name, cell in rows.items()
    ]


def sizes(images: float) -> list[float]:
    return [n for n in (1e6, 1e7, 1e8, 1e9, 1e10) if n <= images]


def measure(images: int = _MADE_UP) -> Reader:
    """Write a cache and open it."""
    face = Face(np.array([0, 0, 99, 99], np.float32), np.zeros((5, 2), np.float32), 0.95)
    descriptors = np.zeros((1, 8), np.float16)
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(folder, "made-up", dimension=8)
        with ShardWriter(cache) as writer:
            for number in range(images):
                sha256 = hashlib.sha256(b"%d" % number).hexdigest()
                writer.add(ImageFaces(sha256, 99, 99, "ok", "", (face,), descriptors), f"{number:020d}")
        shards = len(cache.table().parts)
        seconds = _seconds(lambda: len(Cache(folder, "made-up")))
        tracemalloc.start()
        opened = Cache(folder, "made-up")
        index, index_peak = _memory(lambda: len(opened))
        table, table_peak = _memory(opened.table)
        names, names_peak = _memory(opened.names)
        tracemalloc.stop()
    keys = np.random.default_rng(0).integers(0, 256, (1_000_000, 32), np.uint8).view("S32").ravel()
    sorting = _seconds(lambda: np.argsort(keys, kind="stable"))
    each = [bytes_ / images for bytes_ in (index, index_peak, table, table_peak, names, names_peak)]
    return Reader(*each, seconds_per_shard=seconds / shards, sort_seconds=sorting)


def _seconds(call: Callable[[], object]) -> float:
    """The best of several calls: whatever else runs on this machine only adds."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _memory(call: Callable[[], object]) -> tuple[int, int]:
    """Bytes that a call's result (and what it leaves behind) keeps, and the most while it ran."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    kept = call()
    now, peak = tracemalloc.get_traced_memory()
    del kept
    return now - before, peak - before


def size(bytes_: float) -> str:
    """Bytes in decimal units, to two digits or the nearest whole number."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if bytes_ < 1000 or unit == "PB":
            break
        bytes_ /= 1000
    return f"{bytes_:.2g} {unit}" if bytes_ < 10 else f"{bytes_:,.0f} {unit}"


def duration(seconds: float) -> str:
    for unit, long in (("s", 120), ("min", 7200), ("h", math.inf)):
        if seconds < long:
            return f"{seconds / {'s': 1, 'min': 60, 'h': 3600}[unit]:,.2g} {unit}"
    raise AssertionError


if __name__ == "__main__":
    main()
