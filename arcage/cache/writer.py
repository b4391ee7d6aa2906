"""Collecting extraction results and writing them to a cache, a shard at a time."""

from __future__ import annotations

import re
import time
from types import TracebackType
from typing import Self

from arcage.cache.parts import write_error
from arcage.cache.shard import ShardBuffer
from arcage.cache.store import Cache
from arcage.process.interrupt import uninterrupted
from arcage.types import ImageFaces

_BYTES_PER_SHARD = 64 << 20
"""Of descriptors: crowds in raw levels would otherwise fill the memory before the images are enough."""

_NAMES_PER_PART = 1 << 16


class ShardWriter:
    """Writes images to a cache; a context manager that keeps what it was given however the block ends.

    A shard is written after ``images_per_shard`` images, or with the first call more than ``max_seconds``
    after its first image: a process that is killed loses no more than that. Any number of writers, in
    threads, processes or on other machines, may write to one folder; each is used by one thread.
    """

    def __init__(self, cache: Cache, *, images_per_shard: int = 2048, max_seconds: float = 60.0) -> None:
        self.cache = cache
        self.images_per_shard = images_per_shard
        self.max_seconds = max_seconds
        self._images = ShardBuffer(cache.dimension)
        self._names: dict[tuple[str, str], None] = {}
        self._since = 0.0
        self._failed = False

    def add(self, image: ImageFaces, name: str | None = None) -> bool:
        """Take one image's result, and the name under which it was found (see :meth:`add_name`).

        An image that this writer has, or the cache has from a search at least as fine, is not written again.
        An image with an empty sha256, whose bytes could not be read, is not kept. ``image.error`` is kept
        unchanged: it must describe the bytes, not the path. Returns whether the cache had the image before.

        Raises CacheError for descriptors of another shape than the cache's or with values that are not
        finite, and where a shard cannot be written; ValueError for a sha256 that is none.
        """
        if not image.sha256:
            return False
        before = self.cache.covers(image)
        with uninterrupted():
            if not before and image.sha256 not in self._images:
                self._images.append(image)
            if name is not None:
                self._names[_pair(name, image.sha256)] = None
            self._flush_when_due()
        return before

    def add_name(self, sha256: str, name: str) -> None:
        """Keep a name of an image that is in the cache already, or that this writer was given.

        ``name`` is a POSIX path relative to the folder that the user gave. Names are written after the images
        they belong to; those of other images are dropped. Raises ValueError for an absolute path
        and for a sha256 that is none.
        """
        if sha256:
            self._names[_pair(name, sha256)] = None
            self._flush_when_due()

    def flush(self) -> None:
        """Write what there is. Afterwards it survives a power cut.

        Raises CacheError where it cannot be written; everything is still here then, and may be tried again.
        """
        try:
            if self._images:
                self.cache.append(self._images)
                self._images = ShardBuffer(self.cache.dimension)
            if self._names:
                self.cache.append_names([name for name, _ in self._names], [sha for _, sha in self._names])
                self._names = {}
        except OSError as error:
            self._failed = True
            raise write_error(self.cache.directory, error) from error
        self._failed = False
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where writing has just failed, a second try would hide the first error behind its own.
        if not self._failed:
            with uninterrupted():
                self.flush()

    def _flush_when_due(self) -> None:
        now = time.monotonic()
        self._since = self._since or now
        if (
            len(self._images) >= self.images_per_shard
            or self._images.nbytes >= _BYTES_PER_SHARD
            or len(self._names) >= _NAMES_PER_PART
            or now - self._since >= self.max_seconds
        ):
            self.flush()


def _pair(name: str, sha256: str) -> tuple[str, str]:
    if name.startswith("/"):
        raise ValueError(f"a cache keeps names relative to the folder that was read, not {name}")
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"a sha256 has 64 hexadecimal digits, not {sha256!r}")
    return name, sha256
