"""Extract images into a descriptor cache, in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from arcage.cache import Cache, ShardWriter
from arcage.embedder.reading import ReadImage, with_faces
from arcage.errors import CacheError, UsageError
from arcage.output.summary import Summary
from arcage.sources.source import Source
from arcage.types import FacesFrom, ImageFaces

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor
    from arcage.embedder.workers import Workers


@dataclass(frozen=True, slots=True)
class Extracted:
    """The result for one image."""

    source: Source
    image: ImageFaces
    from_cache: bool
    """Whether the cache had the image before."""


def extract_to_cache(
    sources: Iterable[Source],
    cache: Cache,
    extractor: Extractor,
    *,
    names: bool = True,
    progress: Callable[[], object] = lambda: None,
    workers: Workers | None = None,
) -> Summary:
    """Extract all images into a cache. Images that the cache has are only counted.

    Finished images are kept if the run is interrupted; a killed process loses at most the last minute. The
    next run continues where this one stopped.

    Args:
        sources: the images.
        cache: as :func:`open_cache` returns it.
        extractor: computes faces and descriptors.
        names: store the images' file names as well, for labels that are found by name.
        progress: called after each image.
        workers: worker processes, for many images; None for threads of this process.

    Raises:
        CacheError: the cache cannot be written.
        ModelError, DeviceError: as :class:`~arcage.embedder.extractor.Extractor`.
        KeyboardInterrupt: raised again after all finished images are in the cache.
    """
    summary = Summary()
    start = time.monotonic()
    with closing(extract_images(sources, extractor, cache, names=names, workers=workers)) as results:
        for result in results:
            summary.add(result.source.path, result.image.status, len(result.image.faces))
            summary.add_given(result.source.faces, [face.score for face in result.image.faces])
            summary.from_cache += result.from_cache
            summary.multi_frame += result.image.multi_frame
            progress()
    summary.seconds = time.monotonic() - start
    return summary


def extract_images(
    sources: Iterable[Source],
    extractor: Extractor,
    cache: Cache | None = None,
    *,
    names: bool = False,
    workers: Workers | None = None,
) -> Generator[Extracted]:
    """Yield the result for each image, in the order of ``sources``.

    Every file is read once, in a worker, even if the cache has the image: images are identified by
    content only, decoded pictures by their pixels. New results are written to the cache, with the images'
    file names if ``names`` is set. Closing the iterator writes what is pending. Raises the errors of
    :func:`extract_to_cache`.
    """
    images = ((source, _reader(source, cache)) for source in sources)
    known = cache.get if cache is not None else None
    writing = ShardWriter(cache) if cache is not None else nullcontext()
    stream = extractor.stream(images, known, workers=workers, size_of=lambda source: source.size)
    with writing as writer, closing(stream) as results:
        for source, image in results:
            from_cache = writer is not None and writer.add(image, source.name if names else None)
            yield Extracted(source, image, from_cache)


def _reader(source: Source, cache: Cache | None) -> ReadImage:
    """Return the function that reads an image, with the faces that the user gave.

    Raises:
        ValueError: the cache is for faces of another origin.
    """
    if cache is not None and (source.faces is not None) != ("faces" in cache.pipeline):
        raise ValueError("a cache is for detected faces, own boxes or aligned crops: open it for these faces")
    return source.content if source.faces is None else partial(with_faces, source.content, source.faces)


def check_names(pack: object, device: object, **places: object) -> None:
    """Check the types of arguments in Python, of which each of ``places`` may be None.

    Raises:
        UsageError: one is not a name or folder.
    """
    for name, value in (("pack", pack), *places.items()):
        if value is None and name != "pack":
            continue
        # An empty path would be the working directory.
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise UsageError(f"{name} is a name or folder, not {value!r}")
    if not isinstance(device, str):
        raise UsageError(f"device is a name such as 'cpu' or 'cuda:0', not {device!r}")


def open_cache(directory: Path, extractor: Extractor, faces_from: FacesFrom = "detector") -> Cache:
    """Open the cache of an extractor's pipeline, or create it.

    Files that killed writers left more than a day ago are removed.

    Args:
        directory: folder of the cache.
        extractor: computes the descriptors.
        faces_from: where the faces of the images are from.

    Raises:
        CacheError: the cache cannot be read or created.
        ModelError, DeviceError: the extractor cannot determine its dimension.
    """
    cache = Cache(
        directory,
        extractor.cache_name(faces_from),
        dimension=extractor.dimension,
        pipeline=extractor.description_of(faces_from),
    )
    with suppress(CacheError):  # a read-only folder
        cache.clean()
    return cache
