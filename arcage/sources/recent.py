"""Keep the latest images in memory, up to a size."""

from __future__ import annotations

from typing import Any

from arcage.sources.source import Source

_MOST_BYTES = 64 << 20
_MOST_IMAGES = 64


class RecentImages:
    """The latest images that were given as bytes or pixels, at least one and otherwise 64 MB.

    Results refer to such images weakly, so that many results take little memory.
    """

    def __init__(self) -> None:
        # Replaced as a whole: threads that add at once lose an image at most.
        self._images: tuple[Source, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return RecentImages, ()

    def add(self, image: Source) -> None:
        """Keep an image. Images that are read from a path or URL are not kept."""
        if not image.size:
            return
        images = (*self._images, image)[-_MOST_IMAGES:]
        size = sum(one.size for one in images)
        while len(images) > 1 and size > _MOST_BYTES:
            size -= images[0].size
            images = images[1:]
        self._images = images

    def clear(self) -> None:
        """Keep none of them."""
        self._images = ()
