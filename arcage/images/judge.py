"""Judge an image from its header: decoded in this process, decoded in a worker process, or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from arcage.errors import ImageError, ImageMemoryError
from arcage.images.header import ImageHeader

_IN_PROCESS = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF.{4}WEBP", re.DOTALL)
"""JPEG, PNG and WebP. The decoders of other formats run in worker processes."""
_MAX_SECONDS = 2.5
"""Maximum estimated time of decoding in this process. A picture of 100 megapixels takes about 1 second."""


class _Limits(Protocol):
    @property
    def memory(self) -> int: ...
    @property
    def pixels(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """How an image is to be decoded."""

    in_process: bool
    """Whether this process may decode it. If not, a worker process decodes it, which may be ended."""


def judge(data: bytes, header: ImageHeader, limits: _Limits) -> Judgement:
    """Judge an image before memory is taken and time is spent.

    Args:
        data: encoded image, JPEG, PNG or another format.
        header: its header.
        limits: limits of memory in bytes, and of pixels.

    Raises:
        ImageError: the image has more pixels than ``limits.pixels``.
        ImageMemoryError: decoding takes more memory than ``limits.memory``.
    """
    pixels = max(header.width * header.height, header.largest)
    if pixels > limits.pixels:
        raise ImageError(f"too large: {pixels:,} pixels, the limit is {limits.pixels:,}; make it smaller")
    if header.memory > limits.memory:
        raise ImageMemoryError(
            f"decoding takes {header.memory / 1e9:.1f} GB of memory, the limit is "
            f"{limits.memory / 1e9:.1f} GB: make it smaller, or raise `max_memory`"
        )
    return Judgement(_IN_PROCESS.match(data) is not None and header.seconds <= _MAX_SECONDS)
