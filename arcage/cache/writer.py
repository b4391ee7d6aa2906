"""Collect extraction results and write them to a cache in shards."""

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
"""Maximum size of descriptors, because images of crowds would fill the memory before a shard has enough
images."""

_ROWS_PER_SHARD = 1 << 17
"""Number of faces after which a shard is written, if descriptors are small."""

_NAMES_PER_PART = 1 << 16
_NAME_CHARACTERS_PER_PART = 1 << 24
"""Number of characters of names after which they are written."""


class ShardWriter:
    """Context manager that writes images to a cache. On exit, also after an exception, it writes what is
    left.

    A shard is written after ``images_per_shard`` images, or with the first call more than ``max_seconds``
    after its first image; a killed process loses at most one shard. Any number of writers may write to one
    folder, in threads, processes or on other machines. A writer must only be used by one thread.
    """

    def __init__(self, cache: Cache, *, images_per_shard: int = 2048, max_seconds: float = 60.0) -> None:
        self.cache = cache
        self.images_per_shard = images_per_shard
        self.max_seconds = max_seconds
        self._images = ShardBuffer(cache.dimension)
        self._names: dict[tuple[str, str], None] = {}
        self._characters = 0
        self._since = 0.0
        self._failed = False

    def add(self, image: ImageFaces, name: str | None = None) -> bool:
        """Add the result for one image, and optionally a file name (see :meth:`add_name`).

        An image is not written again if this writer has it, or if the cache has it from a search that is at
        least as fine. An image with an empty sha256, which could not be read from disk, is ignored.
        ``image.error`` is stored unchanged: it must describe the bytes, not the path.

        Returns:
            Whether the cache had the image before.

        Raises:
            CacheError: the descriptors have the wrong shape or are not finite, or a shard cannot be written.
            ValueError: the sha256 is not 64 hexadecimal digits.
        """
        if not image.sha256:
            return False
        before = self.cache.covers(image)
        with uninterrupted():
            if not before and image.sha256 not in self._images:
                self._images.append(image)
            if name is not None:
                self._append_name(name, image.sha256)
            self._flush_when_due()
        return before

    def add_name(self, sha256: str, name: str) -> None:
        """Add a file name of an image that is in the cache or has been added to this writer.

        Names are written after their images. Names of other images are dropped.

        Args:
            sha256: of the image; empty to ignore the call.
            name: POSIX path relative to the folder that the user gave.

        Raises:
            CacheError: a shard cannot be written.
            ValueError: the path is absolute, or the sha256 is not 64 hexadecimal digits.
        """
        if sha256:
            self._append_name(name, sha256)
            self._flush_when_due()

    def flush(self) -> None:
        """Write all images and names that have been added. Afterwards they survive a power cut.

        Raises:
            CacheError: they cannot be written. They are kept, and the call may be repeated.
        """
        try:
            if self._images:
                self.cache.append(self._images)
                self._images = ShardBuffer(self.cache.dimension)
            if self._names:
                self.cache.append_names([name for name, _ in self._names], [sha for _, sha in self._names])
                self._names, self._characters = {}, 0
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
        # If writing has just failed, a second attempt would hide the first error.
        if not self._failed:
            with uninterrupted():
                self.flush()

    def _append_name(self, name: str, sha256: str) -> None:
        self._names[_pair(name, sha256)] = None
        self._characters += len(name)

    def _flush_when_due(self) -> None:
        now = time.monotonic()
        self._since = self._since or now
        if (
            len(self._images) >= self.images_per_shard
            or self._images.nbytes >= _BYTES_PER_SHARD
            or self._images.rows >= _ROWS_PER_SHARD
            or len(self._names) >= _NAMES_PER_PART
            or self._characters >= _NAME_CHARACTERS_PER_PART
            or now - self._since >= self.max_seconds
        ):
            self.flush()


def _pair(name: str, sha256: str) -> tuple[str, str]:
    if name.startswith("/"):
        raise ValueError(f"a cache stores names relative to the folder that was read, not {name}")
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"a sha256 has 64 hexadecimal digits, not {sha256!r}")
    return name, sha256
