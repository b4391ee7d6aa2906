"""Estimate machines, hours, bytes and cost for a billion images, from measured rates.

    python benchmarks/speed/billion.py benchmarks/speed/rates.json --price 1.0 --into docs/guide/scaling.md

The rates come from a JSON file (see :class:`Rates`), the price from the command line. The needs of a reader
of the cache are measured here, on a synthetic cache that arcage writes and opens.
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
"""Images of the measured cache."""
_REPEATS = 5


@dataclass(frozen=True)
class Rates:
    """The JSON file: measured rates, and the commands that measured them, for people."""

    images_per_second: float
    """Rate of an extraction, from files to the cache, on ``cores``."""
    cores: int
    faces_per_image: float
    image_bytes: float
    """Mean size of an encoded image."""
    cache_bytes_per_face: float
    """Size of the shards, without names."""
    commands: dict[str, str]


@dataclass(frozen=True)
class Reader:
    """Measured needs of a process that opens a cache, per image with one face."""

    index_bytes: float
    """Memory of a process that looks images up, such as a continued extraction."""
    index_peak_bytes: float
    """Peak memory while the index is built and sorted."""
    table_bytes: float
    """Memory of `arcage fit`, without descriptors."""
    table_peak_bytes: float
    names_bytes: float
    """Memory of a name with 20 letters, in `arcage fit`."""
    names_peak_bytes: float
    seconds_per_shard: float
    """Time to open a shard in the page cache: a marker, two sizes, and the hashes of a Parquet file."""
    sort_seconds: float
    """Time to sort a million hashes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rates", type=Path, help="JSON file with the measured rates")
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--machine-cores", type=int, default=64, help="cores of one machine")
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument(
        "--price", type=float, help="price of one machine for an hour; without it, no cost is shown"
    )
    parser.add_argument(
        "--into", type=Path, help="Markdown file in which the part between the markers is replaced"
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
    """Return the table of machines and hours, as lines of Markdown."""
    per_machine = rates.images_per_second / rates.cores * machine_cores
    faces = images * rates.faces_per_image
    lines = [
        f"Measured: {rates.images_per_second:g} images a second on {rates.cores} cores, "
        f"{rates.image_bytes:,.0f} bytes an image, {rates.faces_per_image:g} faces an image, "
        f"{rates.cache_bytes_per_face:,.0f} bytes of cache a face. For {images:,.0f} images: "
        f"{size(images * rates.image_bytes)} are read, {size(faces * rates.cache_bytes_per_face)} of cache "
        f"are written. A machine with {machine_cores} cores processes {per_machine:,.0f} images a second, "
        f"{size(per_machine * rates.image_bytes)} a second, if the rate grows in proportion to the cores.",
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
            f"Costs are for a price of {price:g} per machine and hour, without storage.",
        ]
    return lines


def limits(reader: Reader, images: float) -> list[str]:
    """Return the table of what grows in one cache folder, as lines of Markdown."""
    per_shard = inspect.signature(ShardWriter).parameters["images_per_shard"].default
    files = len(SUFFIXES) + 1
    dimension = sum(model.dimension or 0 for model in bundled_pack().embedders)
    lines = [
        f"In one cache folder (descriptors of {dimension:,} columns, {2 * dimension:,} bytes; shards of at "
        f"most {per_shard:,} images, {_BATCH:,} under Ray, or of one minute; {files} files a shard):",
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
    """Write a synthetic cache, open it, and measure."""
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
    """Return the time of the fastest of several calls: other load on the machine only adds to it."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _memory(call: Callable[[], object]) -> tuple[int, int]:
    """Return the bytes that a call keeps allocated, and its peak."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    kept = call()
    now, peak = tracemalloc.get_traced_memory()
    del kept
    return now - before, peak - before


def size(bytes_: float) -> str:
    """Format bytes in decimal units, with two digits or as a whole number."""
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
