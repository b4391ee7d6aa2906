"""Images to faces with descriptors, by way of a cache: what it has is not computed again."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from arcage.cache import Cache, ShardWriter
from arcage.errors import CacheError, UsageError
from arcage.output.summary import Summary
from arcage.sources.source import Source
from arcage.types import ImageFaces

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor


def extract(
    sources: Iterable[Source],
    cache: Cache,
    extractor: Extractor,
    *,
    names: bool = True,
    progress: Callable[[], object] = lambda: None,
) -> Summary:
    """Bring the descriptors of all images into a cache; those that it has are only counted.

    However this ends, what was finished is kept; a process that is killed loses the last minute at most.
    Run again, it goes on where it stopped.

    Args:
        cache: as :func:`open_cache` gives it.
        names: keep the images' names too, for labels that are found by name.
        progress: called after each image.

    Raises:
        CacheError: the cache cannot be written.
        ModelError, DeviceError: as :class:`~arcage.embedder.extractor.Extractor`.
        KeyboardInterrupt: passed on, once everything finished is in the cache.
    """
    summary = Summary()
    start = time.monotonic()
    with closing(describe(sources, extractor, cache, names=names)) as results:
        for source, image, known in results:
            summary.add(source.path, image.status, len(image.faces))
            summary.from_cache += known
            summary.firsts += image.more
            progress()
    summary.seconds = time.monotonic() - start
    return summary


def describe(
    sources: Iterable[Source], extractor: Extractor, cache: Cache | None = None, *, names: bool = False
) -> Generator[tuple[Source, ImageFaces, bool]]:
    """Yield for each image, in order, what it gave and whether the cache had it.

    Each file is read once, in a worker thread: those that the cache has as well, because an image is known
    by its content and by nothing else. What is new is written to the cache, together with the
    images' names where asked; close the iterator, and it is written at once. Raises as :func:`extract`.
    """
    images = ((source, source.read) for source in sources)
    known = cache.get if cache is not None else None
    writing = ShardWriter(cache) if cache is not None else nullcontext()
    with writing as writer, closing(extractor.stream(images, known)) as results:
        for source, image in results:
            before = writer is not None and writer.add(image, source.name if names else None)
            yield source, image, before


def open_cache(directory: Path, extractor: Extractor) -> Cache:
    """The cache of an extractor's pipeline, made where there is none.

    Files that killed writers left there more than a day ago are removed.

    Raises:
        CacheError: it cannot be read or made.
        ModelError, DeviceError: the extractor cannot tell its dimension.
    """
    cache = Cache(
        directory, extractor.fingerprint, dimension=extractor.dimension, pipeline=extractor.description
    )
    with suppress(CacheError):  # a read-only folder
        cache.clean()
    return cache


def parse_shard(text: str) -> tuple[int, int]:
    """``2/8``, the second of eight parts, as (2, 8).

    Raises:
        UsageError: it is no such text.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return int(match[1]), int(match[2])
    raise UsageError(
        f"--shard takes i/n with i from 1 to n, such as 1/4 for the first of four parts, not {text!r}"
    )


def in_shard(source: Source, shard: tuple[int, int]) -> bool:
    """Whether an image belongs to a part.

    By its name, so that all machines agree, whatever is added; by its row group inside a Parquet file, so
    that a part reads only the groups that are its own.
    """
    number, count = shard
    key = source.unit or source.name
    return zlib.crc32(key.encode("utf-8", "surrogateescape")) % count == number - 1
